"""Stopping: each child has its own time, static children one after the other, dynamic ones all at once."""

import anyio
import pytest

from cliffracer import (
    Actor,
    ActorCrashed,
    ChildRef,
    DynamicSupervisor,
    Exit,
    Normal,
    Shutdown,
    Stopping,
    Supervisor,
    SupervisorRef,
    call,
    child,
)
from tests.supervision.workers import Journal, Worker, crash, events, worker

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]

# How long one child has


@pytest.mark.parametrize("seconds", [0.5, 5, 60.0])
async def test_child_that_takes_longer_than_its_time_is_killed_when_that_is_over(run_node, lines, seconds):
    journal: Journal = []
    async with run_node(worker("a", journal, takes=1000.0, shutdown=seconds)):
        begin = anyio.current_time()
    assert anyio.current_time() - begin == pytest.approx(seconds)
    assert journal == ["start a"]
    (badly,) = events(lines, "child_stopped_badly")
    assert (badly["supervisor"], badly["child"], badly["incarnation"]) == ("root", "a", 1)
    assert (badly["reason"], badly["level"]) == ("killed", "warning")


async def test_child_that_stops_a_moment_before_its_time_is_over_ends_in_order(run_node, lines):
    journal: Journal = []
    async with run_node(worker("a", journal, takes=4.99, shutdown=5.0)):
        pass
    assert journal == ["start a", "stop a"]
    assert not events(lines, "child_stopped_badly")


async def test_message_in_hand_is_finished_before_the_child_stops(run_node):
    journal: Journal = []
    answers: list[str] = []

    async def ask(node) -> None:
        answers.append(await node.ref(Worker, "a").work(3.0))

    async with run_node(worker("a", journal, takes=1.0)) as node, anyio.create_task_group() as tasks:
        begin = anyio.current_time()
        tasks.start_soon(ask, node)
        await anyio.sleep(1.0)
        await node.ref(SupervisorRef, "root").terminate_child("a")
        assert anyio.current_time() - begin == pytest.approx(4.0)
    assert journal == ["start a", "done a", "stop a"]
    assert answers == ["done"]


async def test_message_in_hand_that_takes_too_long_is_broken_off_and_its_caller_is_told(run_node):
    journal: Journal = []

    async def ask(node) -> None:
        with pytest.raises(ActorCrashed, match="was killed while it handled this message"):
            await node.ref(Worker, "a").work(3.0)

    async with run_node(worker("a", journal, shutdown=2.0)) as node, anyio.create_task_group() as tasks:
        tasks.start_soon(ask, node)
        await anyio.wait_all_tasks_blocked()
        begin = anyio.current_time()
        await node.ref(SupervisorRef, "root").terminate_child("a")
        assert anyio.current_time() - begin == pytest.approx(2.0)
    assert journal == ["start a"]


async def test_child_with_no_time_at_all_is_killed_in_the_same_moment(run_node, lines):
    journal: Journal = []
    async with run_node(worker("a", journal, takes=0.01, shutdown=0)):
        begin = anyio.current_time()
    assert anyio.current_time() == begin
    assert journal == ["start a"]
    assert [line["reason"] for line in events(lines, "child_stopped_badly")] == ["killed"]


async def test_function_has_its_time_for_what_it_does_when_it_is_cancelled(run_node, lines):
    ended: list[float] = []

    async def serve(takes: float) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(takes)
            ended.append(anyio.current_time())

    async with run_node(child(serve, 3.0).replace(id="quick"), child(serve, 7.0).replace(id="slow")):
        begin = anyio.current_time()
    assert [when - begin for when in ended] == [pytest.approx(7.0), pytest.approx(10.0)]
    (badly,) = events(lines, "child_stopped_badly")
    assert (badly["child"], badly["reason"]) == ("slow", "killed")


async def test_function_that_swallows_its_cancellation_once_has_ended_when_it_returns(run_node, lines):
    async def serve() -> str:
        try:
            await anyio.sleep_forever()
        except BaseException:
            return "swallowed"

    async with run_node(child(serve).replace(restart="transient")):
        await anyio.wait_all_tasks_blocked()
        begin = anyio.current_time()
    assert anyio.current_time() == begin
    assert not events(lines, "child_stopped_badly")


async def test_actor_that_swallows_its_cancellation_once_takes_no_further_message(run_node, lines):
    class Deaf(Worker, shutdown=1.0):
        @call
        async def work(self, seconds: float) -> str:
            try:
                await anyio.sleep(seconds)
            except BaseException:
                return "swallowed"
            return "done"

    answers: list[str] = []

    async def ask(node) -> None:
        try:
            answers.append(await node.ref(Deaf).work(60.0))
        except Stopping:
            answers.append("refused")

    async with run_node(child(Deaf, [])) as node, anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(ask, node)
        await anyio.wait_all_tasks_blocked()
        begin = anyio.current_time()
        await node.ref(SupervisorRef, "root").terminate_child("deaf")
        assert anyio.current_time() - begin == pytest.approx(1.0)
    assert answers == ["swallowed", "refused"]
    assert not events(lines, "child_unkillable")


# Many children


async def test_static_children_stop_one_after_the_other_so_that_their_times_add_up(run_node):
    journal: Journal = []
    children = [worker(name, journal, takes=seconds) for name, seconds in [("a", 1.0), ("b", 2.0), ("c", 3.0)]]
    async with run_node(*children):
        begin = anyio.current_time()
    assert anyio.current_time() - begin == pytest.approx(6.0)
    assert journal[3:] == ["stop c", "stop b", "stop a"]


async def test_static_children_that_do_not_stop_take_the_sum_of_their_times(run_node):
    journal: Journal = []
    limits = {"a": 0.1, "b": "brutal_kill", "c": 0, "d": 0.25}
    children = [worker(name, journal, takes=1000.0, shutdown=limit) for name, limit in limits.items()]
    async with run_node(*children):
        begin = anyio.current_time()
    assert anyio.current_time() - begin == pytest.approx(0.35)


class Clocked(Worker):
    """Writes down how many seconds it was given."""

    def __init__(self, given: dict[str, float]) -> None:
        super().__init__([], takes=1000.0)
        self.given = given

    async def on_stop(self, reason: Exit) -> None:
        begin = anyio.current_time()
        try:
            await super().on_stop(reason)
        finally:
            self.given[self.name] = round(anyio.current_time() - begin, 3)


async def test_dynamic_children_stop_all_at_once_and_each_has_its_own_time(run_node, lines):
    given: dict[str, float] = {}
    limits = {"c": 3.0, "a": 1.0, "b": 2.0, "a2": 1.0, "now": 0.0}
    async with run_node(DynamicSupervisor("some")) as node:
        some = node.ref(SupervisorRef, "some")
        for name, limit in limits.items():
            await some.start_child(child(Clocked, given).replace(name=name, shutdown=limit))
        begin = anyio.current_time()
    assert anyio.current_time() - begin == pytest.approx(3.0)
    assert given == limits
    (badly,) = events(lines, "children_stopped_badly")
    assert (badly["supervisor"], badly["count"], badly["reason"]) == ("root/some", 5, "killed")


async def test_dynamic_child_that_may_take_for_ever_is_waited_for_and_the_others_are_killed_meanwhile(run_node):
    given: dict[str, float] = {}
    async with run_node(DynamicSupervisor("some")) as node:
        some = node.ref(SupervisorRef, "some")
        await some.start_child(child(Clocked, given).replace(name="patient", shutdown="infinity"))
        await some.start_child(child(Clocked, given).replace(name="short", shutdown=2.0))
        begin = anyio.current_time()
    assert anyio.current_time() - begin == pytest.approx(1000.0)
    assert given == {"patient": 1000.0, "short": 2.0}


async def test_dynamic_children_to_be_killed_at_once_do_not_hear_that_they_stop(run_node, lines):
    journal: Journal = []
    async with run_node(DynamicSupervisor("some")) as node:
        for name in "abc":
            await node.ref(SupervisorRef, "some").start_child(worker(name, journal, shutdown="brutal_kill"))
        begin = anyio.current_time()
    assert anyio.current_time() == begin
    assert journal == ["start a", "start b", "start c"]
    assert not events(lines, "children_stopped_badly")


# Supervisors inside supervisors


async def test_subtree_stops_in_its_own_time_however_long_that_is(run_node, lines):
    journal: Journal = []
    inner = Supervisor("inner", worker("x", journal, takes=50.0, shutdown=60.0), worker("y", journal, takes=4.0))
    async with run_node(worker("a", journal), Supervisor("outer", inner), worker("b", journal)):
        begin = anyio.current_time()
    assert anyio.current_time() - begin == pytest.approx(54.0)
    assert journal[4:] == ["stop b", "stop y", "stop x", "stop a"]
    assert not events(lines, "child_stopped_badly")


async def test_workers_of_a_supervisor_whose_time_is_over_are_killed(run_node, lines):
    journal: Journal = []
    inner = Supervisor(
        "inner", worker("x", journal), worker("y", journal, takes=1000.0, shutdown="infinity"), worker("z", journal)
    )
    async with run_node(worker("a", journal), child(inner).replace(shutdown=3.0)):
        begin = anyio.current_time()
    assert anyio.current_time() - begin == pytest.approx(3.0)
    assert journal[4:] == ["stop z", "stop a"]
    assert [(line["child"], line["reason"]) for line in events(lines, "child_stopped_badly")] == [("inner", "killed")]


async def test_supervisors_of_a_supervisor_whose_time_is_over_stop_their_own_children_in_order(run_node, lines):
    # OTP: a killed supervisor takes its workers along; a supervisor below it hears of that, and ends as it should.
    journal: Journal = []
    deep = Supervisor("deep", worker("x", journal), worker("y", journal, takes=1000.0, shutdown=5.0))
    inner = child(Supervisor("inner", deep, worker("z", journal, takes=1.0))).replace(shutdown=3.0)
    async with run_node(worker("a", journal), inner):
        begin = anyio.current_time()
    assert anyio.current_time() - begin == pytest.approx(6.0)
    assert journal[4:] == ["stop z", "stop x", "stop a"]
    assert [(line["child"], line["reason"]) for line in events(lines, "child_stopped_badly")] == [
        ("y", "killed"),
        ("inner", "killed"),
    ]


async def test_brutal_kill_of_a_supervisor_kills_its_workers_at_once_and_they_do_not_hear_of_it(run_node, lines):
    journal: Journal = []
    inner = child(Supervisor("inner", worker("x", journal), worker("y", journal))).replace(shutdown="brutal_kill")
    async with run_node(worker("a", journal), inner):
        begin = anyio.current_time()
    assert anyio.current_time() == begin
    assert journal[3:] == ["stop a"]
    assert not events(lines, "child_stopped_badly")


async def test_brutal_kill_of_a_supervisor_lets_the_supervisors_below_it_stop_their_children_in_order(run_node):
    journal: Journal = []
    deep = Supervisor("deep", worker("x", journal, takes=2.0), worker("y", journal, takes=1.0))
    inner = child(Supervisor("inner", deep, worker("z", journal))).replace(shutdown="brutal_kill")
    async with run_node(worker("a", journal), inner):
        begin = anyio.current_time()
    assert anyio.current_time() - begin == pytest.approx(3.0)
    assert journal[4:] == ["stop y", "stop x", "stop a"]


# At an awkward moment


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
async def test_stop_during_the_start_of_a_restart_starts_nothing_further(run_node, strategy):
    journal: Journal = []
    children = (worker("a", journal), worker("b", journal, hanging=[2]), worker("c", journal))
    async with run_node(*children, strategy=strategy) as node:
        await crash(node, "a")
        begin = anyio.current_time()
    assert anyio.current_time() == begin
    assert journal == [
        *["start a", "start b", "start c"],
        *["stop a", "stop c", "stop b"],
        "start a",
        "start b",
        "stop a",
    ]


async def test_stop_while_a_group_is_being_stopped_for_its_restart_does_not_start_it_again(run_node):
    journal: Journal = []
    children = (worker("a", journal, takes=2.0), worker("b", journal, takes=2.0), worker("c", journal))
    async with run_node(*children, strategy="one_for_all") as node:
        await crash(node, "c")
        await anyio.sleep(0.5)
        begin = anyio.current_time()
    assert journal[3:] == ["stop c", "stop b", "stop a"]
    assert anyio.current_time() - begin < 4.0


@pytest.mark.parametrize("supervisor", [Supervisor("some"), DynamicSupervisor("some")], ids=["static", "dynamic"])
@pytest.mark.parametrize("fails", [False, True])
async def test_children_that_end_in_the_very_moment_in_which_they_are_told_to_stop_harm_nobody(
    run_node, supervisor, fails
):
    async def serve() -> None:
        await anyio.sleep(5.0)
        if fails:
            raise RuntimeError("bug")

    async with run_node(supervisor) as node:
        begin = anyio.current_time()
        for number in range(10):
            spec = child(serve).replace(id=f"job-{number}", restart="temporary")
            await node.ref(SupervisorRef, "some").start_child(spec)
        await anyio.sleep(5.0)
    assert anyio.current_time() - begin < 5.1


async def test_child_that_has_ended_already_costs_no_time(run_node, lines):
    async def serve() -> None:
        await anyio.sleep(1.0)

    async with run_node(child(serve).replace(restart="transient", shutdown="infinity")):
        await anyio.sleep(2.0)
        begin = anyio.current_time()
    assert anyio.current_time() == begin
    assert [line["reason"] for line in events(lines, "child_ended")] == ["normal"]


async def test_cancelling_the_block_of_a_node_gives_every_child_its_time(run_node):
    journal: Journal = []
    with anyio.move_on_after(1.0) as scope:
        async with run_node(worker("a", journal, takes=3.0), worker("b", journal, takes=3.0)):
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert journal[2:] == ["stop b", "stop a"]


# What is worth a line in the log


class Parting(Actor):
    """Gives a reason of its own when it is told to stop."""

    def __init__(self, reason: Exit | None) -> None:
        self.reason = reason

    async def on_stop(self, reason: Exit) -> None:
        if self.reason is not None:
            self.stop(self.reason)


@pytest.mark.parametrize(
    ("restart", "word", "quiet"),
    [
        ("permanent", None, True),
        ("permanent", Shutdown(), True),
        ("permanent", Shutdown("drained"), False),
        ("permanent", Normal(), False),
        ("transient", Shutdown("drained"), True),
        ("transient", Normal(), True),
        ("temporary", Shutdown("drained"), True),
        ("temporary", Normal(), True),
    ],
)
async def test_end_that_nobody_ordered_is_told_unless_the_child_may_end_so(run_node, lines, restart, word, quiet):
    async with run_node(child(Parting, word).replace(restart=restart)):
        pass
    told = events(lines, "child_stopped" if quiet else "child_stopped_badly")
    assert [(line["child"], line["reason"]) for line in told] == [("parting", str(word or Shutdown()))]
    assert not events(lines, "child_stopped_badly" if quiet else "child_stopped")


async def test_shutdown_goes_on_after_a_child_that_ended_badly(run_node, lines):
    journal: Journal = []
    async with run_node(worker("a", journal), child(Parting, Normal()), worker("b", journal)):
        pass
    assert journal[2:] == ["stop b", "stop a"]
    assert len(events(lines, "child_stopped_badly")) == 1


async def test_node_says_beforehand_how_long_it_may_take_at_worst(run_node, lines):
    journal: Journal = []
    inner = Supervisor("inner", worker("x", journal, shutdown=2.0), worker("y", journal, shutdown=3.0))
    async with run_node(worker("a", journal), inner, worker("b", journal, shutdown="brutal_kill")) as node:
        assert node.ref(ChildRef, "inner") == ChildRef("inner")
    (stopping,) = events(lines, "node_stopping")
    assert stopping["worst_case_seconds"] == 10.0 + 5.0 + 2.0 + 3.0
