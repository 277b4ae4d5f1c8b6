"""Pools that come and go by hand, alone or inside a tree, and the names they take and give back."""

from typing import Any

import anyio
import pytest

from cliffracer import (
    Actor,
    AdminError,
    AlreadyStarted,
    DynamicSupervisor,
    Ignore,
    NoActor,
    Shutdown,
    Supervisor,
    SupervisorRef,
    call,
    child,
    pool,
)
from cliffracer.actor.pool import partition_of

pytestmark = pytest.mark.anyio


class Inventory(Actor):
    @call
    async def which(self, sku: str) -> tuple[str, int]:
        return self.name, self.incarnation

    @call
    async def crash(self, sku: str) -> None:
        raise RuntimeError("bug")


async def idle() -> None:
    await anyio.sleep_forever()


SIZE = 3
SKU = {partition_of(sku, SIZE): sku for sku in map(str, "abcdefghij")}  # a key for each member


def inventory(**options: Any):
    return pool(child(Inventory).replace(**options), size=SIZE, key="sku")


async def crash(node: Any, number: int) -> None:
    with pytest.raises(Exception, match="the actor crashed over this message"):
        await node.ref(Inventory).crash(SKU[number])
    await anyio.wait_all_tasks_blocked()


@pytest.mark.parametrize("tree", [DynamicSupervisor("part"), Supervisor("part")], ids=["dynamic", "static"])
@pytest.mark.parametrize("prefer_local", [True, False], ids=["mailbox", "transport"])
async def test_pool_can_be_started_and_stopped_while_the_node_runs(run_node, tree, prefer_local):
    async with run_node(tree) as node:
        part = node.ref(SupervisorRef, "part")
        stock = await part.start_child(inventory())
        assert await stock.which(SKU[2]) == ("inventory-2", 1)
        other = node.ref(Inventory, prefer_local=prefer_local)
        assert await other.which(SKU[1]) == ("inventory-1", 1)
        await part.terminate_child("inventory")
        with pytest.raises(NoActor):
            await other.which(SKU[1])
        if isinstance(tree, Supervisor):
            await part.delete_child("inventory")
        await part.start_child(inventory())
        assert (await other.which(SKU[1]))[0] == "inventory-1"


@pytest.mark.parametrize("tree", [DynamicSupervisor("part"), Supervisor("part")], ids=["dynamic", "static"])
@pytest.mark.parametrize("spec", [inventory(), child(Supervisor("inventory", child(Inventory), child(idle)))])
async def test_nothing_is_left_of_a_pool_or_a_supervisor_that_is_forgotten(run_node, tree, spec):
    async with run_node(tree) as node:
        registry, part = node._running().registry, node.ref(SupervisorRef, "part")
        before = set(registry._records)
        await part.start_child(spec)
        await part.terminate_child("inventory")
        if isinstance(tree, Supervisor):
            await part.delete_child("inventory")
        assert node.statistics() == {}
        assert set(registry._records) == before
        assert set(registry._known()) == {"root", "root/part"}
        # So the next one of this name begins with its first incarnation.
        await part.start_child(spec)
        assert {cell.incarnation for cell in node.statistics().values()} == {1}


@pytest.mark.parametrize("prefer_local", [True, False], ids=["mailbox", "transport"])
async def test_pool_inside_a_supervisor_goes_and_comes_with_that(run_node, prefer_local):
    async with run_node(Supervisor("part", inventory()), DynamicSupervisor("other")) as node:
        root, stock = node.ref(SupervisorRef, "root"), node.ref(Inventory, prefer_local=prefer_local)
        assert await stock.which(SKU[1]) == ("inventory-1", 1)
        await root.terminate_child("part")
        with pytest.raises(NoActor, match="no actor 'inventory' runs"):
            await stock.which(SKU[1])
        await root.restart_child("part")
        assert await stock.which(SKU[1]) == ("inventory-1", 2)
        # Its names are free for others once it is gone.
        await root.terminate_child("part")
        await node.ref(SupervisorRef, "other").start_child(inventory())
        assert (await stock.which(SKU[1]))[0] == "inventory-1"
        with pytest.raises(AdminError):
            await root.restart_child("part")
        assert (await stock.which(SKU[1]))[0] == "inventory-1"


async def test_member_that_is_terminated_by_hand_is_missing_alone_until_it_is_started_again(run_node):
    async with run_node(inventory()) as node:
        members = node.ref(SupervisorRef, "inventory")
        await members.terminate_child("inventory-1")
        for prefer_local in (True, False):
            stock = node.ref(Inventory, prefer_local=prefer_local)
            with pytest.raises(NoActor):
                await stock.which(SKU[1])
            assert await stock.which(SKU[0]) == ("inventory-0", 1)
        await members.restart_child("inventory-1")
        for prefer_local in (True, False):
            assert await node.ref(Inventory, prefer_local=prefer_local).which(SKU[1]) == ("inventory-1", 2)


async def test_pool_without_a_key_passes_over_a_member_that_does_not_run(run_node):
    async with run_node(pool(Inventory, size=SIZE)) as node:
        await node.ref(SupervisorRef, "inventory").terminate_child("inventory-1")
        for prefer_local in (True, False):
            stock = node.ref(Inventory, prefer_local=prefer_local)
            assert {(await stock.which("x"))[0] for _ in range(6)} == {"inventory-0", "inventory-2"}


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
async def test_member_that_declines_to_start_is_missing_alone(run_node, restart):
    class Partial(Inventory, name="inventory"):
        async def on_start(self) -> None:
            if self.name == "inventory-1":
                raise Ignore("not needed")

    spec = pool(child(Partial).replace(restart=restart), size=SIZE, key="sku")
    async with run_node(spec) as node:
        for prefer_local in (True, False):
            stock = node.ref(Partial, prefer_local=prefer_local)
            assert await stock.which(SKU[0]) == ("inventory-0", 1)
            with pytest.raises(NoActor):
                await stock.which(SKU[1])


async def test_temporary_member_that_crashes_is_missing_alone(run_node):
    async with run_node(inventory(restart="temporary")) as node:
        await crash(node, 1)
        for prefer_local in (True, False):
            stock = node.ref(Inventory, prefer_local=prefer_local)
            assert await stock.which(SKU[2]) == ("inventory-2", 1)
            with pytest.raises(NoActor):
                await stock.which(SKU[1])


async def test_temporary_member_that_is_started_anew_takes_its_place_again(run_node):
    async with run_node(inventory(restart="temporary")) as node:
        await crash(node, 1)
        await node.ref(SupervisorRef, "inventory").start_child(child(Inventory).replace(name="inventory-1"))
        for prefer_local in (True, False):
            assert (await node.ref(Inventory, prefer_local=prefer_local).which(SKU[1]))[0] == "inventory-1"


async def test_temporary_member_comes_back_with_its_pool(run_node):
    async with run_node(inventory(restart="temporary")) as node:
        await crash(node, 1)
        await node.stop(node.ref(SupervisorRef, "inventory"), Shutdown())
        await anyio.wait_all_tasks_blocked()
        for prefer_local in (True, False):
            found = await node.ref(Inventory, prefer_local=prefer_local).which(SKU[1])
            assert found[0] == "inventory-1"


async def test_deleted_member_comes_back_with_its_pool(run_node):
    async with run_node(inventory()) as node:
        members = node.ref(SupervisorRef, "inventory")
        await members.terminate_child("inventory-1")
        await members.delete_child("inventory-1")
        await node.stop(members)
        await anyio.wait_all_tasks_blocked()
        for prefer_local in (True, False):
            stock = node.ref(Inventory, prefer_local=prefer_local)
            assert [(await stock.which(SKU[number]))[0] for number in range(SIZE)] == [
                f"inventory-{number}" for number in range(SIZE)
            ]


# Names


async def test_actor_cannot_take_the_name_of_a_running_pool(run_node):
    async with run_node(inventory(), DynamicSupervisor("part")) as node:
        part = node.ref(SupervisorRef, "part")
        for name in ("inventory", "inventory-1"):
            with pytest.raises(AlreadyStarted, match=f"an actor '{name}' runs already, at 'root/inventory"):
                await part.start_child(child(Inventory).replace(name=name))
        with pytest.raises(AlreadyStarted):
            await part.start_child(inventory())
        assert await node.ref(Inventory).which(SKU[1]) == ("inventory-1", 1)


async def test_pool_cannot_take_the_name_of_a_running_actor(run_node):
    async with run_node(child(Inventory), DynamicSupervisor("part")) as node:
        part = node.ref(SupervisorRef, "part")
        with pytest.raises(AlreadyStarted, match="an actor 'inventory' runs already, at 'root/inventory'"):
            await part.start_child(inventory())
        assert await part.which_children() == []
        for prefer_local in (True, False):
            assert await node.ref(Inventory, prefer_local=prefer_local).which("x") == ("inventory", 1)


async def test_tree_with_a_pool_cannot_take_the_name_of_a_running_actor(run_node):
    async with run_node(child(Inventory), DynamicSupervisor("part")) as node:
        with pytest.raises(AlreadyStarted, match="an actor 'inventory' runs already"):
            await node.ref(SupervisorRef, "part").start_child(child(Supervisor("inner", inventory())))


async def test_child_added_to_the_supervisor_of_a_pool_does_not_belong_to_it(run_node):
    async with run_node(inventory()) as node:
        extra = await node.ref(SupervisorRef, "inventory").start_child(child(Inventory).replace(name="extra"))
        assert await extra.which("x") == ("extra", 1)
        assert await node.ref(Inventory, "extra", prefer_local=False).which("x") == ("extra", 1)
        found = {(await node.ref(Inventory).which(sku))[0] for sku in map(str, range(40))}
        assert found == {f"inventory-{number}" for number in range(SIZE)}
