"""SystemExit and KeyboardInterrupt leave the tree: all is stopped in order, and then they come out as they are."""

from contextlib import contextmanager
from functools import partial

import anyio
import pytest
from anyio.abc import TaskStatus

from cliffracer import (
    ActorCrashed,
    ChildNotStarted,
    Down,
    DynamicSupervisor,
    Exit,
    Supervisor,
    SupervisorRef,
    call,
    cast,
    child,
    every,
)
from tests.supervision.workers import Journal, Worker, crash, events, worker

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]


@pytest.fixture(params=[partial(SystemExit, 3), KeyboardInterrupt], ids=["SystemExit", "KeyboardInterrupt"])
def departure(request):
    """Make what is raised."""
    return request.param


@contextmanager
def left(departure):
    """Expect that a node ends with what a departure makes: not in a group, and not as anything else."""
    with pytest.raises(BaseException) as caught:
        yield
    expected = departure()
    assert (type(caught.value), caught.value.args) == (type(expected), expected.args)


class Busy(Worker):
    """Has work to do that nobody waits for."""

    @cast
    async def note(self, number: int) -> None:
        await anyio.sleep(0.5)
        self.journal.append(f"note {number}")


class Leaver(Worker, name="leaver"):
    """Raises what it is given, in a place of choice."""

    def __init__(self, journal: Journal, departure, place: str = "") -> None:
        super().__init__(journal)
        self.departure, self.place = departure, place

    async def on_start(self) -> None:
        await super().on_start()
        if self.place == f"start {self.incarnation}":
            raise self.departure()

    async def on_stop(self, reason: Exit) -> None:
        await super().on_stop(reason)
        if self.place == "stop":
            raise self.departure()

    async def on_down(self, down: Down) -> None:
        raise self.departure()

    @every(10.0)
    async def tick(self) -> None:
        if self.place == "tick":
            raise self.departure()

    @call
    async def leave(self) -> None:
        raise self.departure()

    @call
    async def watch(self, name: str) -> None:
        self.monitor(self.ref(Worker, name))


class ConcurrentLeaver(Leaver, name="leaver"):
    @call(concurrent=True)
    async def leave_beside(self) -> None:
        await anyio.sleep(0.1)
        raise self.departure()


# In a handler


async def test_handler_that_leaves_has_the_tree_stopped_in_order_after_all_mailboxes_are_empty(
    run_node, lines, departure
):
    journal: Journal = []
    children = (child(Busy, journal).replace(name="a"), child(Leaver, journal, departure), worker("b", journal))
    with left(departure):
        async with run_node(*children) as node:
            for number in range(3):
                await node.ref(Busy, "a").note(number)
            with pytest.raises(ActorCrashed):
                await node.ref(Leaver).leave()
            await anyio.sleep_forever()
    assert journal[3:] == ["note 0", "note 1", "note 2", "stop b", "stop a"]
    assert not events(lines, "child_restarting")
    assert not events(lines, "supervisor_gave_up")
    assert len(events(lines, "node_stopped")) == 1


async def test_block_of_the_node_is_cancelled_when_a_child_leaves(run_node, departure):
    reached: list[str] = []
    with left(departure):
        async with run_node(child(Leaver, [], departure, "tick")):
            try:
                await anyio.sleep(100.0)
            finally:
                reached.append(f"after {anyio.current_time():.0f} s")
            reached.append("end of the block")
    assert reached == ["after 10 s"]


async def test_what_the_block_raises_because_of_that_is_told_as_the_cause(run_node, departure):
    with pytest.raises(type(departure())) as caught:
        async with run_node(child(Leaver, [], departure, "tick")):
            try:
                await anyio.sleep(100.0)
            except BaseException:
                raise ValueError("the block's own") from None
    assert isinstance(caught.value.__cause__, ValueError)


async def test_message_that_waits_at_who_leaves_is_refused_and_not_lost_in_silence(run_node, departure):
    refused: list[Exception] = []

    async def ask(node) -> None:
        try:
            await node.ref(Leaver).which()
        except Exception as error:
            refused.append(error)

    with left(departure):
        async with run_node(child(Leaver, [], departure)) as node, anyio.create_task_group() as tasks:
            tasks.start_soon(node.ref(Leaver).work, 1.0)
            await anyio.sleep(0.5)
            tasks.start_soon(partial(leave, node))
            await anyio.sleep(0.1)
            tasks.start_soon(ask, node)
            await anyio.sleep(10.0)
    assert len(refused) == 1


async def leave(node) -> None:
    with pytest.raises(ActorCrashed):
        await node.ref(Leaver).leave()


async def test_concurrent_handler_that_leaves_takes_the_same_way_out(run_node, departure):
    journal: Journal = []
    children = (worker("a", journal), child(ConcurrentLeaver, journal, departure), worker("b", journal))
    with left(departure):
        async with run_node(*children) as node:
            with pytest.raises(ActorCrashed):
                await node.ref(ConcurrentLeaver).leave_beside()
            await anyio.sleep_forever()
    assert journal[3:] == ["stop b", "stop a"]


async def test_plain_handler_that_leaves_beside_concurrent_ones_takes_the_same_way_out(run_node, departure):
    journal: Journal = []
    children = (worker("a", journal), child(ConcurrentLeaver, journal, departure), worker("b", journal))
    with left(departure):
        async with run_node(*children) as node:
            with pytest.raises(ActorCrashed):
                await node.ref(ConcurrentLeaver).leave()
            await anyio.sleep_forever()
    assert journal[3:] == ["stop b", "stop a"]


async def test_on_down_that_leaves_takes_the_same_way_out(run_node, departure):
    journal: Journal = []
    with left(departure):
        async with run_node(worker("a", journal), child(Leaver, journal, departure), worker("b", journal)) as node:
            await node.ref(Leaver).watch("a")
            await crash(node, "a")
            await anyio.sleep_forever()
    assert journal[-2:] == ["stop b", "stop a"]


async def test_group_is_not_restarted_for_who_leaves(run_node, lines, departure):
    journal: Journal = []
    inner = Supervisor(
        "inner", worker("x", journal), child(Leaver, journal, departure), worker("y", journal), strategy="one_for_all"
    )
    with left(departure):
        async with run_node(worker("a", journal), inner, worker("b", journal), strategy="one_for_all") as node:
            await leave(node)
            await anyio.sleep_forever()
    assert journal[5:] == ["stop b", "stop y", "stop x", "stop a"]
    assert not events(lines, "child_restarting")


# In a start


async def test_first_start_that_leaves_has_stopped_what_had_started(run_node, departure):
    journal: Journal = []
    with left(departure):
        async with run_node(worker("a", journal), child(Leaver, journal, departure, "start 1"), worker("b", journal)):
            pass
    assert journal == ["start a", "start leaver", "stop a"]


async def test_constructor_that_leaves_has_stopped_what_had_started(run_node, departure):
    class Early(Worker):
        def __init__(self, journal: Journal) -> None:
            raise departure()

    journal: Journal = []
    with left(departure):
        async with run_node(worker("a", journal), child(Early, journal), worker("b", journal)):
            pass
    assert journal == ["start a", "stop a"]


async def test_start_below_a_supervisor_that_leaves_has_stopped_what_had_started(run_node, departure):
    journal: Journal = []
    inner = Supervisor("inner", worker("x", journal), child(Leaver, journal, departure, "start 1"))
    with left(departure):
        async with run_node(worker("a", journal), inner, worker("b", journal)):
            pass
    assert journal == ["start a", "start x", "start leaver", "stop x", "stop a"]


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all"])
async def test_restart_that_leaves_is_not_tried_again(run_node, lines, departure, strategy):
    journal: Journal = []
    children = (worker("a", journal), child(Leaver, journal, departure, "start 2"), worker("b", journal))
    with left(departure):
        async with run_node(*children, strategy=strategy, max_restarts=100) as node:
            await crash(node, "leaver")
            await anyio.sleep_forever()
    assert journal.count("start leaver") == 2
    assert journal[-1] == "stop a"
    assert len(events(lines, "child_restarting")) == 1


async def test_start_of_a_new_child_that_leaves_is_told_to_who_asked_for_it(run_node, departure):
    journal: Journal = []
    with left(departure):
        async with run_node(worker("a", journal), DynamicSupervisor("some")) as node:
            with pytest.raises(ChildNotStarted):
                await node.ref(SupervisorRef, "some").start_child(child(Leaver, journal, departure, "start 1"))
            await anyio.sleep_forever()
    assert journal == ["start a", "start leaver", "stop a"]


async def test_function_that_makes_a_supervisor_and_leaves_takes_the_same_way_out(run_node, departure):
    def factory() -> Supervisor:
        raise departure()

    journal: Journal = []
    with left(departure):
        async with run_node(worker("a", journal), child(factory)):
            pass
    assert journal == ["start a", "stop a"]


# In a stop


async def test_on_stop_that_leaves_lets_the_others_stop_first(run_node, departure):
    journal: Journal = []
    with left(departure):
        async with run_node(worker("a", journal), child(Leaver, journal, departure, "stop"), worker("b", journal)):
            pass
    assert journal[3:] == ["stop b", "stop leaver", "stop a"]


async def test_on_stop_that_leaves_after_a_crash_is_not_followed_by_a_restart(run_node, departure):
    journal: Journal = []
    children = (worker("a", journal), child(Leaver, journal, departure, "stop"), worker("b", journal))
    with left(departure):
        async with run_node(*children) as node:
            await crash(node, "leaver")
            await anyio.sleep_forever()
    assert journal[3:] == ["stop leaver", "stop b", "stop a"]


async def test_on_stop_that_leaves_while_it_is_terminated_lets_the_order_be_carried_out(run_node, departure):
    journal: Journal = []
    with left(departure):
        async with run_node(worker("a", journal), child(Leaver, journal, departure, "stop")) as node:
            await node.ref(SupervisorRef, "root").terminate_child("leaver")
            await anyio.sleep_forever()
    assert journal[2:] == ["stop leaver", "stop a"]


async def test_who_leaves_first_has_the_say(run_node, departure):
    class Second(Worker):
        async def on_stop(self, reason: Exit) -> None:
            await super().on_stop(reason)
            raise SystemExit(9)

    journal: Journal = []
    with left(departure):
        async with run_node(child(Second, journal), child(Leaver, journal, departure)) as node:
            await leave(node)
            await anyio.sleep_forever()
    assert journal[-1] == "stop second"


# In a function


async def test_function_that_leaves_takes_the_same_way_out(run_node, lines, departure):
    async def serve() -> None:
        await anyio.sleep(1.0)
        raise departure()

    journal: Journal = []
    with left(departure):
        async with run_node(worker("a", journal), child(serve), worker("b", journal)):
            await anyio.sleep_forever()
    assert journal[2:] == ["stop b", "stop a"]
    assert not events(lines, "child_restarting")


async def test_function_that_leaves_before_it_has_started_takes_the_same_way_out(run_node, departure):
    async def serve(task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        await anyio.sleep(1.0)
        raise departure()

    journal: Journal = []
    with left(departure):
        async with run_node(worker("a", journal), child(serve), worker("b", journal)):
            pass
    assert journal == ["start a", "stop a"]


async def test_function_that_leaves_while_it_is_stopped_takes_the_same_way_out(run_node, departure):
    async def serve() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise departure()

    journal: Journal = []
    with left(departure):
        async with run_node(worker("a", journal), child(serve), worker("b", journal)):
            await anyio.sleep(1.0)
    assert journal[2:] == ["stop b", "stop a"]
