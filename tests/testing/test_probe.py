"""An actor in the hands of a test: what it gets, how it answers, what it is told."""

from typing import Any

import anyio
import pytest
from msgspec import Struct

from cliffracer import (
    Actor,
    ActorCrashed,
    CallTimeout,
    Crashed,
    Disconnected,
    Mailbox,
    Node,
    NotRunning,
    Refusal,
    Settings,
    Stopping,
    Supervisor,
    Upstream,
    call,
    cast,
    child,
    event,
    every,
)
from cliffracer.testing import Heard, Probe, TestNode
from cliffracer.transport.local import LocalBroker

pytestmark = pytest.mark.anyio


class OutOfStock(Refusal):
    """None left."""


class Order(Struct, frozen=True):
    sku: str
    qty: int = 1


class Inventory(Actor, mailbox=Mailbox(7)):
    @call
    async def reserve(self, sku: str, qty: int = 1) -> int:
        raise NotImplementedError

    @call
    async def find(self, sku: str, *, exact: bool = False) -> Order | None:
        raise NotImplementedError

    @cast
    async def restock(self, sku: str, qty: int) -> None: ...

    @event("orders.{order_id}.cancelled")
    async def on_cancelled(self, order_id: str, order: Order) -> None: ...

    @every(1.0)
    async def report(self) -> None: ...


class Orders(Actor):
    @call(concurrent=True)
    async def place(self, sku: str) -> str:
        left = await self.ref(Inventory).reserve(sku)
        await self.publish("orders.placed", Order(sku))
        return f"{left} left"

    @call
    async def crash(self) -> None:
        raise RuntimeError("asked to")


async def test_call_is_kept_with_its_arguments_and_answered_by_the_test():
    inventory = Probe.of(Inventory)
    answers: list[str] = []
    async with TestNode(inventory, child(Orders)) as node, anyio.create_task_group() as tasks:

        async def place() -> None:
            answers.append(await node.ref(Orders).place("A1"))

        tasks.start_soon(place)
        message = await inventory.expect("reserve")
        assert (message.kind, message.handler) == ("call", "reserve")
        assert message.arguments == {"sku": "A1", "qty": 1}
        assert not message.is_answered
        message.reply(8)
    assert answers == ["8 left"]
    assert message.is_answered


async def test_calls_are_taken_while_others_are_unanswered_and_answered_in_any_order():
    inventory = Probe.of(Inventory)
    answers: dict[str, str] = {}
    async with TestNode(inventory, child(Orders)) as node, anyio.create_task_group() as tasks:

        async def place(sku: str) -> None:
            answers[sku] = await node.ref(Orders).place(sku)

        tasks.start_soon(place, "A1")
        first = await inventory.expect("reserve")
        tasks.start_soon(place, "B2")
        second = await inventory.expect("reserve")
        second.reply(2)
        first.reply(1)
    assert answers == {"A1": "1 left", "B2": "2 left"}


async def test_casts_and_events_for_the_class_are_kept_and_keyword_only_arguments_too():
    async with TestNode(Probe("unused")) as node:
        inventory = await node.probe(Inventory)
        inventory.answer(Inventory.find, None)
        await node.ref(Inventory).restock("A1", qty=3)
        await node.publish("orders.7.cancelled", Order("A1", 2))
        await node.ref(Inventory).find("A1", exact=True)
        kept = [(message.kind, message.handler, message.arguments) for message in inventory.messages]
    assert kept == [
        ("cast", "restock", {"sku": "A1", "qty": 3}),
        ("event", "on_cancelled", {"order_id": "7", "order": Order("A1", 2)}),
        ("call", "find", {"sku": "A1", "exact": True}),
    ]


async def test_ticks_of_the_class_are_no_messages():
    inventory = Probe.of(Inventory)
    async with TestNode(inventory) as node:
        await anyio.sleep(3.5)
        await node.settle()
        assert inventory.messages == []


async def test_probe_has_the_name_and_the_options_of_the_class_or_another_name():
    assert Probe.of(Inventory).name == "inventory"
    assert Probe.of(Inventory).child.mailbox == Mailbox(7)
    assert Probe.of(Inventory, "far").name == Probe.of(Inventory, "far").child.id == "far"
    assert Probe().name == "probe"


@pytest.mark.parametrize("answer", [8, lambda sku, qty: 7 + qty], ids=["value", "function"])
async def test_answer_is_given_at_once_and_the_message_kept(answer):
    inventory = Probe.of(Inventory)
    inventory.answer("reserve", answer)
    async with TestNode(inventory, child(Orders)) as node:
        assert await node.ref(Orders).place("A1") == "8 left"
        message = await inventory.expect("reserve")
        assert message.is_answered
        with pytest.raises(RuntimeError, match="answered already"):
            message.reply(9)


async def test_answer_may_take_its_time():
    async def slowly(sku: str, qty: int) -> int:
        await anyio.sleep(0.5)
        return 8

    inventory = Probe.of(Inventory)
    inventory.answer("reserve", slowly)
    async with TestNode(inventory) as node:
        begin = anyio.current_time()
        assert await node.ref(Inventory).reserve("A1") == 8
        assert anyio.current_time() - begin >= 0.5


async def test_refusal_reaches_the_caller_and_the_probe_lives_on():
    inventory = Probe.of(Inventory)

    def refuse(**_: Any) -> int:
        raise OutOfStock("none left", data=3)

    async with TestNode(inventory) as node:
        inventory.answer("reserve", refuse)
        with pytest.raises(OutOfStock, match="none left") as caught:
            await node.ref(Inventory).reserve("A1")
        assert caught.value.data == 3
        async with anyio.create_task_group() as tasks:

            async def find() -> None:
                with pytest.raises(Disconnected):
                    await node.ref(Inventory).find("A1")

            tasks.start_soon(find)
            await inventory.expect("reserve")
            await inventory.expect("find")
            inventory.refuse(Disconnected("inventory.find", "the broker is away"))
        assert node.statistics()["inventory"].incarnation == 1


async def test_crash_reaches_the_caller_as_one_and_the_supervisor_restarts_the_probe():
    inventory = Probe.of(Inventory)
    async with TestNode(inventory, child(Orders)) as node:
        async with anyio.create_task_group() as tasks:

            async def reserve() -> None:
                with pytest.raises(ActorCrashed, match="incident") as caught:
                    await node.ref(Inventory).reserve("A1")
                incidents.append(caught.value.incident)

            incidents: list[str] = []
            tasks.start_soon(reserve)
            await inventory.expect("reserve")
            inventory.crash(KeyError("A1"))
        await node.settle()
        (line,) = node.logged("child_restarting")
        assert line["reason"] == f"crashed: KeyError: 'A1' (incident {incidents[0]})"
        inventory.answer("reserve", 8)
        assert await node.ref(Orders).place("A1") == "8 left"
        assert node.statistics()["inventory"].incarnation == 2


async def test_answer_of_another_type_than_the_handler_declares_is_refused_in_the_test():
    inventory = Probe.of(Inventory)
    async with TestNode(inventory) as node, anyio.create_task_group() as tasks:
        tasks.start_soon(node.ref(Inventory).reserve, "A1")
        message = await inventory.expect("reserve")
        with pytest.raises(TypeError, match=r"inventory.reserve cannot return 'eight': Expected `int`"):
            message.reply("eight")
        message.reply(8)
        inventory.answer("reserve", "eight")
        with pytest.raises(ActorCrashed):
            await node.ref(Inventory).reserve("A1")
        assert "cannot return 'eight'" in node.logged("actor_crashed")[0]["error"]


async def test_calls_that_are_unanswered_at_the_end_are_told_so():
    inventory = Probe.of(Inventory)
    async with anyio.create_task_group() as tasks:
        async with TestNode(inventory, settings=Settings(call_timeout=600.0)) as node:

            async def reserve() -> None:
                with pytest.raises(Stopping, match="before it answered"):
                    await node.ref(Inventory).reserve("A1")

            tasks.start_soon(reserve)
            await inventory.expect("reserve")


async def test_unanswered_call_ends_at_its_callers_deadline():
    inventory = Probe.of(Inventory)
    async with TestNode(inventory, child(Orders)) as node:
        with pytest.raises((CallTimeout, Upstream)):
            await node.ref(Orders).place("A1")
        inventory.messages[0].reply(8)  # late, and harmless


async def test_other_nodes_reach_a_probe_over_the_broker():
    broker, inventory = LocalBroker(), Probe.of(Inventory)
    inventory.answer("reserve", 8)
    async with TestNode(inventory, broker=broker), TestNode(child(Orders), broker=broker, name="b") as b:
        assert await b.ref(Orders).place("A1") == "8 left"
        message = await inventory.expect("reserve")
        assert message.arguments == {"sku": "A1", "qty": 1}


async def test_probe_works_in_a_plain_node_but_for_events():
    inventory = Probe.of(Inventory)
    inventory.answer("reserve", 8)
    async with Node(Supervisor("plain", inventory.child), settings=Settings()) as node:
        assert await node.ref(Inventory).reserve("A1") == 8
        with pytest.raises(NotRunning, match="TestNode"):
            await inventory.listen("orders.>")


# Failures that say what came instead


async def test_message_that_does_not_come_is_a_failure_that_tells_what_did():
    inventory = Probe.of(Inventory)
    async with TestNode(inventory) as node:
        await node.ref(Inventory).restock("A1", 2)
        await inventory.expect("restock")
        begin = anyio.current_time()
        with pytest.raises(AssertionError) as caught:
            await inventory.expect(Inventory.reserve, within=0.5)
        assert 0.5 <= anyio.current_time() - begin < 1.0
        assert str(caught.value) == (
            "probe 'inventory': 'reserve' was to come within 0.5 s, and nothing did. "
            "Messages so far: restock(sku='A1', qty=2)."
        )
        with pytest.raises(AssertionError, match="a message was to come within 1 s"):
            await inventory.next_message()


async def test_message_for_another_handler_is_a_failure_that_shows_it():
    inventory = Probe.of(Inventory)
    async with TestNode(inventory) as node:
        await node.ref(Inventory).restock("A1", 2)
        with pytest.raises(AssertionError, match=r"was to be 'reserve', and is restock\(sku='A1', qty=2\)"):
            await inventory.expect("reserve")


async def test_nothing_is_expected_and_something_comes():
    inventory = Probe.of(Inventory)
    async with TestNode(inventory) as node:
        await inventory.expect_nothing()
        await node.ref(Inventory).restock("A1", 2)
        with pytest.raises(AssertionError, match=r"nothing was to come for 0.1 s, and restock\("):
            await inventory.expect_nothing()


async def test_handler_that_does_not_exist_is_an_error_of_the_test():
    inventory = Probe.of(Inventory)
    with pytest.raises(ValueError, match="Inventory has no handler 'sell'; it has find, on_cancelled, report, reserve"):
        await inventory.expect("sell")
    with pytest.raises(ValueError, match="no handler 'place'"):
        inventory.answer(Orders.place, "x")
    with pytest.raises(ValueError, match="nobody waits for an answer"):
        inventory.answer("restock", None)
    with pytest.raises(RuntimeError, match="no message was taken yet"):
        inventory.reply(1)


# Events


async def test_published_events_are_heard_from_any_node():
    broker = LocalBroker()
    async with TestNode(broker=broker) as node, TestNode(child(Orders), broker=broker, name="b") as b:
        await b.probe(Inventory)
        probe = await node.probe()
        await probe.listen("orders.>", Order)
        await b.publish("orders.placed", Order("A1"))
        await b.publish("other", 1)
        assert await probe.next_event("orders.placed") == Heard("orders.placed", Order("A1"))
        assert len(probe.events) == 1


async def test_event_that_does_not_come_or_is_another_or_does_not_decode_is_a_failure():
    async with TestNode() as node:
        probe = await node.probe()
        await probe.listen("orders.>", Order)
        await node.publish("orders.placed", Order("A1"))
        with pytest.raises(AssertionError, match=r"was to be on 'orders.cancelled', and is Heard\("):
            await probe.next_event("orders.cancelled")
        with pytest.raises(AssertionError, match="was to come within 1 s, and none did. Events so far: Heard"):
            await probe.next_event()
        await node.publish("orders.placed", {"sku": 7})
        with pytest.raises(AssertionError, match=r"'orders.placed' does not decode: Expected `str`, got `int`"):
            await probe.next_event()


# Monitors


async def test_probe_is_told_that_what_it_monitors_has_ended():
    async with TestNode(child(Orders)) as node:
        probe = await node.probe()
        probe.monitor(node.ref(Orders))
        with pytest.raises(ActorCrashed):
            await node.ref(Orders).crash()
        down = await probe.expect_down(node.ref(Orders))
        assert isinstance(down.reason, Crashed)
        assert down.incarnation == 1


async def test_end_that_does_not_come_or_is_of_another_is_a_failure():
    async with TestNode(child(Orders), child(Orders).replace(name="others")) as node:
        probe = await node.probe()
        one, other = node.ref(Orders), node.ref(Orders, "others")
        probe.monitor(one)
        probe.monitor(other)
        with pytest.raises(AssertionError, match="'orders' was to end within 0.2 s, and did not"):
            await probe.expect_down(one, within=0.2)
        await node.stop(other)
        with pytest.raises(AssertionError, match="'orders' was to end, and 'others' did: normal"):
            await probe.expect_down(one)


async def test_probe_that_does_not_run_monitors_nothing():
    async with TestNode(child(Orders)) as node:
        with pytest.raises(NotRunning, match="does not run"):
            Probe().monitor(node.ref(Orders))
