"""nats-py's client, with a shorter way from its parser to our sinks."""

# nats-py offers no public way to do what is done with its private names here; they have been stable since its 2.0.
# pyright: reportPrivateUsage=false, reportUnknownMemberType=false
# ruff: noqa: SLF001

import asyncio
import re
from collections.abc import Callable
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg

from cliffracer.exits import summary_of
from cliffracer.transport.contract import ConnectionEvent, Headers, Sink, Trouble

__all__ = ["DirectSink", "SinkClient"]

_READ_AT_ONCE = 256  # messages taken in before the actors get a turn
_HEADER_NAME = re.compile(rb"[!-9;-~]+")
# Names of letters, digits and '-', values that are neither empty nor begin or end with a blank.
_HEADER_LINES = re.compile(r"(?:[A-Za-z0-9-]+: [^\s](?:[^\r\n]*[^\s])?\r\n)+")


class DirectSink:
    """Passes for a future in `Client.subscribe(future=...)`: the read loop hands each message to it."""

    __slots__ = ("_on_fault", "_sink")

    def __init__(self, sink: Sink, on_fault: Callable[[ConnectionEvent], None]) -> None:
        self._sink = sink
        self._on_fault = on_fault

    def cancelled(self) -> bool:
        """Nobody gives up here; nats-py asks before each message."""
        return False

    def set_result(self, message: Msg) -> None:
        """Take a message as nats-py delivers it."""
        self.take(message.subject, message.data, message.reply, message.headers)

    def take(self, subject: str, payload: bytes, reply: str, headers: Headers | None) -> None:
        """Take a message in parts."""
        try:
            self._sink(subject, payload, reply, headers)
        except Exception as error:  # noqa: BLE001 - the edge to nats-py: what escapes here ends its read loop for good
            self.drop(f"a message to {subject!r} was lost to a fault in its sink: {summary_of(error)}")

    def drop(self, why: str) -> None:
        """Report a message that the sink does not get."""
        self._on_fault(Trouble(why))


class SinkClient(Client):
    """nats-py's client, with a shorter way from its parser to our sinks.

    Without it, all works the same by way of `DirectSink.set_result`, only slower: the contract tests run both ways.
    """

    def __init__(self) -> None:
        super().__init__()
        self._delivered = 0

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        subscription: Any = self._subs.get(sid)
        sink = None if subscription is None else subscription._future
        if not isinstance(sink, DirectSink):
            await super()._process_msg(sid, subject, reply, data, headers)
            return
        stats: dict[str, int] = self.stats
        stats["in_msgs"] += 1
        stats["in_bytes"] += len(data)
        try:
            parsed = await self._process_headers(headers) if headers else None
            where, whence = subject.decode(), reply.decode()
        except Exception as error:  # noqa: BLE001 - one malformed message must not end the read loop of all
            sink.drop(f"a malformed message was dropped: {summary_of(error)}")
        else:
            sink.take(where, data, whence, parsed)
        self._delivered += 1
        if self._delivered % _READ_AT_ONCE == 0:
            # nats-py goes on for as long as its buffer lasts, which is more than a mailbox holds.
            await asyncio.sleep(0)

    async def _send_publish(
        self, subject: str, reply: str, payload: bytes, payload_size: int, headers: dict[str, str] | None
    ) -> None:
        if not headers:
            await super()._send_publish(subject, reply, payload, payload_size, None)
            return
        # As the stock one, but a header is looked at as a whole, and not in five steps a line.
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        # A line break inside a value would make a header of its own; the stock way blanks it.
        if lines.count("\r\n") != len(headers) or not _HEADER_LINES.fullmatch(lines):
            await super()._send_publish(subject, reply, payload, payload_size, headers)
            return
        block = f"NATS/1.0\r\n{lines}\r\n".encode()
        stats: dict[str, int] = self.stats
        stats["out_msgs"] += 1
        stats["out_bytes"] += payload_size
        size = len(block)
        await self._send_command(
            b"".join((f"HPUB {subject} {reply} {size} {size + payload_size}\r\n".encode(), block, payload, b"\r\n"))
        )
        if self._flush_queue is not None and self._flush_queue.empty():
            await self._flush_pending()

    async def _process_pong(self) -> None:
        # The stock one answers a flush that was cancelled, or is over its time; it falls over that, and its read loop
        # ends without a word: connected, and deaf.
        if self._pongs and self._pongs[0].done():
            self._pongs[0] = asyncio.get_running_loop().create_future()
        await super()._process_pong()

    async def _attempt_reconnect(self) -> None:
        # The stock one first waits until the peer has taken what is left in the socket's buffer; a dead one never does.
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()
        await super()._attempt_reconnect()

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        # As the stock one, but without a look at each character of each name.
        headers: dict[str, str] = {}
        for line in raw.split(b"\r\n"):
            name, colon, value = line.partition(b":")
            if colon and _HEADER_NAME.fullmatch(name := name.strip()):
                key, text = name.decode(), value.strip().decode("utf-8", "replace")
                # As in HTTP: a header that stands there twice has both values. The stock one drops the first.
                headers[key] = f"{headers[key]}, {text}" if key in headers else text
        return headers
