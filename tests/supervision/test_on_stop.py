"""What becomes of an `on_stop` that raises, or hangs, with a supervisor waiting for it or without."""

import inspect

import anyio
import pytest

from cliffracer import ActorCrashed, Exit, Settings, SupervisorRef, child
from tests.supervision.workers import Journal, Worker, crash, events, worker

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]


class Failing(Worker):
    async def on_stop(self, reason: Exit) -> None:
        await super().on_stop(reason)
        raise OSError("disk full")


class Hanging(Worker):
    async def on_stop(self, reason: Exit) -> None:
        self.journal.append(f"stopping {self.name}")
        await anyio.sleep(1000.0)  # hangs


class Deaf(Worker):
    async def on_stop(self, reason: Exit) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(20.0)  # hangs
        await super().on_stop(reason)


class Swallowing(Worker):
    async def on_stop(self, reason: Exit) -> None:
        try:
            await anyio.sleep(1000.0)  # hangs
        except BaseException:
            self.journal.append(f"swallowed {self.name}")


def place_of(actor: type[Worker]) -> str:
    lines, first = inspect.getsourcelines(actor.on_stop)
    number = next(number for number, line in enumerate(lines, first) if "# hangs" in line)
    return f"{__file__}:{number} in {actor.on_stop.__qualname__}"


# Somebody waits


async def test_on_stop_that_raises_is_a_crash_that_is_told_and_the_stop_goes_on(run_node, lines):
    journal: Journal = []
    async with run_node(worker("a", journal), child(Failing, journal).replace(name="b"), worker("c", journal)):
        pass
    assert journal[3:] == ["stop c", "stop b", "stop a"]
    (crashed,) = events(lines, "actor_crashed")
    assert (crashed["actor"], crashed["during"], crashed["error"]) == ("b", "on_stop", "OSError: disk full")
    (badly,) = events(lines, "child_stopped_badly")
    assert (badly["child"], badly["incident"]) == ("b", crashed["incident"])
    assert badly["reason"].startswith("crashed: OSError: disk full")


async def test_on_stop_that_hangs_has_the_time_of_the_child(run_node, lines):
    journal: Journal = []
    async with run_node(worker("a", journal), child(Hanging, journal).replace(name="b", shutdown=3.0)):
        begin = anyio.current_time()
    assert anyio.current_time() - begin == pytest.approx(3.0)
    assert journal[2:] == ["stopping b", "stop a"]
    assert [line["reason"] for line in events(lines, "child_stopped_badly")] == ["killed"]
    assert not events(lines, "actor_stop_timed_out")


async def test_on_stop_that_hangs_and_does_not_hear_that_it_is_cancelled_is_reported_with_its_line(run_node, lines):
    journal: Journal = []
    async with run_node(worker("a", journal), child(Deaf, journal).replace(name="b", shutdown=3.0)):
        begin = anyio.current_time()
    assert anyio.current_time() - begin == pytest.approx(20.0)
    assert journal[-1] == "stop a"
    reports = events(lines, "child_unkillable")
    assert [line["seconds"] for line in reports] == [5.0, 15.0]
    assert all(place_of(Deaf) in line["where"] for line in reports)


async def test_on_stop_that_swallows_its_cancellation_was_not_killed(run_node, lines):
    journal: Journal = []
    async with run_node(child(Swallowing, journal).replace(name="a", shutdown=3.0)):
        begin = anyio.current_time()
    assert anyio.current_time() - begin == pytest.approx(3.0)
    assert journal == ["start a", "swallowed a"]
    assert not events(lines, "child_unkillable")


# Nobody waits: after a crash


async def test_on_stop_that_raises_after_a_crash_is_told_too_and_the_restart_comes_all_the_same(run_node, lines):
    journal: Journal = []
    async with run_node(child(Failing, journal).replace(name="a")) as node:
        await crash(node, "a")
        assert await node.ref(Worker, "a").which() == 2
    crashes = [(line["during"], line["error"]) for line in events(lines, "actor_crashed")]
    assert crashes[:2] == [("crash", "RuntimeError: bug"), ("on_stop", "OSError: disk full")]
    assert [line["reason"].split(" (")[0] for line in events(lines, "child_restarting")] == [
        "crashed: OSError: disk full"
    ]


@pytest.mark.parametrize("actor", [Hanging, Swallowing])
async def test_on_stop_that_hangs_after_a_crash_is_cancelled_and_told_and_then_comes_the_restart(
    run_node, lines, actor
):
    journal: Journal = []
    async with run_node(child(actor, journal).replace(name="a", shutdown=3.0)) as node:
        begin = anyio.current_time()
        with pytest.raises(ActorCrashed):
            await node.ref(Worker, "a").crash()
        with anyio.fail_after(100.0):
            assert await node.ref(Worker, "a").which() == 2
        assert anyio.current_time() - begin == pytest.approx(3.0)
    (report,) = events(lines, "actor_stop_timed_out")
    assert (report["actor"], report["incarnation"], report["seconds"]) == ("a", 1, 3.0)
    assert report["level"] == "error"
    assert place_of(actor) in report["where"]
    (restart,) = events(lines, "child_restarting")
    assert restart["reason"].startswith("crashed: RuntimeError: bug")


async def test_on_stop_that_is_deaf_after_a_crash_is_told_and_the_restart_comes_when_it_ends_at_last(run_node, lines):
    journal: Journal = []
    async with run_node(child(Deaf, journal).replace(name="a", shutdown=3.0)) as node:
        begin = anyio.current_time()
        with pytest.raises(ActorCrashed):
            await node.ref(Worker, "a").crash()
        with anyio.fail_after(100.0):
            assert await node.ref(Worker, "a").which() == 2
        assert anyio.current_time() - begin == pytest.approx(20.0)
        (report,) = events(lines, "actor_stop_timed_out")
        assert place_of(Deaf) in report["where"]


async def test_on_stop_has_its_time_also_when_the_actor_ends_by_itself(run_node, lines):
    journal: Journal = []
    async with run_node(child(Hanging, journal).replace(name="a", shutdown=3.0, restart="transient")) as node:
        await node.ref(Worker, "a").finish()
        await anyio.sleep(10.0)
    assert [line["seconds"] for line in events(lines, "actor_stop_timed_out")] == [3.0]
    assert [line["reason"] for line in events(lines, "child_ended")] == ["normal"]


async def test_actor_that_is_killed_brutally_has_some_time_for_on_stop_after_a_crash_all_the_same(run_node, lines):
    # An on_stop that hangs for ever, unseen by anybody, would be the end of a permanent child.
    journal: Journal = []
    async with run_node(child(Hanging, journal).replace(name="a", shutdown="brutal_kill")) as node:
        with pytest.raises(ActorCrashed):
            await node.ref(Worker, "a").crash()
        with anyio.move_on_after(100.0):
            assert await node.ref(Worker, "a").which() == 2
    assert len(events(lines, "actor_stop_timed_out")) == 1


async def test_stop_of_an_actor_whose_on_stop_hangs_after_a_crash_takes_no_longer_than_any_other(run_node, lines):
    journal: Journal = []
    children = (worker("a", journal), child(Hanging, journal).replace(name="b", shutdown=60.0))
    async with run_node(*children, settings=Settings(drain_timeout=1.0)) as node:
        with pytest.raises(ActorCrashed):
            await node.ref(Worker, "b").crash()
        await anyio.sleep(10.0)
        begin = anyio.current_time()
        await node.ref(SupervisorRef, "root").terminate_child("b")
        assert anyio.current_time() - begin <= 60.0
    assert journal[-1] == "stop a"
    assert not events(lines, "child_unkillable")


async def test_on_stop_does_not_run_if_the_start_failed(run_node):
    journal: Journal = []
    async with run_node(worker("a", journal, failing=[2])) as node:
        await crash(node, "a")
        assert await node.ref(Worker, "a").which() == 3
        assert journal == ["start a", "stop a", "fail a", "start a"]
