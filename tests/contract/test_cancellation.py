"""Each operation of each transport, cancelled at each of its checkpoints: nothing is left, and all works on."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from cliffracer.testing import FaultyTransport
from cliffracer.transport.contract import Transport
from cliffracer.transport.local import LocalBroker, LocalTransport
from cliffracer.transport.nats import NatsOptions, NatsTransport
from tests.cancellation import By, cancel_everywhere

pytestmark = pytest.mark.anyio


class Bench:
    """Transports on one broker, and a count of what they leave behind."""

    def __init__(self, kind: str, url: str, broker: LocalBroker) -> None:
        self._kind = kind
        self._url = url
        self._broker = broker
        self.prefix = f"test.{uuid.uuid4().hex}"
        self.received: list[bytes] = []

    def make(self) -> Transport:
        inner = NatsTransport(NatsOptions(servers=(self._url,))) if self._url else LocalTransport(self._broker)
        return FaultyTransport(inner) if self._kind.endswith("faulty") else inner

    async def start(self) -> None:
        self.transport, self.other = self.make(), self.make()
        await self.transport.connect(lambda _: None)
        await self.other.connect(lambda _: None)
        await self.other.subscribe(self.subject("echo"), self._echo)
        await self.other.subscribe(self.subject("mute"), lambda *_: None)
        await self.other.subscribe(self.subject("sink"), self.take)
        await self.other.flush()
        self.subscriptions = self.count_subscriptions(self.transport)

    async def stop(self) -> None:
        await self.transport.close()
        await self.other.close()

    def subject(self, name: str) -> str:
        return f"{self.prefix}.{name}"

    def take(self, _: str, payload: bytes, __: str, ___) -> None:
        self.received.append(payload)

    def _echo(self, _: str, payload: bytes, reply: str, __) -> None:
        if reply:
            self.other.publish_nowait(reply, payload)

    def count_subscriptions(self, transport: Any) -> list[int]:
        """At each layer: the fault kit's, the transport's, the client's or the broker's."""
        counts: list[int] = []
        if isinstance(transport, FaultyTransport):
            counts.append(len(transport._subscriptions))
            transport = transport._inner
        if isinstance(transport, NatsTransport):
            client = transport._client
            return [
                *counts,
                len(transport._subscriptions),
                len(client._subs),
                len(getattr(client._ps, "_sinks", client._subs)),
            ]
        return [*counts, sum(subscription.owner is transport for subscription in self._broker._subscriptions)]

    async def check(self) -> None:
        """Find nothing left behind, and the transport at work."""
        inner = getattr(self.transport, "_inner", self.transport)
        assert not self.transport._awaited
        assert not inner._awaited
        assert not self._broker._inboxes
        assert self.count_subscriptions(self.transport) == self.subscriptions
        response = await self.transport.request(self.subject("echo"), b"still here", timeout=10.0)
        assert response.payload == b"still here"
        if isinstance(inner, NatsTransport):
            assert not inner._client._pongs


@pytest.fixture(params=["local", "local-faulty", "nats", "nats-faulty"])
async def bench(request: pytest.FixtureRequest, anyio_backend) -> AsyncIterator[Bench]:
    url = ""
    if request.param.startswith("nats"):
        if anyio_backend[0] != "asyncio":
            pytest.skip("nats-py runs on asyncio only")
        url = request.getfixturevalue("nats_url")
    bench = Bench(request.param, url, LocalBroker())
    await bench.start()
    yield bench
    await bench.stop()


@pytest.fixture(params=["scope", "task"])
def by(request: pytest.FixtureRequest, anyio_backend) -> By:
    if request.param == "task" and anyio_backend[0] != "asyncio":
        pytest.skip("only asyncio cancels tasks one by one")
    return request.param


async def test_publish_that_is_cancelled_has_sent_nothing(bench: Bench, by: By):
    sent = 0

    async def publish() -> None:
        nonlocal sent
        for _ in range(300):  # every so often it lets others run
            await bench.transport.publish(bench.subject("sink"), b"x")
            sent += 1

    async def check() -> None:
        await bench.check()
        await bench.transport.flush()
        await bench.other.flush()
        assert len(bench.received) == sent

    assert await cancel_everywhere(publish, check, by=by) > 0


async def test_publisher_that_another_one_cancels_in_the_same_turn_sends_nothing(bench: Bench):
    """The other one has published in this turn, so the transport has been asked for a cancellation already."""
    both_are_awake, victim = anyio.Event(), anyio.CancelScope()
    was_cancelled = False

    async def cancel() -> None:
        await both_are_awake.wait()
        await bench.transport.publish(bench.subject("sink"), b"mine")
        victim.cancel()

    async def be_cancelled() -> None:
        nonlocal was_cancelled
        await both_are_awake.wait()
        was_cancelled = victim.cancel_called  # trio may wake this one first
        with victim:
            await bench.transport.publish(bench.subject("sink"), b"theirs")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cancel)
        tasks.start_soon(be_cancelled)
        await anyio.wait_all_tasks_blocked()
        both_are_awake.set()
    await bench.transport.flush()
    await bench.other.flush()
    assert was_cancelled or not isinstance(bench.transport, NatsTransport)  # the others let it go first now and then
    assert not (was_cancelled and b"theirs" in bench.received)
    assert b"mine" in bench.received


async def test_publisher_that_cancels_itself_without_waiting_notices_it_soon(bench: Bench):
    with anyio.CancelScope() as scope:
        await bench.transport.publish(bench.subject("sink"), b"before")
        scope.cancel()
        for _ in range(1000):
            await bench.transport.publish(bench.subject("sink"), b"after")
    assert scope.cancelled_caught
    await bench.transport.flush()
    await bench.other.flush()
    assert bench.received.count(b"after") <= 256


async def test_publish_that_waits_for_room_is_cancelled(nats_url, anyio_backend, by: By):
    if anyio_backend[0] != "asyncio":
        pytest.skip("nats-py runs on asyncio only")
    bench = Bench("nats", nats_url, LocalBroker())
    await bench.start()
    lump = b"x" * 1024 * 1024

    async def publish() -> None:
        for _ in range(9):
            bench.transport.publish_nowait(bench.subject("nobody"), lump)
        await bench.transport.publish(bench.subject("sink"), b"x")

    assert await cancel_everywhere(publish, bench.check, by=by) > 0
    await bench.stop()


async def test_request_that_is_cancelled_leaves_nothing(bench: Bench, by: By):
    async def ask() -> bytes:
        return (await bench.transport.request(bench.subject("echo"), b"x", timeout=10.0)).payload

    assert await cancel_everywhere(ask, bench.check, by=by, result=b"x") > 0


async def test_request_without_a_reply_that_is_cancelled_leaves_nothing(bench: Bench, by: By):
    async def ask() -> None:
        with anyio.move_on_after(0.05):
            await bench.transport.request(bench.subject("mute"), b"x")

    assert await cancel_everywhere(ask, bench.check, by=by) > 0


async def test_request_that_faults_hold_back_is_cancelled_without_a_trace(bench: Bench, by: By):
    if not isinstance(bench.transport, FaultyTransport):
        pytest.skip("there are no faults on it")
    faults, wire = bench.transport.faults, bench.transport

    async def ask() -> bytes:
        with faults.delay(0.01), faults.reorder(within=0.01), faults.duplicate():
            return (await wire.request(bench.subject("echo"), b"x", timeout=10.0)).payload

    async def check() -> None:
        await wire.wait_empty()
        await bench.check()

    assert await cancel_everywhere(ask, check, by=by, result=b"x") > 0


async def test_subscribe_that_is_cancelled_leaves_no_subscription(bench: Bench, by: By):
    made: list[Any] = []

    async def subscribe() -> None:
        made.append(await bench.transport.subscribe(bench.subject("new"), bench.take))

    async def check() -> None:
        while made:
            await made.pop().drain()
        await bench.check()

    await cancel_everywhere(subscribe, check, by=by)


async def test_drain_that_is_cancelled_ends_the_subscription_all_the_same(bench: Bench, by: By):
    subscription = await bench.transport.subscribe(bench.subject("new"), bench.take)

    async def drain() -> None:
        await subscription.drain()

    async def check() -> None:
        nonlocal subscription
        await bench.check()
        await bench.transport.flush()
        bench.received.clear()
        await bench.transport.publish(bench.subject("new"), b"x")
        await bench.transport.flush()
        await anyio.lowlevel.checkpoint()
        assert bench.received == []
        subscription = await bench.transport.subscribe(bench.subject("new"), bench.take)
        bench.subscriptions = bench.count_subscriptions(bench.transport)
        bench.subscriptions = [number - 1 for number in bench.subscriptions]

    await cancel_everywhere(drain, check, by=by)
    await subscription.drain()


async def test_flush_that_is_cancelled_leaves_nothing(bench: Bench, by: By):
    await cancel_everywhere(bench.transport.flush, bench.check, by=by)


async def test_connect_that_is_cancelled_leaves_no_connection_and_may_be_tried_again(bench: Bench, by: By):
    made: list[Transport] = []

    async def connect() -> None:
        made.append(bench.make())
        await made[-1].connect(lambda _: None)
        made.append(made.pop())  # it got there
        await made[-1].close()

    async def check() -> None:
        assert not made[-1].is_connected
        await bench.check()
        again = bench.make()
        await again.connect(lambda _: None)
        await again.flush()
        await again.close()

    assert await cancel_everywhere(connect, check, by=by) > 0


async def test_same_transport_connects_after_a_connect_that_was_cancelled(bench: Bench, by: By):
    transport = bench.make()

    async def connect() -> None:
        nonlocal transport
        await transport.connect(lambda _: None)
        await transport.close()
        transport = bench.make()

    async def check() -> None:
        nonlocal transport
        assert not transport.is_connected
        if bench.count_subscriptions(transport)[-1] == 0:
            await transport.connect(lambda _: None)
            await transport.flush()
            await transport.close()
        transport = bench.make()
        await bench.check()

    assert await cancel_everywhere(connect, check, by=by) > 0


async def test_close_that_is_cancelled_has_closed_it_or_can_be_called_again(bench: Bench, by: By):
    transport = bench.make()
    await transport.connect(lambda _: None)
    await transport.subscribe(bench.subject("new"), bench.take)

    async def close() -> None:
        await transport.close()

    async def check() -> None:
        nonlocal transport
        assert not getattr(transport, "_inner", transport).is_connected
        await bench.check()
        transport = bench.make()
        await transport.connect(lambda _: None)
        await transport.subscribe(bench.subject("new"), bench.take)

    await cancel_everywhere(close, check, by=by)
    await transport.close()
