"""Children of all kinds at work: functions, actors that are not needed, supervisors that are made."""

import anyio
import pytest
from anyio.abc import TaskStatus

from cliffracer import (
    Actor,
    ChildIgnored,
    ChildNotStarted,
    Crashed,
    Exit,
    Ignore,
    Killed,
    NoActor,
    Normal,
    NotStarted,
    Shutdown,
    StartFailed,
    Supervisor,
    SupervisorRef,
    child,
)
from tests.supervision.workers import Journal, Worker, crash, events, states, worker

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]


def root_of(node) -> SupervisorRef:
    return node.ref(SupervisorRef, "root")


# Functions


async def ends_with(result: object) -> object:
    await anyio.sleep(1.0)
    return result


@pytest.mark.parametrize(
    ("result", "told", "restarted"),
    [
        (None, "normal", False),
        ("anything", "normal", False),
        (Normal(), "normal", False),
        (Shutdown("drained"), "shutdown: drained", False),
        (NotStarted("x", Killed()), "shutdown: child 'x' did not start, killed", False),
        (Killed(), "killed", True),
        (Crashed("OSError: gone", "1f0c"), "crashed: OSError: gone (incident 1f0c)", True),
    ],
)
async def test_exit_that_a_function_returns_is_why_it_ended(run_node, lines, result, told, restarted):
    async with run_node(child(ends_with, result).replace(restart="transient")):
        await anyio.sleep(1.5)
        told_by = events(lines, "child_restarting" if restarted else "child_ended")
        assert [line["reason"] for line in told_by] == [told]
    assert len(events(lines, "child_started")) == 1 + restarted


async def test_function_that_returns_is_restarted_if_it_is_permanent(run_node, lines):
    runs: list[float] = []

    async def poll() -> None:
        runs.append(anyio.current_time())
        await anyio.sleep(10.0)

    async with run_node(child(poll), max_restarts=1, max_seconds=5.0):
        begin = anyio.current_time()
        await anyio.sleep(35.0)
    assert [when - begin for when in runs] == [pytest.approx(seconds) for seconds in (0.0, 10.0, 20.0, 30.0)]


async def test_crash_of_a_function_is_logged_with_its_traceback_and_the_incident_of_its_restart(run_node, lines):
    async def poll() -> None:
        await anyio.sleep(1.0)
        raise OSError("gone")

    async with run_node(child(poll), max_restarts=1):
        await anyio.sleep(1.5)
    (crashed,) = events(lines, "child_crashed")
    (restart,) = events(lines, "child_restarting")
    assert (crashed["supervisor"], crashed["child"], crashed["incarnation"]) == ("root", "poll", 1)
    assert crashed["error"] == "OSError: gone"
    assert isinstance(crashed["exc_info"], OSError)
    assert (restart["incident"], restart["incarnation"]) == (crashed["incident"], 1)


async def test_function_is_told_what_to_start_with_anew_each_time(run_node):
    runs: list[tuple] = []

    async def poll(url: str, *, seconds: float) -> None:
        runs.append((url, seconds))
        await anyio.sleep(seconds)

    async with run_node(child(poll, "http://x", seconds=4.0)):
        await anyio.sleep(5.0)
    assert runs == [("http://x", 4.0)] * 2


async def ready_after(seconds: float, *, task_status: TaskStatus[None]) -> None:
    await anyio.sleep(seconds)
    task_status.started()
    await anyio.sleep_forever()


async def test_function_with_a_task_status_has_started_when_it_says_so_and_the_next_child_waits_for_that(run_node):
    journal: Journal = []
    begin = anyio.current_time()
    async with run_node(child(ready_after, 3.0), worker("a", journal)):
        assert anyio.current_time() - begin == pytest.approx(3.0)
        assert journal == ["start a"]


async def test_function_that_is_not_ready_in_time_has_not_started(run_node):
    with pytest.raises(StartFailed, match=r"'ready_after' did not start, shutdown: start took longer than 2\.0 s"):
        async with run_node(child(ready_after, 3.0).replace(start_timeout=2.0)):
            pass


async def too_early(task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
    await anyio.sleep(1.0)


async def fails_early(task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
    raise OSError("gone")


async def unneeded(task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
    raise Ignore("nothing to poll")


async def twice(task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
    task_status.started()
    await anyio.sleep(1.0)
    task_status.started()


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (too_early, r"it returned without having called task_status\.started\(\)"),
        (fails_early, "OSError: gone"),
    ],
)
async def test_function_that_ends_before_it_has_said_that_it_started_has_not_started(run_node, function, why):
    journal: Journal = []
    with pytest.raises(StartFailed, match=f"'{function.__name__}' did not start, crashed: .*{why}"):
        async with run_node(worker("a", journal), child(function), worker("b", journal)):
            pass
    assert journal == ["start a", "stop a"]


async def test_function_that_says_twice_that_it_has_started_crashes(run_node, lines):
    async with run_node(child(twice).replace(restart="temporary")):
        await anyio.sleep(2.0)
    (crashed,) = events(lines, "child_crashed")
    assert crashed["error"] == "RuntimeError: task_status.started() was called twice"


async def test_function_that_is_not_needed_says_so_before_it_has_started(run_node, lines):
    async with run_node(child(unneeded), worker("a", [])) as node:
        assert await states(root_of(node)) == "a running, unneeded stopped"
        with pytest.raises(ChildIgnored, match="'root/unneeded' declined to start: shutdown: nothing to poll"):
            await root_of(node).restart_child("unneeded")
    (ignored, _) = events(lines, "child_ignored")
    assert (ignored["child"], ignored["reason"], ignored["level"]) == ("unneeded", "shutdown: nothing to poll", "info")


async def test_ignore_after_the_start_is_a_crash_like_any_other(run_node, lines):
    async def serve() -> None:
        await anyio.sleep(1.0)
        raise Ignore("too late")

    async with run_node(child(serve).replace(restart="temporary")):
        await anyio.sleep(2.0)
    assert [line["error"] for line in events(lines, "child_crashed")] == ["Ignore: too late"]


# Actors that are not needed


class Unneeded(Actor):
    def __init__(self) -> None:
        raise Ignore("no licence")


async def test_actor_that_declines_to_start_is_no_failure_and_those_after_it_start(run_node, lines):
    journal: Journal = []
    children = (worker("a", journal), worker("b", journal, declining=[1]), child(Unneeded), worker("c", journal))
    async with run_node(*children) as node:
        assert journal == ["start a", "ignore b", "start c"]
        assert await states(root_of(node)) == "c running, unneeded stopped, b stopped, a running"
        with pytest.raises(NoActor):
            await node.ref(Worker, "b").which()
    assert journal[3:] == ["stop c", "stop a"]
    assert [line["reason"] for line in events(lines, "child_ignored")] == ["shutdown: no need", "shutdown: no licence"]
    assert not events(lines, "actor_crashed")


async def test_temporary_actor_that_declines_to_start_is_forgotten(run_node):
    async with run_node(worker("a", [], declining=[1], restart="temporary"), worker("b", [])) as node:
        assert await states(root_of(node)) == "b running"


async def test_restart_that_is_declined_leaves_the_child_stopped_and_is_not_tried_again(run_node, lines):
    async with run_node(worker("a", [], declining=[2]), worker("b", [])) as node:
        await crash(node, "a")
        await anyio.sleep(10.0)
        assert await states(root_of(node)) == "b running, a stopped"
        with pytest.raises(NoActor):
            await node.ref(Worker, "a").which()
    assert len(events(lines, "child_restarting")) == 1


async def test_group_restart_goes_on_after_a_child_that_declines(run_node):
    journal: Journal = []
    children = (worker("a", journal), worker("b", journal, declining=[2]), worker("c", journal))
    async with run_node(*children, strategy="one_for_all") as node:
        await crash(node, "a")
        assert await states(root_of(node)) == "c running, b stopped, a running"
        await crash(node, "a")
        assert await states(root_of(node)) == "c running, b running, a running"


# Supervisors that are made


def declines() -> Supervisor:
    raise Ignore("no shop today")


def fails() -> Supervisor:
    raise OSError("no such file: shop.toml")


def nonsense():
    return {"children": []}


async def test_function_that_makes_no_supervisor_today_leaves_its_child_stopped(run_node):
    async with run_node(child(declines), worker("a", [])) as node:
        assert await states(root_of(node)) == "a running, declines stopped"


@pytest.mark.parametrize(
    ("factory", "why"),
    [
        (fails, "OSError: no such file: shop.toml"),
        (
            nonsense,
            r"TypeError: nonsense\(\), which is no 'async def', returned \{'children': \[\]\}, and no supervisor",
        ),
    ],
)
async def test_function_that_makes_no_supervisor_at_all_has_not_started(run_node, lines, factory, why):
    with pytest.raises(StartFailed, match=f"'{factory.__name__}' did not start, crashed: {why}"):
        async with run_node(child(factory)):
            pass
    (crashed,) = events(lines, "child_crashed")
    assert crashed["exc_info"] is not None


async def test_made_supervisor_can_have_other_children_after_its_restart(run_node):
    made: list[str] = []

    def shop() -> Supervisor:
        made.append(f"w{len(made) + 1}")
        return Supervisor("shop", worker(made[-1], []), max_restarts=0)

    async with run_node(child(shop)) as node:
        await crash(node, "w1")
        assert await node.ref(Worker, "w2").which() == 1
        with pytest.raises(NoActor):
            await node.ref(Worker, "w1").which()


async def test_function_that_fails_when_its_supervisor_is_to_be_restarted_is_tried_again(run_node, lines):
    calls: list[int] = []

    def shop() -> Supervisor:
        calls.append(len(calls) + 1)
        if calls[-1] in (2, 3):
            raise OSError("disk full")
        return Supervisor("shop", worker("a", []), max_restarts=0)

    async with run_node(child(shop)) as node:
        await crash(node, "a")
        assert await states(node.ref(SupervisorRef, "shop")) == "a running"
    assert calls == [1, 2, 3, 4]
    assert [line["attempt"] for line in events(lines, "child_restarting")] == [0, 1, 2]


# What is told


async def test_start_of_a_new_child_by_hand_is_no_line_that_anybody_has_to_read(run_node, lines):
    async with run_node() as node:
        await root_of(node).start_child(worker("a", []))
        with pytest.raises(ChildNotStarted):
            await root_of(node).start_child(worker("b", [], failing=[1]))
        await crash(node, "a")
    assert [(line["child"], line["level"]) for line in events(lines, "child_started")] == [
        ("a", "debug"),
        ("a", "info"),
    ]
    assert not events(lines, "child_start_failed")


async def test_reason_of_the_end_reaches_on_stop(run_node):
    reasons: list[Exit] = []

    class Curious(Worker):
        async def on_stop(self, reason: Exit) -> None:
            reasons.append(reason)

    async with run_node(child(Curious, [])) as node:
        await crash(node, "curious")
        await node.ref(Curious).finish()
    assert isinstance(reasons[0], Crashed)
    assert reasons[1:] == [Normal(), Shutdown()]
