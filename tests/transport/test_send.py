"""What goes over the wire: the same as from nats-py, byte for byte, and in the order in which it was handed over."""

import asyncio
import re

import nats
import pytest

from cliffracer.errors import PayloadTooLarge
from cliffracer.transport.nats.client import StockClient
from cliffracer.transport.nats.fast import FastClient
from cliffracer.transport.nats.sinks import DirectSink

pytestmark = pytest.mark.anyio

MAX_PAYLOAD = 10_000
BOUND = 10.0  # seconds; for a hang, not a measure


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request):
    return "asyncio", {"use_uvloop": request.param}


class Wire:
    """A socket that greets as a NATS server does, answers each PING, and keeps all bytes that come."""

    def __init__(self, max_payload):
        self._greeting = b'INFO {"server_id":"x","headers":true,"max_payload":%d}\r\n' % max_payload
        self._more = asyncio.Event()
        self._reading = asyncio.Event()
        self._reading.set()
        self._serving = set()
        self.received = bytearray()

    async def start(self):
        # A small buffer of the kernel's: who does not read, is noticed soon.
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**16)
        host, port = self._server.sockets[0].getsockname()
        self.url = f"nats://{host}:{port}"

    async def _serve(self, reader, writer):
        self._serving.add(asyncio.current_task())
        writer.write(self._greeting)
        while True:
            await self._reading.wait()
            data = await reader.read(65536)
            if not data:
                break
            answers = (bytes(self.received[-5:]) + data).count(b"PING\r\n") - self.received[-5:].count(b"PING\r\n")
            self.received += data
            writer.write(b"PONG\r\n" * answers)
            self._more.set()
        writer.close()

    def pause(self):
        """Read nothing for a while."""
        self._reading.clear()

    def resume(self):
        """Read on."""
        self._reading.set()

    async def hear(self, end):
        """Wait until what came ends with `end`; return it, from behind the greeting."""
        async with asyncio.timeout(BOUND):
            while not self.received.endswith(end):
                self._more.clear()
                await self._more.wait()
        return bytes(self.received).partition(b"PING\r\n")[2]

    async def close(self):
        self._server.close()
        async with asyncio.timeout(BOUND):
            await asyncio.gather(*self._serving)


@pytest.fixture
async def wire(anyio_backend):
    made = Wire(MAX_PAYLOAD)
    await made.start()
    yield made
    await made.close()


@pytest.fixture
async def connect(wire):
    """Connect clients to the wire, and close them in the end."""
    made = []

    async def connected(make):
        client = make()
        await client.connect(wire.url, allow_reconnect=False, pending_size=2**27)
        made.append(client)
        return client

    yield connected
    wire.resume()
    for client in made:
        await client.close()


MESSAGES = {
    "plain": ("a.b", b"hello", "", None),
    "empty": ("a", b"", "", None),
    "reply": ("a", b"hello", "_INBOX.x.1", None),
    "header": ("a", b"hello", "", {"Key": "value"}),
    "headers and reply": ("a", b"", "r", {"Key": "value", "traceparent": "00-1-2-01", "Nats-Msg-Id": "a: b"}),
    "no headers": ("a", b"hello", "", {}),
    "not ASCII": ("größe", "größe".encode(), "größe", {"Key": "größe \U0001f600"}),
    "bytes": ("a", bytes(range(256)), "", {"Key": "v"}),
    "frames": ("a", b"PING\r\nPUB a 5\r\n", "", None),
    "blanks around a value": ("a", b"", "", {"Key": "  v\t"}),
    "blanks around a name": ("a", b"", "", {" Key ": "v"}),
    "empty value": ("a", b"", "", {"Key": ""}),
    "empty name": ("a", b"x", "", {"": "v", "Key": "v"}),
    "line breaks in a value": ("a", b"x", "", {"Key": "v\r\nw: x"}),
    "control character in a value": ("a", b"x", "", {"Key": "v\x00\x7f"}),
    "odd but legal name": ("a", b"x", "", {"Key_1.a!#$": "v"}),
    "one plain and one odd": ("a", b"x", "", {"Plain": "v", "Odd": "\tv"}),
    "no break space": ("a", b"x", "", {"Key": "a\xa0b"}),
}


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
async def test_message_goes_over_the_wire_as_from_nats_py_itself(connect, wire, message):
    subject, payload, reply, headers = message
    theirs = await connect(nats.aio.client.Client)
    await theirs.publish(subject, payload, reply, headers or None)
    await theirs.publish("end", b"")
    expected = await wire.hear(b"PUB end  0\r\n\r\n")
    for make in (FastClient, StockClient):
        wire.received.clear()
        client = await connect(make)
        client.send(subject.encode(), payload, reply, headers)
        client.send(b"end", b"", "", None)
        assert await wire.hear(b"PUB end  0\r\n\r\n") == expected


@pytest.mark.parametrize("name", ["two words", "colon:", "línea", "a\r\nb", "\x00"])
async def test_header_name_that_nats_py_refuses_is_refused_and_nothing_is_queued(connect, name):
    client = await connect(FastClient)
    with pytest.raises(ValueError, match="cannot publish to 'a'"):
        client.send(b"a", b"", "", {"Fine": "v", name: "v"})
    assert (client._pending, client.pending_data_size) == ([], 0)


async def test_order_in_which_things_were_handed_over_is_the_order_on_the_wire(connect, wire):
    client = await connect(FastClient)
    expected = b""
    for number in range(200):
        client.send(b"a", b"%d" % number, "", None)
        expected += b"PUB a  %d\r\n%d\r\n" % (len(b"%d" % number), number)
        if number % 3 == 0:
            client.send(b"b", b"", "", {"Odd": " v"})
            expected += b"HPUB b  20 20\r\nNATS/1.0\r\nOdd: v\r\n\r\n\r\n"
        if number % 5 == 0:
            made = await client.subscribe(f"s.{number}", future=DirectSink(lambda *_: None, lambda _: None))
            expected += b"SUB s.%d  %d\r\n" % (number, made._id)
            client.send(b"c", b"", "r", {"Plain": "v"})
            expected += b"HPUB c r 22 22\r\nNATS/1.0\r\nPlain: v\r\n\r\n\r\n"
        if number % 10 == 0:
            await client.send_unsubscribe(made._id)
            expected += b"UNSUB %d \r\n" % made._id
        if number % 50 == 0:
            await client.write_out("here")
            await client.flush(BOUND)
            expected += b"PING\r\n"
        if number % 7 == 0:
            await asyncio.sleep(0)
    client.send(b"end", b"", "", None)
    assert await wire.hear(b"PUB end  0\r\n\r\n") == expected + b"PUB end  0\r\n\r\n"


async def test_messages_of_one_turn_leave_together_and_without_the_flusher(connect, wire):
    client = await connect(FastClient)
    for _ in range(100):
        client.send(b"a", b"", "", None)
    assert len(client._pending) == 100
    assert client._flush_queue.empty()
    client.send(b"end", b"", "", None)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (client._pending, client.pending_data_size) == ([], 0)
    await wire.hear(b"PUB end  0\r\n\r\n")


@pytest.mark.parametrize(
    ("size", "headers"),
    [
        (MAX_PAYLOAD + 1, None),
        (MAX_PAYLOAD, {"Key": "v"}),
        (MAX_PAYLOAD - 19, {"Key": "v"}),
        (MAX_PAYLOAD - 19, {"Key": " v"}),
        (0, {"Key": "v" * MAX_PAYLOAD}),
        (0, {"Key": "ß" * (MAX_PAYLOAD // 2)}),
    ],
)
async def test_payload_and_headers_over_the_limit_are_refused_and_nothing_is_queued(connect, wire, size, headers):
    client = await connect(FastClient)
    with pytest.raises(PayloadTooLarge, match="max_payload"):
        client.send(b"a", b"x" * size, "", headers)
    assert (client._pending, client.pending_data_size) == ([], 0)
    client.send(b"end", b"", "", None)
    assert await wire.hear(b"PUB end  0\r\n\r\n") == b"PUB end  0\r\n\r\n"


@pytest.mark.parametrize(
    ("size", "headers"), [(MAX_PAYLOAD, None), (MAX_PAYLOAD - 19, {"Key": ""}), (MAX_PAYLOAD - 20, {"Key": "v"})]
)
async def test_payload_and_headers_at_the_limit_are_sent(connect, wire, size, headers):
    client = await connect(FastClient)
    client.send(b"a", b"x" * size, "", headers)
    assert (await wire.hear(b"x" * size + b"\r\n")).startswith(b"HPUB" if headers else b"PUB")


async def test_order_is_kept_while_the_socket_takes_nothing_and_the_flusher_waits_for_it(connect, wire):
    client = await connect(FastClient)
    wire.pause()
    sent = []

    async def send(count):
        for _ in range(count):
            sent.append(len(sent))
            client.send(b"n", b"%d " % sent[-1] + b"x" * 9000, "", None)
            await asyncio.sleep(0)

    socket = client._transport._io_writer.transport
    async with asyncio.timeout(BOUND):
        while socket.get_write_buffer_size() == 0:
            await send(50)
    # It is nats-py's flusher that takes them now, and none overtakes what waits in the socket. Whether it ever waits
    # itself depends on Python: `writelines` of asyncio does not stop writers in 3.12.0 to 3.12.8 (CVE-2024-12254).
    await send(50)
    assert client.pending_data_size == sum(map(len, client._pending))
    await client.subscribe("s", future=DirectSink(lambda *_: None, lambda _: None))
    client.send(b"odd", b"", "", {"Odd": " v"})
    await send(50)
    wire.resume()
    client.send(b"end", b"", "", None)
    text = await wire.hear(b"PUB end  0\r\n\r\n")
    assert [int(number) for number in re.findall(rb"PUB n  \d+\r\n(\d+) x", text)] == sent
    between = text[text.index(b"SUB s") :]
    assert [int(number) for number in re.findall(rb"PUB n  \d+\r\n(\d+) x", between)] == sent[-50:]
    assert text.index(b"SUB s") < text.index(b"HPUB odd")
    async with asyncio.timeout(BOUND):
        while client._pending or socket.get_write_buffer_size():
            await asyncio.sleep(0.001)
    # And then it is the short way again.
    client.send(b"a", b"", "", None)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (client._pending, client.pending_data_size) == ([], 0)


async def test_what_is_handed_over_while_the_connection_is_away_waits_for_it(connect, wire):
    client = await connect(FastClient)
    status, client._status = client._status, FastClient.RECONNECTING
    client.send(b"a", b"1", "", None)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(client._pending) == 1
    client._status = status
    client.send(b"a", b"2", "", None)
    assert await wire.hear(b"2\r\n") == b"PUB a  1\r\n1\r\nPUB a  1\r\n2\r\n"
