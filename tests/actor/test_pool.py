"""Pools: several actors behind one name; order for each key, and nothing in the way of the others."""

from collections import Counter
from enum import Enum
from typing import Any
from uuid import UUID

import anyio
import pytest
from msgspec import Struct

from cliffracer import (
    Actor,
    CallCycle,
    InvalidMessage,
    Upstream,
    call,
    cast,
    child,
    event,
    every,
    pool,
)
from cliffracer.actor.pool import partition_of

pytestmark = pytest.mark.anyio

Done = list[tuple[str, str, int]]


class Sale(Struct, frozen=True):
    sku: str
    qty: int


class Colour(Enum):
    RED = "red"


class Inventory(Actor):
    """Writes down who has done what for which key."""

    def __init__(self, done: Done | None = None) -> None:
        self.done = done if done is not None else []

    @call
    async def reserve(self, sku: str, number: int = 0, seconds: float = 0.0) -> str:
        await anyio.sleep(seconds)
        self.done.append((self.name, sku, number))
        return self.name

    @call
    async def find(self, number: int, *, sku: str = "none") -> str:
        return self.name

    @cast
    async def restock(self, number: int, sku: str) -> None:
        self.done.append((self.name, sku, number))

    @event("deliveries.{sku}")
    async def on_delivery(self, sku: str, number: int) -> None:
        self.done.append((self.name, sku, number))

    @call
    async def ask(self, sku: str, path: list[str]) -> list[str]:
        """Call the pool for the first key in `path`, which goes on with the others; tell who was asked."""
        if not path:
            return [self.name]
        return [self.name, *await self.ref(Inventory).ask(path[0], path[1:])]


class Worker(Actor):
    """Needs no key."""

    @call
    async def work(self, seconds: float = 0.0) -> str:
        await anyio.sleep(seconds)
        return self.name


SKUS = [f"sku-{number}" for number in range(40)]


# partition_of


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("A1", 1), ("", 0), ("käse", 3), ("sku-7", 3),
        (0, 0), (5, 1), (7, 3), (-7, 3), (2**70 + 1, 1), (True, 1),
        (None, 3), (2.5, 3), (b"A1", 1), (("A1", 2), 2), ([1, 2], 3), (Sale("A1", 2), 0), (Colour.RED, 2),
        (UUID(int=5), 3),
        ({"b": 1, "a": 2}, 3), ({"a": 2, "b": 1}, 3),
    ],
    ids=repr,
)  # fmt: skip
def test_partition_of_a_key_is_the_same_for_ever(value, expected):
    # A change here would send messages to other members than those of an older node.
    assert partition_of(value, 4) == expected


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 16, 100])
@pytest.mark.parametrize("kind", [str, int, lambda number: f"customer-{number:08}", lambda number: (number, "x")])
def test_keys_spread_evenly(size, kind):
    counts = Counter(partition_of(kind(number), size) for number in range(10_000))
    assert set(counts) == set(range(size))
    assert max(counts.values()) < 10_000 / size * 1.5


def test_key_that_cannot_be_encoded_is_a_type_error():
    with pytest.raises(TypeError):
        partition_of(object(), 4)


# Who gets what


async def test_same_key_goes_to_the_same_member_whatever_the_handler_and_however_it_is_given(run_node):
    done: Done = []
    async with run_node(pool(child(Inventory, done), size=4, key="sku")) as node:
        inventory, by_wire = node.ref(Inventory), node.ref(Inventory, prefer_local=False)
        for sku in SKUS:
            names = {
                await inventory.reserve(sku),
                await inventory.reserve(sku=sku, number=1),
                await inventory.find(1, sku=sku),
                await by_wire.reserve(sku, 2),
                await by_wire.find(sku=sku, number=2),
            }
            await inventory.restock(3, sku)
            await by_wire.restock(4, sku)
            await node.publish(f"deliveries.{sku}", 5)
            await anyio.wait_all_tasks_blocked()
            names.update(name for name, key, _ in done if key == sku)
            assert names == {f"inventory-{partition_of(sku, 4)}"}
    assert Counter(number for *_, number in done) == dict.fromkeys(range(6), 40)
    assert {name for name, *_ in done} == {f"inventory-{number}" for number in range(4)}


async def test_default_of_the_key_is_a_key_like_any_other(run_node):
    async with run_node(pool(Inventory, size=4, key="sku")) as node:
        expected = f"inventory-{partition_of('none', 4)}"
        assert await node.ref(Inventory).find(1) == expected
        assert await node.ref(Inventory, prefer_local=False).find(1) == expected


async def test_key_may_be_of_any_type_that_can_be_encoded(run_node):
    class Orders(Actor):
        @call
        async def place(self, order: Sale | int | Colour) -> str:
            return self.name

    async with run_node(pool(Orders, size=8, key="order")) as node:
        for order in (Sale("A1", 1), Sale("A1", 2), Sale("B1", 1), 17, -3, Colour.RED):
            names = {await node.ref(Orders, prefer_local=local).place(order) for local in (True, False)}
            assert names == {f"orders-{partition_of(order, 8)}"}


async def test_whole_number_for_a_key_that_is_a_float_goes_where_the_float_goes(run_node):
    class Shelf(Actor):
        @call
        async def put(self, height: float) -> str:
            return self.name

    async with run_node(pool(Shelf, size=8, key="height")) as node:
        for height in range(20):
            calls = [(local, number) for local in (True, False) for number in (height, float(height))]
            names = {await node.ref(Shelf, prefer_local=local).put(number) for local, number in calls}
            assert len(names) == 1


async def test_messages_with_one_key_are_handled_in_order(run_node):
    done: Done = []
    async with run_node(pool(child(Inventory, done), size=4, key="sku")) as node:
        inventory = node.ref(Inventory)
        for number in range(20):
            for sku in SKUS:
                await inventory.restock(number, sku)
    assert len(done) == 20 * len(SKUS)
    for sku in SKUS:
        assert [number for _, key, number in done if key == sku] == list(range(20))


async def test_one_busy_key_does_not_keep_those_of_other_members_waiting(run_node):
    done: Done = []
    async with run_node(pool(child(Inventory, done), size=4, key="sku")) as node:
        inventory = node.ref(Inventory)
        other = next(sku for sku in SKUS if partition_of(sku, 4) != partition_of("busy", 4))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(inventory.reserve, "busy", 1, 3.0)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(inventory.reserve, "busy", 2)
            await anyio.wait_all_tasks_blocked()
            await inventory.reserve(other, 3)
            assert [number for *_, number in done] == [3]
        assert [number for *_, number in done] == [3, 1, 2]


async def test_members_work_side_by_side(run_node):
    async with run_node(pool(Worker, size=4)) as node:
        begin = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(node.ref(Worker).work, 1.0)
        assert anyio.current_time() - begin == pytest.approx(2.0)


async def test_without_a_key_an_idle_member_is_picked(run_node):
    async with run_node(pool(Worker, size=3)) as node:
        worker, seen = node.ref(Worker), []
        async with anyio.create_task_group() as tasks:
            for member in ("worker-0", "worker-2"):
                tasks.start_soon(node.ref(Worker, member).work, 4.0)
            await anyio.wait_all_tasks_blocked()
            for _ in range(5):
                seen.append(await worker.work())
                seen.append(await node.ref(Worker, prefer_local=False).work())
        assert set(seen) == {"worker-1"}


async def test_without_a_key_idle_members_take_turns_and_long_queues_are_avoided(run_node):
    async with run_node(pool(Worker, size=3)) as node:
        worker = node.ref(Worker)
        assert Counter([await worker.work() for _ in range(9)]) == {f"worker-{number}": 3 for number in range(3)}
        with anyio.fail_after(1000.0):
            async with anyio.create_task_group() as tasks:
                for _ in range(6):
                    tasks.start_soon(node.ref(Worker, "worker-1").work, 10.0)
                await anyio.wait_all_tasks_blocked()
                for _ in range(10):
                    tasks.start_soon(worker.work, 10.0)
                await anyio.wait_all_tasks_blocked()
                loads = {name: cell.mailbox.depth + cell.in_hand for name, cell in node.statistics().items()}
                assert loads == {"worker-0": 5, "worker-1": 6, "worker-2": 5}


async def test_event_without_a_key_is_heard_by_one_member(run_node):
    heard: list[str] = []

    class Listener(Actor):
        @event("news")
        async def on_news(self) -> None:
            heard.append(self.name)

        @event("alarm", to="all")
        async def on_alarm(self) -> None:
            heard.append(self.name)

    async with run_node(pool(Listener, size=3)) as node:
        for subject in ("news", "alarm", "news"):
            await node.publish(subject, None)
            await anyio.wait_all_tasks_blocked()
    assert sorted(heard) == ["listener-0", "listener-1", "listener-2"]


async def test_every_runs_in_each_member(run_node):
    ticks: list[str] = []

    class Sweeper(Actor):
        @every(1.0)
        async def sweep(self) -> None:
            ticks.append(self.name)

        @call
        async def get(self, sku: str) -> str:
            return self.name

    async with run_node(pool(Sweeper, size=3, key="sku")):
        await anyio.sleep(2.5)
    assert Counter(ticks) == {"sweeper-0": 2, "sweeper-1": 2, "sweeper-2": 2}


async def test_key_that_cannot_be_encoded_is_an_error_of_the_caller(run_node):
    async with run_node(pool(Inventory, size=4, key="sku")) as node:
        wrong: Any = object()
        with pytest.raises(InvalidMessage, match="the value of the key 'sku' cannot be told from others"):
            await node.ref(Inventory).reserve(wrong)
        with pytest.raises(InvalidMessage):
            await node.ref(Inventory).restock(1, wrong)
        assert {cell.incarnation for cell in node.statistics().values()} == {1}


# Calls among members


def other_key(sku: str, size: int = 4) -> str:
    return next(other for other in SKUS if partition_of(other, size) != partition_of(sku, size))


async def test_member_may_call_another_member_of_its_pool(run_node):
    async with run_node(pool(Inventory, size=4, key="sku")) as node:
        mine, other = "sku-0", other_key("sku-0")
        names = [f"inventory-{partition_of(sku, 4)}" for sku in (mine, other)]
        assert await node.ref(Inventory).ask(mine, [other]) == names
        assert await node.ref(Inventory, names[1]).ask(other, [mine]) == names[::-1]


@pytest.mark.parametrize("path", [["mine"], ["other", "mine"], ["other", "other"]], ids=str)
async def test_call_that_would_come_back_to_the_same_member_is_refused_at_once(run_node, path):
    keys = {"mine": "sku-0", "other": other_key("sku-0")}
    async with run_node(pool(Inventory, size=4, key="sku")) as node:
        begin = anyio.current_time()
        with pytest.raises(Upstream, match="failed: (call_cycle|upstream)"):
            await node.ref(Inventory).ask(keys["mine"], [keys[name] for name in path])
        assert anyio.current_time() == begin
        assert {cell.in_hand for cell in node.statistics().values()} == {0}
        assert {cell.crashed for cell in node.statistics().values()} == {0}


async def test_call_cycle_names_the_members_it_goes_through(run_node):
    class Chatty(Actor):
        @call
        async def ask(self, sku: str, path: list[str]) -> str:
            if not path:
                return self.name
            try:
                return await self.ref(Chatty).ask(path[0], path[1:])
            except CallCycle as error:
                return str(error)

    async with run_node(pool(Chatty, size=4, key="sku")) as node:
        mine, other = "sku-0", other_key("sku-0")
        first, second = (f"chatty-{partition_of(sku, 4)}" for sku in (mine, other))
        told = await node.ref(Chatty).ask(mine, [other, mine])
        assert told.startswith(f"{first}.ask: {first} -> {second} -> {first} would wait for itself.")


async def test_member_without_a_key_may_call_its_pool_if_another_is_idle(run_node):
    class Splitter(Actor):
        @call
        async def split(self, times: int) -> list[str]:
            return [self.name, *(await self.ref(Splitter).split(times - 1) if times else [])]

    async with run_node(pool(Splitter, size=3)) as node:
        assert sorted(await node.ref(Splitter).split(2)) == ["splitter-0", "splitter-1", "splitter-2"]
