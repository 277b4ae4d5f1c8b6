"""Supervisors at work: who is started, restarted and stopped, in which order, and what is told of it."""

import anyio
import pytest

from cliffracer import (
    Actor,
    ActorCrashed,
    Exit,
    NoActor,
    StartFailed,
    Supervisor,
    TreeFailed,
    call,
    child,
)

pytestmark = pytest.mark.anyio

Journal = list[str]


class Worker(Actor):
    """Writes down what happens to it; crashes, stops or refuses to start as told."""

    def __init__(self, journal: Journal, failures: list[int] | None = None) -> None:
        self.journal = journal
        self.failures = failures if failures is not None else []  # starts that are still to fail

    async def on_start(self) -> None:
        if self.failures:
            self.failures.pop()
            self.journal.append(f"fail {self.name}")
            raise RuntimeError("not today")
        self.journal.append(f"start {self.name}")

    async def on_stop(self, reason: Exit) -> None:
        self.journal.append(f"stop {self.name} {type(reason).__name__}")

    @call
    async def crash(self) -> None:
        raise RuntimeError("bug")

    @call
    async def finish(self) -> None:
        self.stop()

    @call
    async def which(self) -> int:
        return self.incarnation


def worker(name: str, journal: Journal, *, failures: list[int] | None = None, **options):
    return child(Worker, journal, failures).replace(name=name, **options)


async def crash(node, name: str) -> None:
    with pytest.raises(ActorCrashed):
        await node.ref(Worker, name).crash()
    await anyio.wait_all_tasks_blocked()


def events(lines, name: str):
    return [line for line in lines if line["event"] == name]


async def test_children_start_in_order_and_stop_in_reverse(run_node):
    journal: Journal = []
    async with run_node(*(worker(name, journal) for name in "abc")):
        assert journal == ["start a", "start b", "start c"]
    assert journal[3:] == ["stop c Shutdown", "stop b Shutdown", "stop a Shutdown"]


async def test_failed_start_rolls_back_in_reverse_and_starts_nothing_further(run_node):
    journal: Journal = []
    with pytest.raises(
        StartFailed, match="'root' did not start: shutdown: child 'c' did not start, crashed: RuntimeError: not"
    ):
        async with run_node(
            worker("a", journal), worker("b", journal), worker("c", journal, failures=[1]), worker("d", journal)
        ):
            pytest.fail("the block must not run")
    assert journal == ["start a", "start b", "fail c", "stop b Shutdown", "stop a Shutdown"]


async def test_crashed_permanent_child_is_restarted_and_its_siblings_are_left_alone(run_node, lines):
    journal: Journal = []
    async with run_node(*(worker(name, journal) for name in "abc")) as node:
        await crash(node, "b")
        assert journal[3:] == ["stop b Crashed", "start b"]
        assert await node.ref(Worker, "b").which() == 2
    (restart,) = events(lines, "child_restarting")
    assert restart["supervisor"] == "root"
    assert (restart["child"], restart["restarts"], restart["max_restarts"]) == ("b", 1, 3)
    assert "RuntimeError: bug" in restart["reason"]


async def test_permanent_child_is_restarted_also_after_a_normal_end(run_node):
    journal: Journal = []
    async with run_node(worker("a", journal)) as node:
        await node.ref(Worker, "a").finish()
        assert await node.ref(Worker, "a").which() == 2


async def test_transient_child_is_restarted_after_a_crash_and_not_after_a_normal_end(run_node):
    journal: Journal = []
    async with run_node(worker("a", journal, restart="transient")) as node:
        await crash(node, "a")
        assert await node.ref(Worker, "a").which() == 2
        await node.ref(Worker, "a").finish()
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(NoActor):
            await node.ref(Worker, "a").which()


async def test_temporary_child_is_not_restarted_whatever_the_reason(run_node):
    journal: Journal = []
    async with run_node(worker("a", journal, restart="temporary"), worker("b", journal, restart="temporary")) as node:
        await crash(node, "a")
        await node.ref(Worker, "b").finish()
        await anyio.wait_all_tasks_blocked()
        for name in "ab":
            with pytest.raises(NoActor):
                await node.ref(Worker, name).which()


async def test_one_restart_over_the_intensity_ends_the_tree_with_the_reason(run_node, lines):
    journal: Journal = []
    with pytest.raises(TreeFailed, match="'root' gave up after more than 2 restarts within 5.0 s; last, 'b' crashed"):
        async with run_node(*(worker(name, journal) for name in "abc"), max_restarts=2) as node:
            for _ in range(3):
                await crash(node, "b")
            await anyio.sleep_forever()
    assert journal[-3:] == ["stop b Crashed", "stop c Shutdown", "stop a Shutdown"]
    (gave_up,) = events(lines, "supervisor_gave_up")
    assert gave_up["child"] == "b"


async def test_restarts_spread_over_more_than_the_window_never_end_the_tree(run_node):
    journal: Journal = []
    async with run_node(worker("a", journal), max_restarts=1, max_seconds=5.0) as node:
        for _ in range(20):
            await crash(node, "a")
            await anyio.sleep(5.01)
        assert await node.ref(Worker, "a").which() == 21


async def test_all_children_share_one_window(run_node):
    journal: Journal = []
    with pytest.raises(TreeFailed):
        async with run_node(*(worker(name, journal) for name in "abc"), max_restarts=2) as node:
            for name in "abc":
                await crash(node, name)
            await anyio.sleep_forever()


async def test_each_failed_attempt_to_restart_counts_as_one_more(run_node):
    journal: Journal = []
    failures: list[int] = []
    async with run_node(worker("a", journal, failures=failures), max_restarts=3) as node:
        failures.extend([1, 2])
        await crash(node, "a")
        assert await node.ref(Worker, "a").which() == 4
        assert journal == ["start a", "stop a Crashed", "fail a", "fail a", "start a"]
    failures.extend([1, 2, 3])
    with pytest.raises(TreeFailed):
        async with run_node(worker("b", journal), worker("a", journal, failures=[]), max_restarts=0) as node:
            await crash(node, "a")
            await anyio.sleep_forever()


async def test_call_made_while_the_actor_restarts_waits_for_the_next_incarnation(run_node):
    journal: Journal = []
    failures: list[int] = []
    async with run_node(worker("a", journal, failures=failures)) as node:
        failures.extend([1, 2])
        with pytest.raises(ActorCrashed):
            await node.ref(Worker, "a").crash()
        assert await node.ref(Worker, "a").which() == 4


async def test_one_for_all_stops_the_others_in_reverse_and_starts_all_in_order(run_node):
    journal: Journal = []
    async with run_node(*(worker(name, journal) for name in "abcd"), strategy="one_for_all") as node:
        await crash(node, "b")
        assert journal[4:] == [
            "stop b Crashed", "stop d Shutdown", "stop c Shutdown", "stop a Shutdown",
            "start a", "start b", "start c", "start d",
        ]  # fmt: skip


async def test_rest_for_one_leaves_those_before_alone_and_goes_on_at_the_one_that_failed(run_node):
    journal: Journal = []
    failures: list[int] = []
    async with run_node(
        worker("a", journal), worker("b", journal), worker("c", journal, failures=failures), worker("d", journal),
        strategy="rest_for_one",
    ) as node:  # fmt: skip
        failures.append(1)
        await crash(node, "b")
        assert journal[4:] == [
            "stop b Crashed", "stop d Shutdown", "stop c Shutdown", "start b", "fail c", "start c", "start d",
        ]  # fmt: skip


async def test_nested_supervisor_that_gives_up_is_restarted_by_its_parent(run_node):
    journal: Journal = []
    inner = Supervisor("inner", worker("x", journal), worker("y", journal), max_restarts=0)
    async with run_node(worker("a", journal), inner) as node:
        await crash(node, "y")
        assert journal[3:] == ["stop y Crashed", "stop x Shutdown", "start x", "start y"]
        assert await node.ref(Worker, "x").which() == 2


async def test_transient_supervisor_that_gives_up_is_not_restarted_and_its_names_are_free(run_node, lines):
    journal: Journal = []
    inner = child(Supervisor("inner", worker("x", journal), max_restarts=0)).replace(restart="transient")
    async with run_node(worker("a", journal), inner) as node:
        await crash(node, "x")
        with pytest.raises(NoActor):
            await node.ref(Worker, "x").which()
        assert await node.ref(Worker, "a").which() == 1
    assert events(lines, "supervisor_gave_up")[0]["supervisor"] == "root/inner"


async def test_nested_failure_to_start_stops_the_whole_tree(run_node):
    journal: Journal = []
    inner = Supervisor("inner", worker("x", journal), worker("y", journal, failures=[1]))
    with pytest.raises(StartFailed, match="child 'inner' did not start, shutdown: child 'y' did not start, crashed:"):
        async with run_node(worker("a", journal), inner):
            pytest.fail("the block must not run")
    assert journal == ["start a", "start x", "fail y", "stop x Shutdown", "stop a Shutdown"]


class Stubborn(Actor):
    """Does not hear that it must stop while it is busy."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    async def on_stop(self, reason: Exit) -> None:
        await anyio.sleep(self.seconds)

    @call
    async def work(self) -> None:
        await anyio.sleep(self.seconds)


async def test_child_that_does_not_stop_in_time_is_killed_and_that_is_reported(run_node, lines):
    async with run_node(child(Stubborn, 60.0).replace(shutdown=2.0)):
        begin = anyio.current_time()
    assert anyio.current_time() - begin == pytest.approx(2.0)
    (badly,) = events(lines, "child_stopped_badly")
    assert (badly["child"], badly["reason"]) == ("stubborn", "killed")


async def test_infinite_shutdown_waits_as_long_as_it_takes(run_node):
    async with run_node(child(Stubborn, 3600.0).replace(shutdown="infinity")):
        begin = anyio.current_time()
    assert anyio.current_time() - begin == pytest.approx(3600.0)


async def test_brutal_kill_does_not_wait_and_on_stop_does_not_run(run_node, lines):
    journal: Journal = []
    async with run_node(worker("a", journal, shutdown="brutal_kill")):
        pass
    assert journal == ["start a"]
    assert not events(lines, "child_stopped_badly")


async def test_caller_of_a_killed_actor_is_told(run_node):
    async with anyio.create_task_group() as tasks, run_node(child(Stubborn, 60.0).replace(shutdown=1.0)) as node:
        tasks.start_soon(_expect_killed, node)
        await anyio.wait_all_tasks_blocked()


async def _expect_killed(node) -> None:
    with pytest.raises(ActorCrashed, match="was killed"), anyio.fail_after(100.0):
        await node.ref(Stubborn).work()


class Hanging(Actor):
    async def on_start(self) -> None:
        await anyio.sleep_forever()


async def test_start_that_hangs_fails_after_its_start_timeout(run_node):
    journal: Journal = []
    with pytest.raises(StartFailed, match=r"child 'hanging' did not start, shutdown: start took longer than 3\.0 s$"):
        async with run_node(worker("a", journal), child(Hanging).replace(start_timeout=3.0)):
            pytest.fail("the block must not run")
    assert journal == ["start a", "stop a Shutdown"]


async def test_start_that_fails_or_is_cancelled_stops_what_a_nested_supervisor_had_started_in_order(run_node):
    journal: Journal = []
    inner = child(Supervisor("inner", worker("x", journal), child(Hanging))).replace(start_timeout=2.0)
    with pytest.raises(StartFailed, match="start took longer than"):
        async with run_node(inner):
            pytest.fail("the block must not run")
    with anyio.move_on_after(1.0):
        async with run_node(inner):
            pytest.fail("the block must not run")
    assert journal == ["start x", "stop x Shutdown"] * 2


async def test_restart_that_hangs_does_not_keep_a_node_from_stopping(run_node):
    class Sticky(Actor, shutdown=1.0):
        async def on_start(self) -> None:
            if self.incarnation > 1:
                await anyio.sleep_forever()

        async def on_stop(self, reason: Exit) -> None:
            await anyio.sleep(0.5)

    journal: Journal = []
    async with run_node(child(Sticky), worker("b", journal), strategy="one_for_all") as node:
        await crash(node, "b")  # Sticky takes its time to stop, and then hangs in its start
        begin = anyio.current_time()
    assert anyio.current_time() - begin < 5.0


async def test_cancelling_the_start_of_a_node_stops_what_had_started(run_node):
    journal: Journal = []
    with anyio.move_on_after(1.0) as scope:
        async with run_node(worker("a", journal), child(Hanging)):
            pytest.fail("the block must not run")
    assert scope.cancelled_caught
    assert journal == ["start a", "stop a Shutdown"]


async def test_function_child_is_supervised_like_the_rest(run_node):
    runs: list[float] = []

    async def poll(interval: float) -> None:
        runs.append(anyio.current_time())
        await anyio.sleep(interval)
        raise OSError("gone")

    async with run_node(child(poll, 10.0), max_restarts=1, max_seconds=5.0):
        await anyio.sleep(45.0)
    assert len(runs) == 5


async def test_function_child_is_stopped_by_cancelling_it(run_node, lines):
    ended: list[str] = []

    async def serve() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("cleaned up")

    async with run_node(child(serve)):
        await anyio.wait_all_tasks_blocked()
    assert ended == ["cleaned up"]
    assert not events(lines, "child_stopped_badly")
