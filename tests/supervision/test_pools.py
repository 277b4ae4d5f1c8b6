"""Pools under supervision: who is restarted, what waits meanwhile, and when the pool is gone."""

from typing import Any

import anyio
import pytest

from cliffracer import (
    Actor,
    ActorCrashed,
    Backoff,
    ChildInfo,
    NoActor,
    NoSupervisor,
    SupervisorRef,
    call,
    cast,
    child,
    pool,
)
from cliffracer.actor.pool import partition_of

pytestmark = pytest.mark.anyio


class Inventory(Actor):
    """Writes down what it has done."""

    def __init__(self, journal: list[Any] | None = None) -> None:
        self.journal = journal if journal is not None else []

    async def on_start(self) -> None:
        self.journal.append(f"start {self.name}")

    async def on_stop(self, reason: Any) -> None:
        self.journal.append(f"stop {self.name}")

    @call
    async def which(self, sku: str) -> tuple[str, int]:
        return self.name, self.incarnation

    @call
    async def slow(self, sku: str, seconds: float) -> str:
        await anyio.sleep(seconds)
        return self.name

    @cast
    async def restock(self, sku: str, number: int) -> None:
        self.journal.append(number)

    @call
    async def crash(self, sku: str) -> None:
        raise RuntimeError("bug")


async def idle() -> None:
    await anyio.sleep_forever()


SIZE = 3
SKU = {partition_of(sku, SIZE): sku for sku in map(str, "abcdefghij")}  # a key for each member


def inventory(*args: Any, **options: Any):
    return pool(child(Inventory, *args).replace(**options), size=SIZE, key="sku")


async def crash(node: Any, number: int) -> None:
    with pytest.raises(ActorCrashed):
        await node.ref(Inventory).crash(SKU[number])
    await anyio.wait_all_tasks_blocked()


async def test_members_start_in_order_and_stop_in_reverse(run_node):
    journal: list[str] = []
    async with run_node(inventory(journal)) as node:
        assert journal == [f"start inventory-{number}" for number in (0, 1, 2)]
        assert await node.ref(SupervisorRef, "inventory").which_children() == [
            ChildInfo(f"inventory-{number}", "running", "worker", 1) for number in (2, 1, 0)
        ]
        assert set(node.statistics()) == {f"inventory-{number}" for number in range(SIZE)}
    assert journal[3:] == [f"stop inventory-{number}" for number in (2, 1, 0)]


async def test_crash_of_a_member_restarts_that_one_and_leaves_the_others_alone(run_node, lines):
    async with run_node(inventory()) as node:
        await crash(node, 1)
        found = [await node.ref(Inventory).which(SKU[number]) for number in range(SIZE)]
        assert found == [("inventory-0", 1), ("inventory-1", 2), ("inventory-2", 1)]
    (restart,) = [line for line in lines if line["event"] == "child_restarting"]
    assert (restart["supervisor"], restart["child"]) == ("root/inventory", "inventory-1")


@pytest.mark.parametrize("prefer_local", [True, False], ids=["mailbox", "transport"])
async def test_messages_for_a_member_wait_for_its_restart_and_those_for_others_do_not(run_node, prefer_local):
    journal: list[Any] = []
    async with run_node(inventory(journal, backoff=Backoff(initial=2.0, jitter=0.0))) as node:
        await crash(node, 1)
        stock = node.ref(Inventory, prefer_local=prefer_local)
        for number in range(3):
            await stock.restock(SKU[1], number)
        assert await stock.which(SKU[0]) == ("inventory-0", 1)
        begin = anyio.current_time()
        assert await stock.which(SKU[1]) == ("inventory-1", 2)
        assert anyio.current_time() - begin == pytest.approx(2.0, abs=0.2)
    assert [entry for entry in journal if isinstance(entry, int)] == [0, 1, 2]


async def test_pool_that_gives_up_is_restarted_as_a_whole_and_keeps_what_waits(run_node, lines):
    async with run_node(inventory()) as node, anyio.create_task_group() as tasks:
        stock, answers = node.ref(Inventory), []

        async def ask() -> None:
            answers.append(await stock.which(SKU[0]))

        tasks.start_soon(stock.slow, SKU[0], 1.0)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(ask)
        for _ in range(4):
            await crash(node, 1)
        await anyio.sleep(2.0)
        assert answers == [("inventory-0", 2)]
        for prefer_local in (True, False):
            assert (await node.ref(Inventory, prefer_local=prefer_local).which(SKU[1]))[1] == 5
    (gave_up,) = [line for line in lines if line["event"] == "supervisor_gave_up"]
    assert (gave_up["supervisor"], gave_up["child"]) == ("root/inventory", "inventory-1")


@pytest.mark.parametrize("prefer_local", [True, False], ids=["mailbox", "transport"])
async def test_pool_that_gives_up_and_is_not_restarted_is_gone(run_node, prefer_local):
    async with run_node(inventory().replace(restart="temporary")) as node:
        for _ in range(4):
            await crash(node, 1)
        for name in ("inventory", "inventory-0"):
            with pytest.raises(NoActor):
                await node.ref(Inventory, name, prefer_local=prefer_local).which(SKU[0])
        with pytest.raises(NoSupervisor):
            await node.ref(SupervisorRef, "inventory").which_children()


async def test_limits_of_a_pool_are_those_it_was_given(run_node, lines):
    spec = pool(Inventory, size=SIZE, key="sku", max_restarts=0, max_seconds=1.0)
    async with run_node(spec) as node:
        await crash(node, 0)
    (gave_up,) = [line for line in lines if line["event"] == "supervisor_gave_up"]
    assert (gave_up["max_restarts"], gave_up["max_seconds"]) == (0, 1.0)


@pytest.mark.parametrize("prefer_local", [True, False], ids=["mailbox", "transport"])
async def test_terminated_pool_is_no_actor_and_a_restarted_one_is_again(run_node, prefer_local):
    async with run_node(inventory()) as node:
        root, stock = node.ref(SupervisorRef, "root"), node.ref(Inventory, prefer_local=prefer_local)
        await root.terminate_child("inventory")
        with pytest.raises(NoActor):
            await stock.which(SKU[0])
        await root.restart_child("inventory")
        assert await stock.which(SKU[0]) == ("inventory-0", 2)


async def test_pool_that_is_stopped_answers_what_waits(run_node):
    async with run_node(inventory(shutdown=10.0)) as node, anyio.create_task_group() as tasks:
        told: list[str] = []

        async def ask(prefer_local: bool) -> None:
            try:
                await node.ref(Inventory, prefer_local=prefer_local).which(SKU[0])
            except Exception as error:
                told.append(type(error).__name__)

        tasks.start_soon(node.ref(Inventory).slow, SKU[0], 1.0)
        await anyio.wait_all_tasks_blocked()
        for prefer_local in (True, False):
            tasks.start_soon(ask, prefer_local)
        await anyio.wait_all_tasks_blocked()
        await node.ref(SupervisorRef, "root").terminate_child("inventory")
        await anyio.wait_all_tasks_blocked()
        assert told == ["Stopping", "Stopping"]


async def test_stopping_node_empties_the_mailboxes_of_all_members(run_node, lines):
    journal: list[Any] = []
    async with run_node(inventory(journal)) as node:
        async with anyio.create_task_group() as tasks:
            for number in range(SIZE):
                tasks.start_soon(node.ref(Inventory).slow, SKU[number], 1.0)
            await anyio.wait_all_tasks_blocked()
            for number in range(SIZE):
                await node.ref(Inventory).restock(SKU[number], number)
                await node.ref(Inventory, prefer_local=False).restock(SKU[number], number)
    assert sorted(entry for entry in journal if isinstance(entry, int)) == [0, 0, 1, 1, 2, 2]
    assert [line for line in lines if line["level"] in ("warning", "error")] == []
