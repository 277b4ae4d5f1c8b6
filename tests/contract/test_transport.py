"""What every transport keeps: one suite over the one in this process and the one over a real NATS server."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable

import anyio
import anyio.lowlevel
import pytest

from cliffracer.errors import NoResponders, NotConnected, PayloadTooLarge, RequestTimeout
from cliffracer.testing import FaultyTransport
from cliffracer.transport.contract import Transport
from cliffracer.transport.local import LocalBroker, LocalTransport
from cliffracer.transport.nats import NatsOptions, NatsTransport
from cliffracer.transport.nats.client import StockClient

pytestmark = pytest.mark.anyio

Connect = Callable[[], Awaitable[Transport]]
Received = list[tuple[str, bytes, str, dict[str, str] | None]]


@pytest.fixture(params=["local", "local-faulty", "nats", "nats-stock", "nats-faulty"])
async def connect(request: pytest.FixtureRequest, anyio_backend) -> AsyncIterator[Connect]:
    """Make transports that are connected to one broker, and close them in the end."""
    made: list[Transport] = []
    if request.param.startswith("nats"):
        if anyio_backend[0] != "asyncio":
            pytest.skip("nats-py runs on asyncio only")
        url = request.getfixturevalue("nats_url")

        def make() -> Transport:
            transport = NatsTransport(NatsOptions(servers=(url,)))
            if request.param == "nats-stock":
                # Without our shorter way from the parser to the sinks.
                transport._new_client = StockClient
            return FaultyTransport(transport) if request.param == "nats-faulty" else transport

    else:
        broker = LocalBroker()

        def make() -> Transport:
            transport = LocalTransport(broker)
            return FaultyTransport(transport) if request.param == "local-faulty" else transport

    async def connected() -> Transport:
        transport = make()
        await transport.connect(lambda _: None)
        made.append(transport)
        return transport

    yield connected
    for transport in made:
        await transport.close()


@pytest.fixture
def prefix() -> str:
    """Tokens in front of every subject of a test: the server is shared."""
    return f"test.{uuid.uuid4().hex}"


class Collector:
    """A sink that keeps what it gets, and lets a test wait for it."""

    def __init__(self) -> None:
        self.received: Received = []
        self._more = anyio.Event()

    def __call__(self, subject: str, payload: bytes, reply: str, headers) -> None:
        self.received.append((subject, payload, reply, headers))
        self._more.set()

    @property
    def payloads(self) -> list[bytes]:
        return [payload for _, payload, _, _ in self.received]

    async def wait(self, count: int) -> list[bytes]:
        with anyio.fail_after(5.0):
            while len(self.received) < count:
                self._more = anyio.Event()
                await self._more.wait()
        return self.payloads


async def test_message_arrives_with_subject_payload_reply_and_headers(connect, prefix):
    here, there = await connect(), await connect()
    sink = Collector()
    await there.subscribe(f"{prefix}.a", sink)
    await there.flush()
    await here.publish(f"{prefix}.a", b"\x00\xff", reply="some.inbox", headers={"Key": "a value: ü"})
    await sink.wait(1)
    assert sink.received == [(f"{prefix}.a", b"\x00\xff", "some.inbox", {"Key": "a value: ü"})]


async def test_message_without_headers_has_none(connect, prefix):
    transport = await connect()
    sink = Collector()
    await transport.subscribe(f"{prefix}.a", sink)
    await transport.publish(f"{prefix}.a", b"")
    await sink.wait(1)
    assert sink.received == [(f"{prefix}.a", b"", "", None)]


async def test_messages_of_one_sender_arrive_in_order(connect, prefix):
    here, there = await connect(), await connect()
    sink = Collector()
    await there.subscribe(f"{prefix}.a", sink)
    await there.flush()
    for number in range(1000):
        await here.publish(f"{prefix}.a", str(number).encode())
    assert await sink.wait(1000) == [str(number).encode() for number in range(1000)]


@pytest.mark.parametrize(
    ("pattern", "heard"),
    [("x.*.z", ["x.y.z"]), ("x.>", ["x.y", "x.y.z", "x.y.z.w"]), ("*.y", ["x.y"]), ("x.y", ["x.y"])],
)
async def test_wildcards_match_as_in_nats(connect, prefix, pattern, heard):
    transport = await connect()
    sink = Collector()
    await transport.subscribe(f"{prefix}.{pattern}", sink)
    for subject in ("x", "x.y", "x.y.z", "x.y.z.w", "w.w.z"):
        await transport.publish(f"{prefix}.{subject}", b"")
    await transport.flush()
    await anyio.lowlevel.checkpoint()
    assert [subject.removeprefix(f"{prefix}.") for subject, *_ in sink.received] == heard


async def test_each_subscription_without_a_queue_gets_every_message(connect, prefix):
    here, there = await connect(), await connect()
    sinks = [Collector(), Collector()]
    await here.subscribe(f"{prefix}.a", sinks[0])
    await there.subscribe(f"{prefix}.a", sinks[1])
    await there.flush()
    await here.publish(f"{prefix}.a", b"1")
    for sink in sinks:
        assert await sink.wait(1) == [b"1"]


async def test_one_member_of_a_queue_group_gets_each_message(connect, prefix):
    here, there = await connect(), await connect()
    sinks = [Collector(), Collector()]
    await here.subscribe(f"{prefix}.a", sinks[0], queue="q")
    await there.subscribe(f"{prefix}.a", sinks[1], queue="q")
    await here.flush()
    await there.flush()
    for number in range(200):
        await here.publish(f"{prefix}.a", str(number).encode())
    with anyio.fail_after(5.0):
        while sum(len(sink.received) for sink in sinks) < 200:
            await anyio.sleep(0.001)
    assert sorted(int(p) for sink in sinks for p in sink.payloads) == list(range(200))
    assert all(sink.received for sink in sinks)


async def test_queue_group_goes_by_its_name_whatever_the_patterns_of_its_members(connect, prefix):
    transport = await connect()
    narrow, wide = Collector(), Collector()
    await transport.subscribe(f"{prefix}.a.b", narrow, queue="q")
    await transport.subscribe(f"{prefix}.a.*", wide, queue="q")
    for _ in range(50):
        await transport.publish(f"{prefix}.a.b", b"")
    await transport.flush()
    await anyio.lowlevel.checkpoint()
    assert len(narrow.received) + len(wide.received) == 50


async def test_request_returns_the_first_reply(connect, prefix):
    here, there = await connect(), await connect()

    def answer(_: str, payload: bytes, reply: str, __) -> None:
        there.publish_nowait(reply, payload.upper(), headers={"Kind": "first"})
        there.publish_nowait(reply, b"late")

    await there.subscribe(f"{prefix}.a", answer)
    await there.flush()
    response = await here.request(f"{prefix}.a", b"hello", timeout=5.0)
    assert (response.payload, response.headers) == (b"HELLO", {"Kind": "first"})


async def test_many_requests_at_once_each_get_their_own_reply(connect, prefix):
    here, there = await connect(), await connect()
    await there.subscribe(f"{prefix}.a", lambda _, payload, reply, __: there.publish_nowait(reply, payload))
    await there.flush()
    answers: dict[int, bytes] = {}

    async def ask(number: int) -> None:
        answers[number] = (await here.request(f"{prefix}.a", str(number).encode(), timeout=5.0)).payload

    async with anyio.create_task_group() as tasks:
        for number in range(100):
            tasks.start_soon(ask, number)
    assert answers == {number: str(number).encode() for number in range(100)}


async def test_request_to_nobody_fails_at_once(connect, prefix):
    transport = await connect()
    with anyio.fail_after(2.0), pytest.raises(NoResponders):
        await transport.request(f"{prefix}.nobody", b"", timeout=60.0)


async def test_request_without_a_reply_ends_at_its_timeout(connect, prefix):
    transport = await connect()
    await transport.subscribe(f"{prefix}.a", lambda *_: None)
    with anyio.fail_after(5.0), pytest.raises(RequestTimeout):
        await transport.request(f"{prefix}.a", b"", timeout=0.05)


async def test_cancelled_request_leaves_nothing_behind(connect, prefix):
    transport = await connect()
    replies: list[str] = []
    await transport.subscribe(f"{prefix}.a", lambda _, __, reply, ___: replies.append(reply))
    with anyio.move_on_after(0.05):
        await transport.request(f"{prefix}.a", b"")
    transport.publish_nowait(replies[0], b"too late")
    await transport.flush()
    assert not transport._awaited


async def test_requests_that_wait_fail_when_the_connection_is_closed(connect, prefix):
    transport = await connect()
    await transport.subscribe(f"{prefix}.a", lambda *_: None)

    async def ask() -> None:
        with pytest.raises(NotConnected):
            await transport.request(f"{prefix}.a", b"", timeout=60.0)

    with anyio.fail_after(5.0):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            await transport.close()


async def test_drained_subscription_has_got_all_that_was_sent_before_and_gets_no_more(connect, prefix):
    here, there = await connect(), await connect()
    sink = Collector()
    subscription = await there.subscribe(f"{prefix}.a", sink)
    await there.flush()
    for number in range(500):
        await here.publish(f"{prefix}.a", str(number).encode())
    await here.flush()
    await subscription.drain()
    assert len(sink.received) == 500
    await here.publish(f"{prefix}.a", b"after")
    await here.flush()
    await there.flush()
    assert len(sink.received) == 500


async def test_payload_and_headers_together_are_held_against_the_limit_and_the_connection_lives(connect, prefix):
    transport = await connect()
    sink = Collector()
    await transport.subscribe(f"{prefix}.a", sink)
    almost = b"x" * (transport.max_payload - 100)
    with pytest.raises(PayloadTooLarge, match="max_payload"):
        await transport.publish(f"{prefix}.a", almost, headers={"Key": "v" * 200})
    await transport.publish(f"{prefix}.a", almost)
    assert await sink.wait(1) == [almost]
    assert transport.is_connected


@pytest.mark.parametrize("subject", ["", "a b", "a..b", "a.*", "a.>", "a\r\nPUB x 0", ".a"])
async def test_malformed_subject_is_refused_before_anything_is_sent(connect, subject):
    transport = await connect()
    with pytest.raises(ValueError, match="cannot publish"):
        await transport.publish(subject, b"")
    with pytest.raises(ValueError, match="cannot publish"):
        await transport.request(subject, b"", timeout=1.0)


async def test_sink_may_publish_without_upsetting_the_order(connect, prefix):
    transport = await connect()
    echo, seen = Collector(), Collector()

    def relay(_: str, payload: bytes, __: str, ___) -> None:
        transport.publish_nowait(f"{prefix}.echo", payload)

    await transport.subscribe(f"{prefix}.a", relay)
    await transport.subscribe(f"{prefix}.a", seen)
    await transport.subscribe(f"{prefix}.echo", echo)
    for number in range(10):
        await transport.publish(f"{prefix}.a", str(number).encode())
    assert await echo.wait(10) == await seen.wait(10)


async def test_closed_transport_refuses_everything_and_can_be_closed_again(connect, prefix):
    transport = await connect()
    await transport.close()
    await transport.close()
    assert not transport.is_connected
    for attempt in (
        lambda: transport.publish(f"{prefix}.a", b""),
        lambda: transport.request(f"{prefix}.a", b"", timeout=1.0),
        transport.flush,
        lambda: transport.subscribe(f"{prefix}.a", lambda *_: None),
    ):
        with pytest.raises(NotConnected):
            await attempt()


async def test_publish_in_a_cancelled_scope_sends_nothing(connect, prefix):
    transport = await connect()
    sink = Collector()
    await transport.subscribe(f"{prefix}.a", sink)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await transport.publish(f"{prefix}.a", b"")
    assert scope.cancelled_caught
    await transport.flush()
    assert sink.received == []


@pytest.mark.parametrize("where", ["subject", "reply"])
async def test_subject_that_is_too_long_is_refused_and_the_connection_lives(connect, where):
    transport = await connect()
    subjects = {"subject": "a", "reply": "_INBOX.a"} | {where: "a" * 2001}
    with pytest.raises(ValueError, match="it is over 2000 bytes"):
        transport.publish_nowait(subjects["subject"], b"", reply=subjects["reply"])
    await transport.flush()
    assert transport.is_connected
