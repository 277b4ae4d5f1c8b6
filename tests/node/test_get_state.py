"""node.get_state: a copy of an actor's attributes, in plain types, between two messages, and at no risk to it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import anyio
import pytest
from msgspec import Struct

from cliffracer import (
    Actor,
    ActorCrashed,
    ChildRef,
    Killed,
    NoActor,
    NotRunning,
    Stopping,
    SupervisorRef,
    WouldWaitForItself,
    call,
    child,
    pool,
)

pytestmark = pytest.mark.anyio


class Sale(Struct, frozen=True):
    sku: str
    when: datetime


@dataclass
class Address:
    street: str
    tags: set[str]


class Colour(Enum):
    RED = "red"


class Opaque:
    def __repr__(self) -> str:
        return "<something opaque>"


class Holder(Actor):
    """Holds whatever it is given."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)

    @call
    async def get(self, name: str) -> Any:
        return getattr(self, name)

    @call
    async def slow(self, seconds: float) -> None:
        self.value = "before"
        await anyio.sleep(seconds)
        self.value = "after"

    @call
    async def crash_after(self, seconds: float) -> None:
        await anyio.sleep(seconds)
        raise RuntimeError("bug")

    @call
    async def own_state(self) -> dict[str, Any]:
        return dict(await self.node.get_state(self.ref(Holder)))


NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (7, 7),
        (None, None),
        ({"A1": 10}, {"A1": 10}),
        ({1: ("a", NOON)}, {1: ("a", "2024-05-01T12:00:00Z")}),
        (Sale("A1", NOON), {"sku": "A1", "when": "2024-05-01T12:00:00Z"}),
        ([Sale("A1", NOON)], [{"sku": "A1", "when": "2024-05-01T12:00:00Z"}]),
        (Address("High Street", {"home"}), {"street": "High Street", "tags": ["home"]}),
        (frozenset({3}), [3]),
        (NOON, "2024-05-01T12:00:00Z"),
        (timedelta(seconds=90), "PT90S"),
        (Decimal("1.10"), "1.10"),
        (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (Colour.RED, "red"),
        (Opaque(), "<something opaque>"),
        ({"deep": [Opaque()]}, {"deep": ["<something opaque>"]}),
        (Opaque, repr(Opaque)),
        (ValueError("x"), "ValueError('x')"),
    ],
    ids=repr,
)
async def test_state_is_in_plain_types_and_repr_stands_for_what_has_none(run_node, value, plain):
    async with run_node(child(Holder, value=value)) as node:
        assert await node.get_state(node.ref(Holder)) == {"value": plain}


async def test_refs_the_log_and_odd_dictionaries_are_shown_too(run_node):
    class Busy(Actor):
        def __init__(self) -> None:
            self.holder = self.ref(Holder)
            self.logger = self.log
            self.by_object = {Opaque(): 1}
            self.lock = anyio.Lock()

    async with run_node(child(Busy), child(Holder)) as node:
        state = await node.get_state(node.ref(Busy))
        assert state.keys() == {"holder", "logger", "by_object", "lock"}
        assert state["holder"] == "<Ref to Holder 'holder'>"
        assert "something opaque" in repr(state["by_object"])
        assert isinstance(state["lock"], str)
        assert isinstance(state["logger"], str)


async def test_state_that_refers_to_itself_is_shown_as_its_repr(run_node):
    loop: list[Any] = [1]
    loop.append(loop)
    async with run_node(child(Holder, loop=loop, other=2)) as node:
        assert await node.get_state(node.ref(Holder)) == {"loop": "[1, [...]]", "other": 2}


class Spiteful:
    def __repr__(self) -> str:
        raise RuntimeError("nothing to see here")


class SpitefulStruct(Struct):
    inner: Any

    def __repr__(self) -> str:
        raise RuntimeError("nothing to see here")


@pytest.mark.parametrize(
    "value", [Spiteful(), [Spiteful()], SpitefulStruct(Spiteful())], ids=["bare", "deep", "struct"]
)
async def test_value_whose_repr_fails_does_not_harm_the_actor(run_node, value):
    async with run_node(child(Holder, value=value, other=2)) as node:
        state = await node.get_state(node.ref(Holder))
        assert state["other"] == 2
        assert "Spiteful" in str(state["value"])
        assert node.statistics()["holder"].incarnation == 1


async def test_changing_the_copy_changes_nothing(run_node):
    async with run_node(child(Holder, stock={"A1": [1]}, names=["x"])) as node:
        state = await node.get_state(node.ref(Holder))
        state["stock"]["A1"].append(2)
        state["names"].clear()
        state["new"] = 1
        assert await node.get_state(node.ref(Holder)) == {"stock": {"A1": [1]}, "names": ["x"]}


async def test_later_changes_of_the_actor_do_not_show_in_the_copy(run_node):
    async with run_node(child(Holder, value="first")) as node:
        state = await node.get_state(node.ref(Holder))
        await node.ref(Holder).slow(0.0)
        assert state == {"value": "first"}
        assert await node.get_state(node.ref(Holder)) == {"value": "after"}


async def test_state_is_told_after_the_message_in_hand_and_before_those_that_wait(run_node):
    async with run_node(child(Holder)) as node, anyio.create_task_group() as tasks:
        holder = node.ref(Holder)
        tasks.start_soon(holder.slow, 1.0)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(_expect_crash, holder)
        await anyio.wait_all_tasks_blocked()
        assert await node.get_state(holder) == {"value": "after"}


async def _expect_crash(holder: Holder) -> None:
    with pytest.raises(ActorCrashed):
        await holder.crash_after(0.0)


async def test_suspended_actor_tells_its_state(run_node):
    async with run_node(child(Holder, value=1)) as node:
        await node.suspend(node.ref(Holder))
        assert await node.get_state(node.ref(Holder)) == {"value": 1}


@pytest.mark.parametrize("reason", [None, Killed()], ids=["crash", "kill"])
async def test_actor_that_ends_before_it_comes_to_that_is_reported_as_stopping(run_node, reason):
    async with run_node(child(Holder)) as node, anyio.create_task_group() as tasks:
        holder = node.ref(Holder)
        tasks.start_soon(_expect_crash_after, holder, 2.0)
        await anyio.wait_all_tasks_blocked()
        if reason is not None:
            tasks.start_soon(_stop_after, node, 1.0, reason)
        with pytest.raises(Stopping, match="it ended before it could answer: ") as failure:
            await node.get_state(holder)
        assert failure.value.target == "holder"
        await anyio.wait_all_tasks_blocked()
        assert node.statistics()["holder"].incarnation == 2


async def _expect_crash_after(holder: Holder, seconds: float) -> None:
    with pytest.raises(ActorCrashed):
        await holder.crash_after(seconds)


async def _stop_after(node: Any, seconds: float, reason: Any) -> None:
    await anyio.sleep(seconds)
    await node.stop(node.ref(Holder), reason)


async def test_giving_up_the_wait_does_not_disturb_the_actor(run_node):
    async with run_node(child(Holder)) as node, anyio.create_task_group() as tasks:
        tasks.start_soon(node.ref(Holder).slow, 2.0)
        await anyio.wait_all_tasks_blocked()
        with anyio.move_on_after(1.0) as patience:
            await node.get_state(node.ref(Holder))
        assert patience.cancelled_caught
        assert await node.get_state(node.ref(Holder)) == {"value": "after"}


async def test_asking_leaves_nothing_behind(run_node):
    async with run_node(child(Holder)) as node:
        for _ in range(10):
            await node.get_state(node.ref(Holder))
        process = node._running().find_process(node.ref(Holder))
        assert not process._watchers


async def test_actor_asks_for_the_state_of_another_by_way_of_its_node(run_node):
    class Doctor(Actor):
        @call
        async def examine(self, name: str) -> dict[str, Any]:
            return dict(await self.node.get_state(self.ref(Holder, name)))

    async with run_node(child(Holder, value=1), child(Doctor)) as node:
        assert await node.ref(Doctor).examine("holder") == {"value": 1}


async def test_actor_that_asks_for_its_own_state_is_refused_for_it_would_wait_for_itself(run_node):
    class Curious(Actor):
        @call
        async def look(self) -> str:
            with anyio.fail_after(60.0):
                try:
                    await self.node.get_state(self.ref(Curious))
                except WouldWaitForItself:
                    return "refused"
            return "answered"

    async with run_node(child(Curious)) as node:
        assert await node.ref(Curious).look() == "refused"


async def test_what_is_no_running_actor_of_this_node_has_no_state_to_show(run_node):
    async def idle() -> None:
        await anyio.sleep_forever()

    async with run_node(child(Holder).replace(restart="temporary"), child(idle)) as node:
        for target in (node.ref(ChildRef, "idle"), node.ref(SupervisorRef, "root"), "holder", Holder):
            with pytest.raises(TypeError, match="no actor|takes a ref"):
                await node.get_state(target)
        await node.stop(node.ref(Holder))
        for target in (node.ref(Holder), node.ref(Holder, "nobody")):
            with pytest.raises(NoActor, match="nothing of that name runs on this node"):
                await node.get_state(target)
        holder = node.ref(Holder)
    with pytest.raises(NotRunning):
        await node.get_state(holder)


async def test_state_of_a_member_of_a_pool_is_that_of_the_member_alone(run_node):
    async with run_node(pool(child(Holder, value=1), size=2)) as node:
        await node.ref(Holder, "holder-1").slow(0.0)
        assert await node.get_state(node.ref(Holder, "holder-0")) == {"value": 1}
        assert await node.get_state(node.ref(Holder, "holder-1")) == {"value": "after"}
        with pytest.raises((NoActor, TypeError)):
            await node.get_state(node.ref(Holder))  # which of them?
