"""A node for tests: what it runs, what it keeps, when it has settled."""

import anyio
import pytest

from cliffracer import (
    Actor,
    ActorCrashed,
    CallTimeout,
    Disconnected,
    NoActor,
    Settings,
    SpecError,
    Supervisor,
    call,
    cast,
    child,
    event,
    every,
)
from cliffracer.testing import Faults, Probe, TestNode, settle_all
from cliffracer.transport.local import LocalBroker, LocalTransport

pytestmark = pytest.mark.anyio


class Counter(Actor):
    def __init__(self, start: int = 0) -> None:
        self.value = start

    @call
    async def add(self, amount: int) -> int:
        self.value += amount
        return self.value

    @cast
    async def note(self, amount: int) -> None:
        await anyio.sleep(0.5)
        self.value += amount

    @event("amounts.{amount}")
    async def on_amount(self, amount: int) -> None:
        self.value += amount


class Relay(Actor):
    """Passes on what it gets, to another node or not."""

    @cast
    async def pass_on(self, amount: int) -> None:
        await anyio.sleep(0.5)
        await self.ref(Counter).note(amount)

    @call
    async def ask(self, amount: int) -> int:
        return await self.ref(Counter).add(amount)


async def test_children_run_and_are_called_by_refs():
    async with TestNode(child(Counter, 10), child(Relay)) as node:
        assert await node.ref(Counter).add(1) == 11
        assert await node.ref(Relay).ask(1) == 12
        assert node.statistics()["counter"].handled == 2


async def test_tree_is_used_as_it_is():
    async with TestNode(Supervisor("shop", child(Counter))) as node:
        assert node.tree().root.id == "shop"


async def test_children_of_other_kinds_hang_below_a_root_with_the_strategy_given():
    inner = Supervisor("inner", child(Counter))
    async with TestNode(inner, child(Relay), strategy="one_for_all", max_restarts=7) as node:
        assert node.tree().root.id == "test"
        assert [one.id for one in node.tree().root.children] == ["inner", "relay"]
        assert node.tree().root.strategy == "one_for_all"
        assert node.tree().root.max_restarts == 7


async def test_environment_is_not_read(monkeypatch):
    monkeypatch.setenv("CLIFFRACER_NONSENSE", "1")
    monkeypatch.setenv("CLIFFRACER_NATS_URL", "nats://127.0.0.1:1")
    async with TestNode(child(Counter)) as node:
        assert await node.ref(Counter).add(1) == 1


async def test_settings_are_used_as_given():
    async with TestNode(child(Counter), settings=Settings(node_name="other", namespace="eu")) as node:
        assert node.name == "other"
        assert node.tree().namespace == "eu"


async def test_log_is_kept_as_data_and_printed_nowhere(capsys):
    async with TestNode(child(Counter)) as node:
        with pytest.raises(ActorCrashed) as caught:
            await node.ref(Counter).add("x")
        (line,) = node.logged("actor_crashed")
    assert (line["level"], line["actor"], line["node"]) == ("error", "counter", "test")
    assert line["incident"] == caught.value.incident
    assert [line["event"] for line in node.log_lines][-1] == "node_stopped"
    assert node.logged("nothing_like_it") == []
    assert capsys.readouterr() == ("", "")


async def test_nodes_with_one_broker_hear_each_other_and_others_do_not():
    broker = LocalBroker()
    async with TestNode(child(Counter), broker=broker), TestNode(broker=broker, name="b") as b, TestNode() as c:
        assert b.name == "b"
        assert await b.ref(Counter).add(1) == 1
        with pytest.raises(NoActor):
            await c.ref(Counter).add(1)


async def test_broker_and_transport_together_are_refused():
    with pytest.raises(SpecError, match="leave one out"):
        TestNode(broker=LocalBroker(), transport=LocalTransport())


async def test_settled_node_has_handled_all_and_what_that_caused():
    async with TestNode(child(Counter), child(Relay)) as node:
        for _ in range(3):
            await node.ref(Relay).pass_on(1)
        assert node.busy() == ["relay"]
        await node.settle()
        assert node.is_settled
        assert (await node.get_state(node.ref(Counter)))["value"] == 3


async def test_settled_node_has_handled_what_was_held_back_on_the_line():
    async with TestNode(child(Counter)) as node:
        node.wire.faults.delay(2.0)
        await node.publish("amounts.5", None)
        await node.settle()
        assert (await node.get_state(node.ref(Counter)))["value"] == 5


async def test_several_nodes_settle_together():
    broker = LocalBroker()
    async with TestNode(child(Counter), broker=broker) as a, TestNode(child(Relay), broker=broker, name="b") as b:
        await b.ref(Relay).pass_on(1)
        await settle_all(a, b)
        assert (await a.get_state(a.ref(Counter)))["value"] == 1


async def test_node_that_does_not_settle_says_who_is_at_work():
    async with TestNode(Probe.of(Counter), child(Relay), settings=Settings(call_timeout=60.0)) as node:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(node.ref(Relay).ask, 1)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(TimeoutError, match=r"within 3 s; at work: \S+: relay"):
                await node.settle(within=3.0)
            tasks.cancel_scope.cancel()


async def test_ticks_do_not_keep_a_node_from_settling():
    class Clock(Actor):
        @every(1.0)
        async def tick(self) -> None: ...

    async with TestNode(child(Clock)) as node:
        begin = anyio.current_time()
        await node.settle()
        assert anyio.current_time() - begin < 1.0


async def test_call_that_gets_no_answer_ends_soon():
    async with TestNode(Probe.of(Counter)) as node:
        begin = anyio.current_time()
        with pytest.raises(CallTimeout):
            await node.ref(Counter).add(1)
        assert anyio.current_time() - begin < 2.0


async def test_faults_can_be_given_and_shared_and_the_line_be_cut():
    broker, faults = LocalBroker(), Faults(seed=3)
    lost = faults.drop("counter.add", times=1)
    async with (
        TestNode(child(Counter), broker=broker, faults=faults),
        TestNode(broker=broker, faults=faults, name="b") as b,
    ):
        with pytest.raises(CallTimeout):
            await b.ref(Counter).add(1)
        assert lost.count == 1
        assert await b.ref(Counter).add(1) == 1
        async with b.wire.outage():
            assert not b.is_ready
            with pytest.raises(Disconnected):
                await b.ref(Counter).add(1)
        assert b.is_ready
        assert await b.ref(Counter).add(1) == 2
        assert [line["event"] for line in b.log_lines if line["event"].startswith("broker_")] == [
            "broker_connected",
            "broker_disconnected",
            "broker_reconnected",
        ]


@pytest.mark.parametrize("for_good", [False, True])
@pytest.mark.parametrize("seconds", [2.0, 60.0])
async def test_node_comes_back_by_itself_from_any_cut(for_good, seconds):
    broker = LocalBroker()
    async with TestNode(child(Counter), broker=broker) as node, TestNode(broker=broker, name="b") as b:
        with node.wire.faults.refuse_connect() as refused:
            await node.wire.cut(for_good=for_good)
            assert not node.is_ready
            with pytest.raises(NoActor):
                await b.ref(Counter).add(1)
            await anyio.sleep(seconds)
        await node.wire.restore()
        with anyio.fail_after(20.0):
            while not node.is_ready:
                await anyio.sleep(0.1)
        assert await b.ref(Counter).add(1) == 1
        assert bool(refused.count) is (for_good or seconds > 20.0)


async def test_it_is_no_test_class_to_pytest():
    assert TestNode.__test__ is False
