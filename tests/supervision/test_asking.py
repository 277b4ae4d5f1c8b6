"""Where a supervisor is found, and who must not ask it, because the two would wait for each other."""

import anyio
import pytest
from anyio.abc import TaskStatus

from cliffracer import (
    Actor,
    ChildNotStarted,
    Exit,
    NoSupervisor,
    Supervisor,
    SupervisorRef,
    WouldWaitForItself,
    call,
    child,
)
from tests.supervision.workers import Journal, Worker, crash, states, worker

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]


# Where a supervisor is found


async def test_supervisor_is_found_by_as_much_of_the_end_of_its_path_as_no_other_has(run_node):
    tree = Supervisor("b", Supervisor("c", worker("x", [])))
    async with run_node(tree, Supervisor("d", Supervisor("c2", worker("y", [])))) as node:
        for path, children in [
            ("c", "x running"),
            ("b/c", "x running"),
            ("root/b/c", "x running"),
            ("c2", "y running"),
        ]:
            assert await states(node.ref(SupervisorRef, path)) == children


async def test_end_of_a_path_that_several_have_is_refused_with_all_of_them(run_node):
    async with run_node(Supervisor("a", Supervisor("c")), Supervisor("b", Supervisor("c"))) as node:
        with pytest.raises(NoSupervisor, match="'c' may be any of 'root/a/c', 'root/b/c'; write more of the path"):
            await node.ref(SupervisorRef, "c").count_children()
        assert await states(node.ref(SupervisorRef, "b/c")) == ""


@pytest.mark.parametrize("path", ["shop", "oot", "root/", "a", "root/a"])
async def test_path_that_no_supervisor_has_is_refused_with_all_there_are(run_node, path):
    async with run_node(worker("a", []), Supervisor("inner")) as node:
        with pytest.raises(NoSupervisor, match=f"no supervisor '{path}' runs on this node; there is 'root', 'root/in"):
            await node.ref(SupervisorRef, path).which_children()


async def test_ref_points_to_the_place_and_not_to_the_incarnation(run_node):
    async with run_node(Supervisor("shop", worker("a", []), max_restarts=0)) as node:
        ref = node.ref(SupervisorRef, "shop")
        await ref.start_child(worker("b", []))
        await crash(node, "a")
        assert await states(ref) == "a running"


def test_refs_to_the_same_path_are_equal():
    assert SupervisorRef(None, "root/a") == SupervisorRef(None, "root/a")
    assert SupervisorRef(None, "root/a") != SupervisorRef(None, "root/b")
    assert len({SupervisorRef(None, "root/a"), SupervisorRef(None, "root/a")}) == 1
    assert repr(SupervisorRef(None, "root/a")) == "<SupervisorRef 'root/a'>"


# Who would wait for itself


class Asking(Actor):
    """Asks its own supervisor, in a place of choice."""

    def __init__(self, journal: Journal, place: str = "", path: str = "root/shop") -> None:
        self.journal, self.place, self.path = journal, place, path

    async def on_start(self) -> None:
        await self.ask("start")

    async def on_stop(self, reason: Exit) -> None:
        await self.ask("stop")

    @call
    async def ask(self, place: str) -> None:
        if place != self.place:
            return
        try:
            with anyio.fail_after(1000.0):
                counts = await self.ref(SupervisorRef, self.path).count_children()
        except Exception as error:
            self.journal.append(f"{place}: {type(error).__name__}")
        else:
            self.journal.append(f"{place}: {counts.active}")

    @call
    async def end(self, id: str) -> str:
        try:
            await self.ref(SupervisorRef, self.path).terminate_child(id)
        except WouldWaitForItself as error:
            return str(error)
        return "gone"

    @call
    async def add(self, name: str) -> int:
        new = await self.ref(SupervisorRef, self.path).start_child(worker(name, self.journal))
        return await new.which()


async def test_actor_can_ask_its_own_supervisor_while_it_runs(run_node):
    journal: Journal = []
    async with run_node(Supervisor("shop", child(Asking, journal, "now"))) as node:
        await node.ref(Asking).ask("now")
        assert await node.ref(Asking).add("b") == 1
    assert journal == ["now: 1", "start b", "stop b"]


@pytest.mark.parametrize("path", ["root/shop", "root"])
async def test_actor_cannot_ask_a_supervisor_above_it_while_that_waits_for_its_start(run_node, path):
    journal: Journal = []
    async with run_node(Supervisor("shop", child(Asking, journal, "start", path))):
        pass
    assert journal == ["start: WouldWaitForItself"]


@pytest.mark.parametrize("path", ["root/shop", "root"])
async def test_actor_cannot_ask_a_supervisor_above_it_while_that_waits_for_its_end(run_node, path):
    journal: Journal = []
    async with run_node(Supervisor("shop", child(Asking, journal, "stop", path))):
        pass
    assert journal in (["stop: WouldWaitForItself"], ["stop: NoSupervisor"])


async def test_actor_that_ends_by_itself_can_ask_its_supervisor_in_on_stop(run_node):
    class Ending(Asking):
        @call
        async def finish(self) -> None:
            self.stop()

    journal: Journal = []
    async with run_node(Supervisor("shop", child(Ending, journal, "stop").replace(restart="temporary"))) as node:
        await node.ref(Ending).finish()
        await anyio.sleep(1.0)
        assert journal == ["stop: 1"]


async def test_actor_can_ask_another_supervisor_in_its_start(run_node):
    journal: Journal = []
    async with run_node(Supervisor("other"), Supervisor("shop", child(Asking, journal, "start", "root/other"))):
        assert journal == ["start: 0"]


async def test_start_of_a_sibling_in_on_start_is_refused_and_names_who_waits_for_whom(run_node):
    class Eager(Worker):
        async def on_start(self) -> None:
            await self.ref(SupervisorRef, "root").start_child(worker("b", self.journal))

    async with run_node() as node:
        with pytest.raises(ChildNotStarted, match="WouldWaitForItself: 'root' waits for 'root/eager' to start"):
            await node.ref(SupervisorRef, "root").start_child(child(Eager, []))


@pytest.mark.parametrize("id", ["asking", "shop"])
async def test_actor_cannot_have_itself_terminated_nor_what_it_is_in(run_node, id):
    path = "root/shop" if id == "asking" else "root"
    async with run_node(Supervisor("shop", child(Asking, [], "", path), worker("b", []))) as node:
        assert "'root/shop/asking' would wait for its own end; call self.stop() instead" in await node.ref(Asking).end(
            id
        )
        assert await states(node.ref(SupervisorRef, "shop")) == "b running, asking running"


async def test_actor_can_have_its_sibling_terminated(run_node):
    async with run_node(Supervisor("shop", child(Asking, []), worker("b", []))) as node:
        assert await node.ref(Asking).end("b") == "gone"


async def test_function_cannot_ask_the_supervisor_that_waits_for_its_start(run_node):
    told: list[str] = []

    async def job(node, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        with anyio.move_on_after(100.0):
            try:
                await node.ref(SupervisorRef, "root/shop").count_children()
            except WouldWaitForItself:
                told.append("refused")
        task_status.started()
        await anyio.sleep_forever()

    async with run_node(Supervisor("shop")) as node:
        await node.ref(SupervisorRef, "shop").start_child(child(job, node))
    assert told == ["refused"]


async def test_function_that_has_itself_terminated_is_told_that_it_would_wait_for_itself(run_node):
    told: list[str] = []

    async def job(node) -> None:
        await anyio.sleep(1.0)
        try:
            await node.ref(SupervisorRef, "root").terminate_child("job")
        except WouldWaitForItself:
            told.append("refused")
        await anyio.sleep_forever()

    async with run_node() as node:
        await node.ref(SupervisorRef, "root").start_child(child(job, node))
        await anyio.sleep(2.0)
        assert told == ["refused"]
        assert await states(node.ref(SupervisorRef, "root")) == "job running"


async def test_function_is_not_mistaken_for_an_actor_of_the_same_name(run_node):
    counted: list[int] = []

    async def twin(node) -> None:
        counted.append((await node.ref(SupervisorRef, "root/shop").count_children()).active)

    class Twin(Worker, name="twin"):
        async def on_start(self) -> None:
            await anyio.sleep(10.0)

    async with run_node(Supervisor("shop")) as node, anyio.create_task_group() as tasks:
        tasks.start_soon(node.ref(SupervisorRef, "shop").start_child, child(Twin, []))
        await anyio.sleep(1.0)
        await node.ref(SupervisorRef, "root").start_child(child(twin, node).replace(restart="temporary"))
        await anyio.sleep(20.0)
    assert counted == [1]
