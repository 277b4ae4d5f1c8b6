"""What a node is asked for, cancelled at each checkpoint: nothing is left behind, and the node works on."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from cliffracer import (
    Actor,
    DynamicSupervisor,
    Mailbox,
    Settings,
    Supervisor,
    SupervisorRef,
    TaskSupervisor,
    TaskSupervisorRef,
    call,
    cast,
    child,
    event,
    pool,
)
from cliffracer.testing import TestNode
from cliffracer.transport.contract import Transport
from cliffracer.transport.local import LocalBroker, LocalTransport
from cliffracer.transport.nats import NatsOptions, NatsTransport
from tests.cancellation import By, cancel_everywhere, tasks_living

pytestmark = pytest.mark.anyio

SETTINGS = Settings(node_name="test", call_timeout=5.0, drain_timeout=5.0)


class Echo(Actor, mailbox=Mailbox(1)):
    """Takes its time, and takes one more."""

    @call
    async def echo(self, number: int) -> int:
        await anyio.sleep(0.002)
        return number

    @cast
    async def note(self, number: int) -> None:
        await anyio.sleep(0.002)

    @event("echo.said")
    async def on_said(self) -> None: ...


class Careful(Actor):
    """Waits when it starts, and when it stops."""

    async def on_start(self) -> None:
        await anyio.sleep(0.002)

    async def on_stop(self, reason: Any) -> None:
        await anyio.sleep(0.002)

    @call
    async def ping(self) -> int:
        return 1


async def poll() -> None:
    await anyio.sleep_forever()


async def serve(*, task_status: Any) -> None:
    await anyio.sleep(0.002)
    task_status.started()
    await anyio.sleep_forever()


async def job() -> int:
    await anyio.sleep(0.002)
    return 7


def tree() -> Supervisor:
    return Supervisor(
        "root",
        child(Echo),
        child(Careful),
        pool(child(Careful).replace(name="pooled"), size=2),
        Supervisor("inner", child(poll), child(serve)),
        DynamicSupervisor("guests"),
        TaskSupervisor("jobs"),
    )


class Bench:
    """A node, and what it must not leave behind."""

    def __init__(self, url: str, broker: LocalBroker) -> None:
        self._url = url
        self.broker = broker

    def transport(self) -> Transport:
        return NatsTransport(NatsOptions(servers=(self._url,))) if self._url else LocalTransport(self.broker)

    def make(self) -> TestNode:
        return TestNode(tree(), transport=self.transport(), settings=SETTINGS)

    async def use(self, node: TestNode) -> None:
        self.node = node
        await self.node.settle()
        self.before = self.count()

    def count(self) -> dict[str, Any]:
        """What has to be as before when all is settled."""
        node, host = self.node, self.node._running()
        inner: Any = node.wire._inner
        return {
            "requests": len(node.wire._awaited) + len(inner._awaited) + len(self.broker._inboxes),
            "subscriptions": len(node.wire._subscriptions),
            "subscriptions inside": len(inner._client._subs) if self._url else len(self.broker._subscriptions),
            "timers": len(host.timers),
            "senders": [cell.queue.statistics().senders_waiting for cell in host.registry],
            "messages": [cell.queue.statistics().depth for cell in host.registry],
            "watchers": [
                len(record.process._watchers or ())
                for record in host.registry._records.values()
                if record.process is not None
            ],
            "children": sorted(host.registry._records),
        }

    async def check(self) -> None:
        await self.node.settle(within=10.0)
        with anyio.move_on_after(1.0):  # less than a call may take: no timer may go by running out
            while self.count() != self.before:
                await anyio.sleep(0.01)
        assert self.count() == self.before
        assert await self.node.ref(Echo).echo(5) == 5
        assert await self.node.ref(Careful, prefer_local=False).ping() == 1
        await self.node.settle()


@pytest.fixture(params=["local", "nats"])
def bench(request: pytest.FixtureRequest, anyio_backend) -> Bench:
    url = ""
    if request.param == "nats":
        if anyio_backend[0] != "asyncio":
            pytest.skip("nats-py runs on asyncio only")
        url = request.getfixturevalue("nats_url")
    return Bench(url, LocalBroker())


@pytest.fixture
async def running(bench: Bench) -> AsyncIterator[Bench]:
    async with bench.make() as node:
        await bench.use(node)
        yield bench


@pytest.fixture(params=["scope", "task"])
def by(request: pytest.FixtureRequest, anyio_backend) -> By:
    if request.param == "task" and anyio_backend[0] != "asyncio":
        pytest.skip("only asyncio cancels tasks one by one")
    return request.param


@pytest.fixture(params=[True, False], ids=["near", "far"])
def near(request: pytest.FixtureRequest) -> bool:
    return request.param


async def test_call_that_is_cancelled_leaves_nothing(running: Bench, by: By, near: bool):
    async def ask() -> int:
        return await running.node.ref(Echo, prefer_local=near).echo(1)

    assert await cancel_everywhere(ask, running.check, by=by, result=1) > 0


async def test_call_that_waits_for_room_is_cancelled_and_never_arrives(running: Bench, by: By):
    echo = running.node.ref(Echo)

    async def ask() -> int:
        cell = running.node._running().registry.find("echo")
        assert cell is not None
        while cell.queue.statistics().depth < cell.queue.options.capacity:
            await echo.note(0)
        return await echo.echo(1)

    assert await cancel_everywhere(ask, running.check, by=by, result=1) > 0


async def test_cast_that_is_cancelled_leaves_nothing(running: Bench, by: By, near: bool):
    async def send() -> None:
        await running.node.ref(Echo, prefer_local=near).note(1)

    await cancel_everywhere(send, running.check, by=by)


async def test_publish_that_is_cancelled_leaves_nothing(running: Bench, by: By):
    async def publish() -> None:
        await running.node.publish("echo.said", None)

    await cancel_everywhere(publish, running.check, by=by)


async def test_get_state_that_is_cancelled_leaves_no_watcher(running: Bench, by: By):
    async def look() -> dict[str, Any]:
        return await running.node.get_state(running.node.ref(Echo))

    assert await cancel_everywhere(look, running.check, by=by, result={}) > 0


async def test_start_of_a_child_that_is_cancelled_is_carried_out_and_leaves_nothing_else(running: Bench, by: By):
    guests = running.node.ref(SupervisorRef, "guests")

    async def start() -> None:
        await guests.start_child(child(Careful).replace(name="guest"))

    async def check() -> None:
        await running.node.settle(within=10.0)
        for info in await guests.which_children():
            await guests.terminate_child(info.id)
        await running.check()

    assert await cancel_everywhere(start, check, by=by) > 0


async def test_end_of_a_child_that_is_cancelled_is_carried_out_and_leaves_nothing_else(running: Bench, by: By):
    inner = running.node.ref(SupervisorRef, "inner")

    async def stop() -> None:
        await inner.terminate_child("serve")

    async def check() -> None:
        await running.node.settle(within=10.0)
        assert {info.id: info.state for info in await inner.which_children()} == {"poll": "running", "serve": "stopped"}
        await inner.restart_child("serve")
        await running.check()

    assert await cancel_everywhere(stop, check, by=by) > 0


async def test_stop_of_an_actor_that_is_cancelled_is_carried_out_and_it_is_restarted(running: Bench, by: By):
    async def stop() -> None:
        await running.node.stop(running.node.ref(Careful))

    assert await cancel_everywhere(stop, running.check, by=by) > 0


async def test_job_that_is_cancelled_while_its_result_is_awaited_leaves_nothing(running: Bench, by: By):
    jobs = running.node.ref(TaskSupervisorRef, "jobs")

    async def work() -> Any:
        return await jobs.start_soon(job).result()

    assert await cancel_everywhere(work, running.check, by=by, result=7) > 0


async def test_node_that_is_cancelled_in_its_start_its_block_or_its_stop_leaves_nothing(bench: Bench, by: By):
    made: list[TestNode] = []

    async def live() -> str:
        made.append(bench.make())
        async with made[-1] as node:
            await node.ref(Careful).ping()
            await node.publish("echo.said", None)
        return "done"

    async def check() -> None:
        node = made.pop()
        assert len(node.logged("node_stopped")) == len(node.logged("broker_connected"))
        assert not node.wire.is_connected
        assert not node.wire._inner.is_connected
        assert not bench.broker._subscriptions
        assert not bench.broker._inboxes
        crashed = node.logged("child_crashed") + node.logged("actor_crashed")
        assert crashed == [], crashed

    before = tasks_living()
    assert await cancel_everywhere(live, check, by=by, result="done") > 5
    assert tasks_living() <= before
