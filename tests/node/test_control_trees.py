"""node.stop of what is no actor: functions are cancelled, supervisors stop their children first."""

from collections import defaultdict
from contextlib import suppress

import anyio
import pytest

from cliffracer import (
    Actor,
    AdminError,
    ChildNotStarted,
    ChildRef,
    DynamicSupervisor,
    Exit,
    Killed,
    NoActor,
    Normal,
    NoSupervisor,
    Shutdown,
    Supervisor,
    SupervisorRef,
    TaskSupervisor,
    TaskSupervisorRef,
    call,
    child,
    every,
)

pytestmark = pytest.mark.anyio

Ends = dict[str, list[Exit]]


class Worker(Actor):
    """Takes its time to stop, and writes down why it ended."""

    def __init__(self, ends: Ends) -> None:
        self.ends = ends

    @call
    async def which(self) -> int:
        return self.incarnation

    async def on_stop(self, reason: Exit) -> None:
        await anyio.sleep(1.0)
        self.ends[self.name].append(reason)


@pytest.fixture
def ends() -> Ends:
    return defaultdict(list)


def worker(ends: Ends, name: str, **options):
    return child(Worker, ends).replace(name=name, **options)


async def idle() -> None:
    await anyio.sleep_forever()


async def cleans_up(ends: Ends) -> None:
    try:
        await anyio.sleep_forever()
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(1.0)
        ends["cleans_up"].append(Normal())


@pytest.mark.parametrize("reason", [Normal(), Shutdown("enough"), Killed()], ids=str)
async def test_function_is_cancelled_and_ends_for_the_reason_given(run_node, ends, lines, reason):
    async with run_node(child(cleans_up, ends).replace(restart="transient")) as node:
        before = anyio.current_time()
        await node.stop(node.ref(ChildRef, "cleans_up"), reason)
        assert anyio.current_time() - before == pytest.approx(1.0)
        assert ends == {"cleans_up": [Normal()]}
        await anyio.wait_all_tasks_blocked()
        told = [
            (line["event"], line["reason"]) for line in lines if line["event"].startswith("child_") and "reason" in line
        ]
        assert told == [("child_restarting" if reason == Killed() else "child_ended", str(reason))]


@pytest.mark.parametrize("reason", [Normal(), Shutdown("enough")], ids=str)
async def test_supervisor_stops_its_children_in_reverse_and_ends_for_the_reason_given(run_node, ends, lines, reason):
    part = child(Supervisor("part", worker(ends, "a"), worker(ends, "b"))).replace(restart="transient")
    async with run_node(part) as node:
        before = anyio.current_time()
        await node.stop(node.ref(SupervisorRef, "part"), reason)
        assert anyio.current_time() - before == pytest.approx(2.0)
        assert list(ends.items()) == [("b", [Shutdown()]), ("a", [Shutdown()])]
        await anyio.wait_all_tasks_blocked()
        assert [line["reason"] for line in lines if line["event"] == "child_ended"] == [str(reason)]
        with pytest.raises(NoActor):
            await node.ref(Worker, "a").which()


async def test_permanent_supervisor_that_is_stopped_starts_again_with_its_children(run_node, ends):
    async with run_node(Supervisor("part", worker(ends, "a")), DynamicSupervisor("others")) as node:
        await node.stop(node.ref(SupervisorRef, "part"))
        assert await node.ref(Worker, "a").which() == 2
        await node.ref(SupervisorRef, "others").start_child(worker(ends, "b"))
        await node.stop(node.ref(SupervisorRef, "others"))
        await anyio.wait_all_tasks_blocked()
        assert await node.ref(SupervisorRef, "others").which_children() == []


async def test_killed_supervisor_takes_its_children_along_at_once(run_node, ends):
    async with run_node(Supervisor("part", worker(ends, "a"), child(idle))) as node:
        before = anyio.current_time()
        await node.stop(node.ref(SupervisorRef, "part"), Killed())
        assert anyio.current_time() == before
        assert ends == {}
        assert await node.ref(Worker, "a").which() == 2


async def test_task_supervisor_can_be_stopped(run_node):
    async with run_node(TaskSupervisor("jobs")) as node:
        job = node.ref(TaskSupervisorRef, "jobs").start_soon(anyio.sleep_forever)
        await anyio.wait_all_tasks_blocked()
        await node.stop(node.ref(TaskSupervisorRef, "jobs"))
        assert job.is_done


async def test_who_waits_for_a_child_of_a_supervisor_that_is_killed_is_told(run_node):
    class Sleepy(Actor):
        async def on_start(self) -> None:
            await anyio.sleep_forever()

    told: list[Exception] = []

    async def start(supervisor: SupervisorRef) -> None:
        with anyio.fail_after(60.0):
            try:
                await supervisor.start_child(child(Sleepy))
            except (NoSupervisor, ChildNotStarted) as error:
                told.append(error)

    async with run_node(DynamicSupervisor("part")) as node, anyio.create_task_group() as tasks:
        tasks.start_soon(start, node.ref(SupervisorRef, "part"))
        await anyio.wait_all_tasks_blocked()
        await node.stop(node.ref(SupervisorRef, "part"), Killed())
    assert [type(error) for error in told] == [NoSupervisor]


async def test_function_that_is_called_like_an_actor_is_not_taken_for_it(run_node, ends):
    answers: list[int] = []

    async def clerk() -> None:
        with pytest.raises(NoActor):
            await nodes[0].ref(Worker, "nobody").which()
        answers.append(await nodes[0].ref(Worker, "clerk").which())
        await nodes[0].stop(nodes[0].ref(SupervisorRef, "part"))  # that of the actor, and not its own
        answers.append(await nodes[0].ref(Worker, "clerk").which())

    nodes = []
    part = Supervisor("part", worker(ends, "clerk"))
    async with run_node(part, DynamicSupervisor("functions")) as node:
        nodes.append(node)
        await node.ref(SupervisorRef, "functions").start_child(child(clerk).replace(restart="temporary"))
        await anyio.sleep(10.0)
        assert answers == [1, 2]


# If one of these outlived its supervisor, the supervisor would wait for it: a thousand seconds, and not for ever.


class Quick(Actor):
    @every(1000.0)
    async def give_up(self) -> None:
        self.stop()


class Late(Actor):
    async def on_start(self) -> None:
        await anyio.sleep(1000.0)
        raise TimeoutError


async def busy() -> None:
    await anyio.sleep(1000.0)


async def start_in_vain(supervisor: SupervisorRef, spec) -> None:
    with suppress(AdminError):
        await supervisor.start_child(spec)


@pytest.mark.parametrize("steps", range(10))
@pytest.mark.parametrize(
    "spec",
    [child(Quick), child(Late), child(busy), child(Supervisor("inner", child(Quick), child(busy), child(Late)))],
    ids=["quick actor", "late actor", "function", "tree"],
)
async def test_supervisor_can_be_killed_at_any_step_of_a_start(run_node, steps, spec):
    async with run_node(DynamicSupervisor("part")) as node:
        part = node.ref(SupervisorRef, "part")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(start_in_vain, part, spec)
            for _ in range(steps):
                await anyio.lowlevel.checkpoint()
            begin = anyio.current_time()
            await node.stop(part, Killed())
            # A tree inside is stopped in order; a start in it that had just begun may take as long as a stop.
            assert anyio.current_time() - begin <= (5.0 if spec.is_supervisor else 0.0)
        await anyio.wait_all_tasks_blocked()
        assert await part.which_children() == []
        assert node._running().find_process(ChildRef(f"part/{spec.id}")) is None
