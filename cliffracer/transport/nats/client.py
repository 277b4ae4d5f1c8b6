"""nats-py's client with its own ways in and out, what a transport without loss needs beside them, and faults mended."""

# nats-py offers no public way to do what is done with its private names here; they have been stable since its 2.0.
# pyright: reportPrivateUsage=false, reportUnknownMemberType=false
# ruff: noqa: SLF001

import asyncio
import re
from typing import Any, cast

from nats import errors as nats_errors
from nats.aio.client import Client

from cliffracer.errors import NotConnected, OutboundFull, PayloadTooLarge
from cliffracer.exits import summary_of
from cliffracer.transport.contract import Headers, check_size
from cliffracer.transport.nats.sinks import DirectSink

__all__ = ["CRLF", "MAPPED_ERRORS", "MOST_PENDING", "NAMES_KEPT", "PENDING_SIZE", "HeaderReader", "StockClient"]

# What nats-py raises in the calls made here, and what it becomes; a test fails when nats-py grows an error that
# is not accounted for.
MAPPED_ERRORS: dict[type[Exception], type[Exception]] = {
    nats_errors.BadSubjectError: ValueError,
    nats_errors.BadHeaderError: ValueError,
    nats_errors.ConnectionClosedError: NotConnected,
    nats_errors.ConnectionDrainingError: NotConnected,
    nats_errors.ConnectionReconnectingError: NotConnected,
    nats_errors.FlushTimeoutError: NotConnected,
    nats_errors.OutboundBufferLimitError: OutboundFull,
    nats_errors.MaxPayloadError: PayloadTooLarge,
}


CRLF = b"\r\n"
NAMES_KEPT = 256
_READ_AT_ONCE = 256  # messages taken in before others get a turn
_BLANK = re.compile(r"\s")

PENDING_SIZE = 128 * 1024 * 1024  # bytes that nats-py buffers before its `publish` would wait
MOST_PENDING = PENDING_SIZE // 2  # bytes above which nothing at all is taken in


class HeaderReader:
    """Reads header lines; the names in them are few, and come again and again."""

    def __init__(self) -> None:
        self._names: dict[bytes, str] = {}  # as they stand there -> as they are meant

    def read(self, lines: list[bytes]) -> dict[str, str]:
        """Return what header lines say, as nats-py reads them: malformed ones are passed over.

        Of a header that stands there twice both values count, joined as in HTTP; nats-py would drop the first.
        """
        names: dict[bytes, str] = self._names
        headers: dict[str, str] = {}
        try:
            for line in lines:
                raw, value = line.split(b":", 1)
                headers[names[raw]] = value.strip().decode()
        except (KeyError, ValueError):
            return self._read_with_care(lines)
        return headers if len(headers) == len(lines) else self._read_with_care(lines)

    def _read_with_care(self, lines: list[bytes]) -> dict[str, str]:
        headers: dict[str, str] = {}
        for line in lines:
            raw, colon, value = line.partition(b":")
            stripped = raw.strip()
            if not colon or not stripped.isascii() or _BLANK.search(name := stripped.decode()):
                continue
            if len(self._names) >= NAMES_KEPT:
                self._names.clear()
            self._names[raw] = name
            text = value.strip().decode("utf-8", "replace")
            headers[name] = f"{headers[name]}, {text}" if name in headers else text
        return headers


class StockClient(Client):
    """nats-py's client, with its own ways in and out, for any version of it; `FastClient` has shorter ones."""

    will_write = False
    """Whether something was sent since the loop has turned, as far as is known."""

    def __init__(self) -> None:
        super().__init__()
        self._taken = 0

    # In

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        subscription: Any = self._subs.get(sid)
        sink = None if subscription is None else subscription._future
        if not isinstance(sink, DirectSink):
            await super()._process_msg(sid, subject, reply, data, headers)
            return
        self._taken += 1
        try:
            parsed = await self._process_headers(headers) if headers else None
            where, whence = subject.decode(), reply.decode()
        except Exception as error:  # noqa: BLE001 - one malformed message must not end the read loop of all
            sink.drop(f"a malformed message was dropped: {summary_of(error)}")
        else:
            if sink.take(where, data, whence, parsed) or self._turn_is_over():
                await self._let_others_run()

    def _turn_is_over(self) -> bool:
        # nats-py goes on for as long as its buffer lasts.
        return self._taken % _READ_AT_ONCE == 0

    async def _let_others_run(self) -> None:
        await asyncio.sleep(0)

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        return HeaderReader().read(raw.split(CRLF))

    # Faults of nats-py 2.16

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

    # Out

    @property
    def has_room(self) -> bool:
        """Whether `send` would take a message: the connection is there, and the buffer is not full."""
        return self.is_connected and self.pending_data_size <= MOST_PENDING

    def send(self, subject: bytes, payload: bytes, reply: str, headers: Headers | None) -> None:
        """Put a message into the outbound buffer; it leaves with the next turn of the loop.

        Args:
            subject: Where to; it was checked.
            payload: What.
            reply: Where an answer is to go; it was checked. Empty for none.
            headers: Headers of the message.

        Raises:
            PayloadTooLarge: Payload and headers are over `max_payload`; nothing was queued.
            ValueError: A header is malformed.
        """
        check_size(payload, headers, self.max_payload)
        sending = self.publish(subject.decode(), payload, reply, cast("dict[str, str] | None", headers or None))
        try:
            # Within the limits that were checked it has nothing to wait for: one step takes it to its end.
            sending.send(None)
        except StopIteration:
            pass
        except tuple(MAPPED_ERRORS) as error:
            raise MAPPED_ERRORS[type(error)](f"cannot publish to {subject.decode()!r}: {error}") from None
        finally:
            sending.close()

    async def write_out(self, url: str) -> None:
        """Wait until the outbound buffer has been written to the socket.

        Args:
            url: The server, for the error.

        Raises:
            NotConnected: The connection is down, or broke meanwhile.
        """
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue: asyncio.Queue[Any] | None = self._flush_queue
        flusher = cast("asyncio.Task[None] | None", self._flusher_task)
        if queue is None or flusher is None or flusher.done():
            raise NotConnected(f"the connection to {url} is down", nothing_sent=True)
        await queue.put(written)
        # If the connection breaks meanwhile the flusher is gone, and nobody will ever answer.
        await asyncio.wait({written, flusher}, return_when=asyncio.FIRST_COMPLETED)
        if not written.done():
            raise NotConnected(f"the connection to {url} broke before all was sent", nothing_sent=True)

    async def send_unsubscribe(self, sid: int) -> None:
        """Put UNSUB into the outbound buffer; the subscription stays until `forget`, for what is still on its way."""
        await self._send_unsubscribe(sid)

    def forget(self, sid: int) -> None:
        """Drop a subscription: what still comes for it is nobody's, and it is not replayed."""
        self._remove_sub(sid)
