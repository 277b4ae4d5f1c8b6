"""The fast path: shorter ways from nats-py's socket to our sinks, and from `send` to the socket.

nats-py spends its receiving time in regular expressions over a buffer that it cuts off in front, and in a coroutine, a
dataclass, a queue and a task for each message. Here each chunk from the socket is gone through once, and subject,
payload, reply subject and headers go straight to the sink. Everything else stays nats-py's own: what is no message to
one of our sinks is given to its parser, byte for byte, and so is whatever looks unusual.

This relies on what nats-py keeps to itself. So it is chosen for the versions in `versions.COVERED` alone, with which
the tests compare it to nats-py's own way, byte by byte; with any other, `StockClient` does the same job, only slower.
"""

# pyright: reportPrivateUsage=false, reportUnknownMemberType=false
# ruff: noqa: SLF001

import asyncio
import re
from enum import Enum
from io import SEEK_CUR, SEEK_END, BytesIO
from typing import Any, TypeAlias

from nats.aio.client import DEFAULT_BUFFER_SIZE, Client
from nats.aio.subscription import Subscription
from nats.protocol.parser import AWAITING_CONTROL_LINE, CRLF_SIZE, Parser

from cliffracer.transport.contract import Headers, check_size
from cliffracer.transport.nats.client import CRLF, MOST_PENDING, NAMES_KEPT, HeaderReader, StockClient
from cliffracer.transport.nats.sinks import DirectSink

__all__ = ["FastClient", "FastParser"]

TURN = 0.005  # seconds that messages are taken in for, before the rest of the process gets a turn
_LOOK_AT_CLOCK_EVERY = 32  # messages
_LINES_KEPT = 4096
_AT_ONCE = 256 * 1024  # bytes that are written without waiting for the socket
_LARGE = 2 * DEFAULT_BUFFER_SIZE  # bytes of a message that comes in many chunks
_MOST_DIGITS = 10  # of a size; longer ones are left to nats-py
# Operation and number of words of the lines that announce a message -> whether there are headers, and a reply subject.
_FORMS = {
    (b"MSG", 4): (False, False),
    (b"MSG", 5): (False, True),
    (b"HMSG", 5): (True, False),
    (b"HMSG", 6): (True, True),
}
_VERSION = b"NATS/1.0"
_UNUSUAL: dict[str, str] = {}  # headers with, among others, a status of the server's
_SENT_NAME = re.compile(r"[A-Za-z0-9-]+")


_Line: TypeAlias = tuple[DirectSink | None, str, str, int, int]
"""What a control line says, MSG or HMSG.

Whose message it announces (None if it is none of ours), the subject, the reply subject (empty for none), the bytes of
the headers (0 if there are none), and those of the payload.
"""


class _Next(Enum):
    """What is to be done at the place to which the messages have been taken."""

    WAIT = "a message is not complete"
    PAUSE = "others are to get a turn"
    FOREIGN = "a message for nats-py itself"
    OTHER = "something else"


class FastParser(Parser):
    """nats-py's parser, with a shorter way for messages to our sinks."""

    def __init__(self, client: Any) -> None:
        """Begin with nothing received.

        Args:
            client: nats-py's client, to whom everything else goes.
        """
        self._sinks: dict[bytes, DirectSink] = {}  # by the number of their subscription, as it is on the wire
        # The lines of messages without a reply subject come again and again: same subject, a size of a few.
        self._lines: dict[bytes, _Line] = {}
        self._headers = HeaderReader()
        self._chunk = BytesIO()
        self._tail = b""  # of the last chunk: the beginning of something
        self._age = 0  # how often the connection was given up
        self._turn_ends = 0.0
        self._reader_waited = True
        self._clock = asyncio.get_running_loop().time
        super().__init__(client)

    def add(self, sid: int, sink: DirectSink) -> None:
        """Have the messages of a subscription go straight to `sink`."""
        self._sinks[b"%d" % sid] = sink
        self._lines.clear()

    def remove(self, sid: int) -> None:
        """Leave what still comes for a subscription to nats-py."""
        self._sinks.pop(b"%d" % sid, None)
        self._lines.clear()

    def reset(self) -> None:
        """Forget what was received in part; nats-py does this when it gives a connection up."""
        super().reset()
        self._tail = b""
        self._age += 1
        self._chunk.seek(0, SEEK_END)  # a sink may have caused it, with half of a chunk gone through

    async def parse(self, data: bytes = b"") -> None:
        """Take in a chunk of what the server sends.

        Raises:
            ProtocolError: It cannot be understood; as from nats-py's own parser.
        """
        age = self._age
        if self._reader_waited:
            self._turn_ends = self._clock() + TURN
        # Others ran before this chunk, unless the one before was full: then there was more to read at once.
        self._reader_waited = len(data) < DEFAULT_BUFFER_SIZE
        if self.state != AWAITING_CONTROL_LINE:
            # The stock parser has the beginning of a message. It gets the rest of that, and no more.
            missing = self.needed + CRLF_SIZE - len(self.buf)
            await super().parse(data[:missing])
            data = data[missing:]
            if self._age != age or not data:
                return
        if self._tail:
            data, self._tail = self._tail + data, b""
        await self._go_through(data, age)

    async def _go_through(self, data: bytes, age: int) -> None:
        chunk = self._chunk = BytesIO(data)
        while (step := self._take_messages(chunk)) is not _Next.WAIT:
            if step is _Next.PAUSE:
                await self.let_others_run()
            elif step is _Next.FOREIGN:
                line = chunk.readline()
                await super().parse(line + chunk.read(int(line.rpartition(b" ")[2]) + CRLF_SIZE))
            else:
                await super().parse(chunk.read())
                if self.state == AWAITING_CONTROL_LINE and self._age == age:
                    self._tail = bytes(self.buf)
                    self.buf.clear()
                return
            if self._age != age:
                return  # what is left of it came over a connection that has been given up
        if self._age == age:
            self._tail = chunk.read()

    async def let_others_run(self) -> None:
        """End this turn, and begin the next one."""
        await asyncio.sleep(0)
        self._turn_ends = self._clock() + TURN

    @property
    def turn_is_over(self) -> bool:
        """Whether messages have been taken in for long enough."""
        return self._clock() >= self._turn_ends

    def _take_messages(self, chunk: BytesIO) -> _Next:
        """Give the messages of a chunk to their sinks; return what is next, and leave the chunk at its beginning."""
        read_line, read, known = chunk.readline, chunk.read, self._lines
        while not self.turn_is_over:
            for _ in range(_LOOK_AT_CLOCK_EVERY):
                text = read_line()
                line = known.get(text) or self._read_line(text)
                if line is None:
                    chunk.seek(-len(text), SEEK_CUR)
                    return _Next.OTHER if text.endswith(b"\n") else _Next.WAIT
                sink, subject, reply, headers_size, payload_size = line
                block = read(headers_size) if headers_size else b""
                payload = read(payload_size)
                end = read(CRLF_SIZE)
                if len(end) < CRLF_SIZE:
                    chunk.seek(-len(text) - len(block) - len(payload) - len(end), SEEK_CUR)
                    # Piece by piece a large one would be copied again and again; the stock parser collects it.
                    return _Next.WAIT if headers_size + payload_size < _LARGE else _Next.OTHER
                headers = self._headers_of(block) if block else None
                if sink is None or headers is _UNUSUAL:
                    chunk.seek(-len(text) - headers_size - payload_size - CRLF_SIZE, SEEK_CUR)
                    return _Next.FOREIGN
                try:
                    wants_turn = sink.sink(subject, payload, reply, headers)
                except Exception as error:  # noqa: BLE001 - the edge to our own side: the next message may be fine
                    sink.fault(subject, error)
                    continue
                if wants_turn:
                    return _Next.PAUSE
        return _Next.PAUSE

    def _headers_of(self, block: bytes) -> dict[str, str] | None:
        lines = block.split(CRLF)
        if lines[0] != _VERSION or lines[-1] or lines[-2]:
            return _UNUSUAL
        return self._headers.read(lines[1:-2]) or None

    def _read_line(self, text: bytes) -> _Line | None:
        """Return what a control line says; None for all that is not, to the letter, a message's."""
        words = text.split()
        if b" ".join(words) + CRLF != text or not words:
            return None
        form = _FORMS.get((words[0], len(words)))
        size = words[-1]
        if form is None or not size.isdigit() or len(size) > _MOST_DIGITS:
            return None
        has_headers, has_reply = form
        headers_size, payload_size = 0, int(size)
        if has_headers:
            if not words[-2].isdigit() or len(words[-2]) > _MOST_DIGITS:
                return None
            headers_size = int(words[-2])
            payload_size -= headers_size
            if payload_size < 0:
                return None
        sink = self._sinks.get(words[2])
        try:
            subject, reply = words[1].decode(), words[3].decode() if has_reply else ""
        except UnicodeDecodeError:
            return None, "", "", headers_size, payload_size  # the stock way reports it
        line = sink, subject, reply, headers_size, payload_size
        # Each reply comes to a subject of its own.
        if not has_reply and sink is not None and not subject.startswith("_"):
            if len(self._lines) >= _LINES_KEPT:
                self._lines.clear()
            self._lines[text] = line
        return line


class FastClient(StockClient):
    """nats-py's client with the fast path, in and out.

    nats-py's own `stats` do not count what goes this way.
    """

    def __init__(self) -> None:
        super().__init__()
        self._fast = self._ps = FastParser(self)
        self._loop = asyncio.get_running_loop()
        self.will_write = False
        self._sent_names: set[str] = set()  # of headers, found to be well-formed

    # In

    async def subscribe(self, *args: Any, **options: Any) -> Subscription:
        """Subscribe; where a `DirectSink` stands for the future, its messages take the short way."""
        made = await super().subscribe(*args, **options)
        sink = options.get("future")
        if isinstance(sink, DirectSink):
            self._fast.add(made._id, sink)
        return made

    def _remove_sub(self, sid: int, max_msgs: int = 0) -> None:
        self._fast.remove(sid)
        super()._remove_sub(sid, max_msgs)

    def _turn_is_over(self) -> bool:
        return self._fast.turn_is_over

    async def _let_others_run(self) -> None:
        await self._fast.let_others_run()

    # Out

    @property
    def has_room(self) -> bool:
        """Whether `send` would take a message: the connection is there, and the buffer is not full."""
        return self._status == Client.CONNECTED and self._pending_data_size <= MOST_PENDING

    def send(self, subject: bytes, payload: bytes, reply: str, headers: Headers | None) -> None:
        """Put a message into the outbound buffer; see `StockClient.send`."""
        size = len(payload)
        if headers:
            block = self._block_of(headers)
            if block is None:
                # The stock way knows what to do about it.
                super().send(subject, payload, reply, headers)
                return
            size += len(block)
            frame = b"HPUB %b %b %d %d\r\n%b%b\r\n" % (subject, reply.encode(), len(block), size, block, payload)
        else:
            frame = b"PUB %b %b %d\r\n%b\r\n" % (subject, reply.encode() if reply else b"", size, payload)
        if size > self._max_payload:
            check_size(payload, headers, self._max_payload)
        self._pending.append(frame)
        self._pending_data_size += len(frame)
        if not self.will_write:
            self.will_write = True
            self._loop.call_soon(self._write)

    def _block_of(self, headers: Headers) -> bytes | None:
        """Return the headers as they go over the wire; None if one of them is no plain line."""
        lines = ["NATS/1.0\r\n"]
        for name, value in headers.items():
            # A line break inside a value would make a header of its own; blanks around it would not arrive.
            if not value or not value.isprintable() or value.strip() != value:
                return None
            if name not in self._sent_names:
                if not _SENT_NAME.fullmatch(name):
                    return None
                if len(self._sent_names) >= NAMES_KEPT:
                    self._sent_names.clear()
                self._sent_names.add(name)
            lines.append(f"{name}: {value}\r\n")
        lines.append("\r\n")
        return "".join(lines).encode()

    def _write(self) -> None:
        """Write what was put into the buffer in the last turn of the loop."""
        self.will_write = False
        if not self._pending or not self.is_connected:
            return  # it waits for the connection, like everything in this buffer
        socket = getattr(getattr(self._transport, "_io_writer", None), "transport", None)
        at_once = self._pending_data_size <= _AT_ONCE
        if at_once and socket is not None and not socket.is_closing() and socket.get_write_buffer_size() == 0:
            frames, self._pending, self._pending_data_size = self._pending, [], 0
            socket.write(frames[0] if len(frames) == 1 else b"".join(frames))
        elif self._flush_queue is not None and self._flush_queue.empty():
            # The socket does not take it as fast as it comes; nats-py's flusher waits until it does.
            self._flush_queue.put_nowait(self._loop.create_future())
