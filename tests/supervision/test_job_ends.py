"""Jobs that are stopped: by hand, with their supervisor, with the node; and those who wait for them."""

import gc
import weakref
from typing import Any

import anyio
import pytest

from cliffracer import (
    Actor,
    ActorCrashed,
    ChildRef,
    Job,
    JobStopped,
    Killed,
    Node,
    Normal,
    NoSupervisor,
    Settings,
    Supervisor,
    SupervisorRef,
    TaskSupervisor,
    TaskSupervisorRef,
    call,
    child,
)

pytestmark = pytest.mark.anyio


async def add(a: int, b: int = 1, *, seconds: float = 0.0) -> int:
    await anyio.sleep(seconds)
    return a + b


async def tidy(notes: list[str], seconds: float = 1.0) -> None:
    """Take some time to end when it is cancelled."""
    try:
        await anyio.sleep_forever()
    finally:
        notes.append("asked to end")
        with anyio.CancelScope(shield=True):
            await anyio.sleep(seconds)
        notes.append("ended")


def jobs_of(node: Node) -> TaskSupervisorRef:
    return node.ref(TaskSupervisorRef, "jobs")


async def test_stop_cancels_the_job_and_returns_when_it_is_gone(run_node, lines):
    notes: list[str] = []
    async with run_node(TaskSupervisor("jobs")) as node:
        job = jobs_of(node).start_soon(tidy, notes)
        await anyio.wait_all_tasks_blocked()
        begin = anyio.current_time()
        await job.stop()
        assert anyio.current_time() - begin == pytest.approx(1.0)
        assert notes == ["asked to end", "ended"]
        assert job.is_done
        with pytest.raises(JobStopped, match=f"the job '{job.id}' was stopped before it was done"):
            await job.result()
    assert [line for line in lines if line["level"] in ("warning", "error")] == []


async def test_stop_of_a_job_that_is_done_changes_nothing(run_node):
    async with run_node(TaskSupervisor("jobs")) as node:
        job = jobs_of(node).start_soon(add, 1)
        assert await job.result() == 2
        await job.stop()
        assert await job.result() == 2


async def test_job_that_is_stopped_before_it_has_begun_is_stopped(run_node):
    async with run_node(TaskSupervisor("jobs")) as node:
        job = jobs_of(node).start_soon(add, 1, seconds=1.0)
        await job.stop()
        with pytest.raises(JobStopped):
            await job.result()


async def test_stop_by_several_at_once_is_one_stop(run_node):
    notes: list[str] = []
    async with run_node(TaskSupervisor("jobs")) as node:
        job = jobs_of(node).start_soon(tidy, notes)
        await anyio.wait_all_tasks_blocked()
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(job.stop)
        assert notes == ["asked to end", "ended"]


async def test_who_waits_for_a_job_is_told_when_it_is_stopped(run_node):
    told: list[Exception] = []

    async def wait(job: Job[int]) -> None:
        try:
            await job.result()
        except JobStopped as error:
            told.append(error)

    async with run_node(TaskSupervisor("jobs")) as node, anyio.create_task_group() as tasks:
        job = jobs_of(node).start_soon(add, 1, seconds=60.0)
        for _ in range(3):
            tasks.start_soon(wait, job)
        await anyio.wait_all_tasks_blocked()
        await job.stop()
    assert len(told) == 3


async def test_job_that_answers_its_cancellation_with_a_result_has_that_result(run_node):
    async def save() -> str:
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            return "saved"
        return "never"

    async with run_node(TaskSupervisor("jobs")) as node:
        job = jobs_of(node).start_soon(save)
        await anyio.wait_all_tasks_blocked()
        await job.stop()
        assert await job.result() == "saved"


async def test_job_that_fails_while_it_is_stopped_has_that_failure(run_node, lines):
    async def spill() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise OSError("disk full")

    async with run_node(TaskSupervisor("jobs")) as node:
        job = jobs_of(node).start_soon(spill)
        await anyio.wait_all_tasks_blocked()
        await job.stop()
        with pytest.raises(OSError, match="disk full"):
            await job.result()
    assert [line["error"] for line in lines if line["event"] == "child_crashed"] == ["OSError: disk full"]


async def test_job_may_stop_itself(run_node):
    mine: list[Job[None]] = []

    async def give_up() -> None:
        await mine[0].stop()

    async with run_node(TaskSupervisor("jobs")) as node:
        mine.append(jobs_of(node).start_soon(give_up))
        with pytest.raises(JobStopped), anyio.fail_after(10.0):
            await mine[0].result()


async def test_job_that_does_not_end_in_time_is_killed_and_its_supervisor_goes_on(run_node, lines):
    notes: list[str] = []
    async with run_node(TaskSupervisor("jobs", shutdown=0.5)) as node:
        job = jobs_of(node).start_soon(tidy, notes, 1.0)
        await anyio.wait_all_tasks_blocked()
        await job.stop()
        # It had shielded itself, so it could not be killed any earlier.
        assert notes == ["asked to end", "ended"]
        with pytest.raises(JobStopped):
            await job.result()
        assert await jobs_of(node).start_soon(add, 1).result() == 2
    (badly,) = [line for line in lines if line["event"] == "child_stopped_badly"]
    assert (badly["child"], badly["reason"]) == (job.id, "killed")


@pytest.mark.parametrize("runs", [False, True], ids=["about to start", "running"])
@pytest.mark.parametrize("reason", [Normal(), Killed()], ids=str)
async def test_job_is_stopped_with_its_supervisor(run_node, runs, reason):
    async with run_node(TaskSupervisor("jobs")) as node:
        job = jobs_of(node).start_soon(add, 1, seconds=1000.0)
        if runs:
            await anyio.wait_all_tasks_blocked()
        begin = anyio.current_time()
        await node.stop(jobs_of(node), reason)
        assert anyio.current_time() == begin
        assert job.is_done
        # The supervisor may not have come to it.
        with pytest.raises(JobStopped if runs else (JobStopped, NoSupervisor)):
            await job.result()
        await job.stop()


async def test_job_is_stopped_when_a_supervisor_further_up_gives_up(run_node):
    class Fragile(Actor):
        @call
        async def crash(self) -> None:
            raise RuntimeError

    part = Supervisor("part", TaskSupervisor("jobs"), child(Fragile), max_restarts=0)
    async with run_node(part) as node:
        job = jobs_of(node).start_soon(add, 1, seconds=60.0)
        with pytest.raises(ActorCrashed):
            await node.ref(Fragile).crash()
        with pytest.raises(JobStopped):
            await job.result()
        await anyio.wait_all_tasks_blocked()
        assert await jobs_of(node).start_soon(add, 1).result() == 2


async def test_job_terminated_as_a_child_of_its_supervisor_is_stopped(run_node):
    async with run_node(TaskSupervisor("jobs")) as node:
        job = jobs_of(node).start_soon(add, 1, seconds=60.0)
        await node.ref(SupervisorRef, "jobs").terminate_child(job.id)
        with pytest.raises(JobStopped):
            await job.result()


async def test_giving_up_the_wait_for_a_result_leaves_the_job_running(run_node):
    results: list[int] = []

    async def wait(job: Job[int]) -> None:
        results.append(await job.result())

    async with run_node(TaskSupervisor("jobs")) as node, anyio.create_task_group() as tasks:
        job = jobs_of(node).start_soon(add, 1, seconds=10.0)
        tasks.start_soon(wait, job)
        for _ in range(2):
            with anyio.move_on_after(1.0) as patience:
                await job.result()
            assert patience.cancelled_caught
        assert not job.is_done
        assert await job.result() == 2
        await anyio.wait_all_tasks_blocked()
        assert results == [2]


async def test_giving_up_the_wait_for_a_stop_does_not_recall_it(run_node):
    notes: list[str] = []
    async with run_node(TaskSupervisor("jobs")) as node:
        job = jobs_of(node).start_soon(tidy, notes)
        await anyio.wait_all_tasks_blocked()
        with anyio.move_on_after(0.5):
            await job.stop()
        assert not job.is_done
        with pytest.raises(JobStopped):
            await job.result()


async def test_node_that_stops_cancels_the_jobs_and_gives_them_their_time(run_node, lines):
    notes: list[str] = []
    async with run_node(TaskSupervisor("jobs", shutdown=5.0)) as node:
        jobs = [jobs_of(node).start_soon(tidy, notes, 3.0) for _ in range(10)]
        await anyio.wait_all_tasks_blocked()
        begin = anyio.current_time()
    assert anyio.current_time() - begin == pytest.approx(3.0)  # all at once, and not one by one
    assert notes == ["asked to end"] * 10 + ["ended"] * 10
    assert all(job.is_done for job in jobs)
    with pytest.raises(JobStopped):
        await jobs[0].result()
    assert [line["event"] for line in lines if line["level"] in ("warning", "error")] == []


async def test_node_that_stops_does_not_wait_for_jobs_to_be_done(run_node):
    async with run_node(TaskSupervisor("jobs"), settings=Settings(drain_timeout=60.0)) as node:
        job = jobs_of(node).start_soon(add, 1, seconds=30.0)
        await anyio.wait_all_tasks_blocked()
        begin = anyio.current_time()
    assert anyio.current_time() == begin
    with pytest.raises(JobStopped):
        await job.result()


async def test_jobs_that_take_too_long_to_stop_are_reported_in_one_line(run_node, lines):
    async with run_node(TaskSupervisor("jobs", shutdown=1.0)) as node:
        for _ in range(10):
            jobs_of(node).start_soon(tidy, [], 3.0)
        await anyio.wait_all_tasks_blocked()
    (badly,) = [line for line in lines if line["event"] == "children_stopped_badly"]
    assert (badly["count"], badly["reason"]) == (10, "killed")


async def test_result_of_a_job_is_kept_only_as_long_as_somebody_holds_on_to_the_job(run_node):
    class Thing:
        pass

    async def carry(thing: Thing) -> Thing:
        return thing

    async with run_node(TaskSupervisor("jobs")) as node:
        thing = Thing()
        known = weakref.ref(thing)
        job = jobs_of(node).start_soon(carry, thing)
        assert await job.result() is thing
        await anyio.wait_all_tasks_blocked()
        del thing
        gc.collect()
        assert known() is not None
        del job
        gc.collect()
        assert known() is None


class Hasty(Actor):
    """Has a job that lives longer than itself, and acts in its name."""

    async def act_later(self, action: Any) -> None:
        await anyio.sleep(1.0)
        action(self)

    @call
    async def start_and_crash(self, action: Any) -> None:
        self.ref(TaskSupervisorRef, "jobs").start_soon(self.act_later, action)
        raise RuntimeError("bug")

    @call
    async def which(self) -> int:
        return self.incarnation


@pytest.mark.parametrize(
    "action",
    [
        lambda dead: dead.stop(),
        lambda dead: dead.link(ChildRef("root/nothing")),
        lambda dead: dead.link(dead.ref(Hasty, "partner")),
        lambda dead: dead.monitor(dead.ref(Hasty, "partner")),
    ],
    ids=["stop", "link to nothing", "link", "monitor"],
)
async def test_what_outlives_an_actor_has_no_say_over_the_next_incarnation(run_node, action):
    partner = child(Hasty).replace(name="partner")
    async with run_node(TaskSupervisor("jobs"), child(Hasty), partner) as node:
        with pytest.raises(ActorCrashed):
            await node.ref(Hasty).start_and_crash(action)
        await anyio.sleep(2.0)
        assert await node.ref(Hasty).which() == 2
        await node.stop(node.ref(Hasty, "partner"), Killed())
        await anyio.sleep(1.0)
        assert await node.ref(Hasty).which() == 2
