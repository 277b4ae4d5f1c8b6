"""Task supervisors: work that is started without waiting, and whose result can be waited for."""

from functools import partial
from typing import Any

import anyio
import pytest

from cliffracer import (
    Actor,
    ActorCrashed,
    AdminError,
    CallTimeout,
    ChildRef,
    DynamicSupervisor,
    Exit,
    Job,
    Node,
    NoSupervisor,
    Refusal,
    Settings,
    Shutdown,
    SpecError,
    Supervisor,
    SupervisorRef,
    TaskSupervisor,
    TaskSupervisorRef,
    TooManyChildren,
    call,
    child,
)
from cliffracer.envelope import current_message

pytestmark = pytest.mark.anyio


async def add(a: int, b: int = 1, *, seconds: float = 0.0) -> int:
    await anyio.sleep(seconds)
    return a + b


async def fail(error: BaseException, seconds: float = 0.0) -> None:
    await anyio.sleep(seconds)
    raise error


def jobs_of(node: Node) -> TaskSupervisorRef:
    return node.ref(TaskSupervisorRef, "jobs")


class Office(Actor):
    """Has work done by jobs."""

    def __init__(self) -> None:
        self.jobs = self.ref(TaskSupervisorRef, "jobs")

    @call
    async def start(self, function: Any) -> Any:
        return self.jobs.start_soon(function, self)

    @call
    async def start_and_crash(self, function: Any, started: list[Any]) -> None:
        started.append(self.jobs.start_soon(function, self))
        raise RuntimeError("bug")

    @call
    async def which(self) -> int:
        return self.incarnation

    @call
    async def correlation(self) -> str:
        message = current_message.get()
        assert message is not None
        return message.correlation


async def test_result_is_what_the_function_returns(run_node):
    async with run_node(TaskSupervisor("jobs")) as node:
        jobs = jobs_of(node)
        assert await jobs.start_soon(add, 1).result() == 2
        assert await jobs.start_soon(add, 1, b=5, seconds=60.0).result() == 6
        assert await jobs.start_soon(anyio.sleep, 60.0).result() is None


async def test_result_may_be_an_exit_and_is_no_reason_to_end_for(run_node, lines):
    async def decide() -> Exit:
        return Shutdown("as you like")

    async with run_node(TaskSupervisor("jobs")) as node:
        assert await jobs_of(node).start_soon(decide).result() == Shutdown("as you like")
        await anyio.wait_all_tasks_blocked()
        assert [line["reason"] for line in lines if line["event"] == "child_ended"] == ["normal"]


async def test_start_soon_does_not_wait_and_many_can_wait_for_the_result_again_and_again(run_node):
    async with run_node(TaskSupervisor("jobs")) as node:
        begin = anyio.current_time()
        job, results = jobs_of(node).start_soon(add, 1, seconds=10.0), []
        assert anyio.current_time() == begin
        assert not job.is_done

        async def wait() -> None:
            results.append(await job.result())

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(wait)
        assert job.is_done
        assert [*results, await job.result()] == [2] * 4
        assert anyio.current_time() - begin == pytest.approx(10.0)


@pytest.mark.parametrize("error", [OSError("gone"), Refusal("no"), LookupError()], ids=repr)
async def test_exception_is_raised_by_result_and_logged_once_and_nothing_is_tried_again(run_node, lines, error):
    async with run_node(TaskSupervisor("jobs")) as node:
        job = jobs_of(node).start_soon(fail, error)
        for _ in range(2):
            with pytest.raises(type(error)) as raised:
                await job.result()
            assert raised.value is error
        assert job.is_done
        await anyio.sleep(60.0)
    (logged,) = [line for line in lines if line["event"] == "child_crashed"]
    assert (logged["supervisor"], logged["child"], logged["incarnation"]) == ("root/jobs", job.id, 1)
    assert logged["exc_info"] is error
    (ended,) = [line for line in lines if line["event"] == "child_ended"]
    assert ended["incident"] == logged["incident"]
    assert [line for line in lines if line["event"] == "child_restarting"] == []


async def test_exception_that_nobody_waits_for_is_logged_all_the_same(run_node, lines):
    async with run_node(TaskSupervisor("jobs")) as node:
        jobs_of(node).start_soon(fail, OSError("gone"))
        await anyio.wait_all_tasks_blocked()
    assert [line["error"] for line in lines if line["event"] == "child_crashed"] == ["OSError: gone"]


async def test_failed_jobs_do_not_end_their_supervisor_nor_other_jobs(run_node):
    async with run_node(TaskSupervisor("jobs")) as node:
        jobs = jobs_of(node)
        long = jobs.start_soon(add, 1, seconds=60.0)
        for _ in range(20):
            with pytest.raises(OSError, match="gone"):
                await jobs.start_soon(fail, OSError("gone")).result()
        assert await long.result() == 2


async def test_group_of_exceptions_is_raised_as_it_is(run_node):
    async def both() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fail, OSError("one"), 1.0)
            tasks.start_soon(fail, OSError("two"), 1.0)

    async with run_node(TaskSupervisor("jobs")) as node:
        with pytest.raises(ExceptionGroup) as raised:
            await jobs_of(node).start_soon(both).result()
        assert {str(error) for error in raised.value.exceptions} <= {"one", "two"}


@pytest.mark.parametrize(
    ("function", "id"),
    [
        (add, "add-1"),
        (partial(add), "job-1"),
        (lambda a, b: add(a, b=b), "job-1"),
    ],
    ids=["function", "partial", "lambda"],
)
async def test_each_job_has_an_id_of_its_own_whatever_it_was_made_of(run_node, function, id):
    async with run_node(TaskSupervisor("jobs")) as node:
        job = jobs_of(node).start_soon(function, 1, 2)
        other = jobs_of(node).start_soon(function, 1, 3)
        assert job.id == id
        assert other.id != id
        assert (await job.result(), await other.result()) == (3, 4)


async def test_bound_methods_closures_and_callable_objects_are_jobs_too(run_node):
    class Adder:
        def __init__(self, a: int) -> None:
            self.a = a

        async def add(self, b: int) -> int:
            return self.a + b

        async def __call__(self, b: int) -> int:
            return self.a + b

    async with run_node(TaskSupervisor("jobs")) as node:
        jobs, adder = jobs_of(node), Adder(1)
        assert await jobs.start_soon(adder.add, 2).result() == 3
        assert await jobs.start_soon(adder, 3).result() == 4
        assert await jobs.start_soon(lambda: adder.add(4)).result() == 5


async def test_wrong_arguments_fail_the_job_and_not_its_supervisor(run_node):
    async with run_node(TaskSupervisor("jobs")) as node:
        wrong: Any = add
        with pytest.raises(TypeError, match="colour"):
            await jobs_of(node).start_soon(wrong, 1, colour="red").result()
        plain: Any = len
        with pytest.raises(TypeError):
            await jobs_of(node).start_soon(plain, [1]).result()
        assert await jobs_of(node).start_soon(add, 1).result() == 2


async def test_a_thousand_jobs_run_at_once_and_leave_nothing_behind(run_node):
    async with run_node(TaskSupervisor("jobs")) as node:
        host, begin = node._running(), anyio.current_time()
        before = len(host.registry._records)
        jobs = [jobs_of(node).start_soon(add, number, seconds=10.0) for number in range(1000)]
        assert len({job.id for job in jobs}) == 1000
        assert [await job.result() for job in jobs] == list(range(1, 1001))
        assert anyio.current_time() - begin == pytest.approx(10.0)
        await anyio.wait_all_tasks_blocked()
        assert await node.ref(SupervisorRef, "jobs").which_children() == []
        assert len(host.registry._records) == before


async def test_running_jobs_are_children_of_their_supervisor(run_node):
    async with run_node(TaskSupervisor("jobs")) as node:
        supervisor = node.ref(SupervisorRef, "jobs")
        job = jobs_of(node).start_soon(add, 1, seconds=10.0)
        assert [(info.id, info.state, info.kind) for info in await supervisor.which_children()] == [
            (job.id, "running", "worker")
        ]
        assert (await supervisor.count_children()).active == 1
        assert (await supervisor.get_spec(job.id)).restart == "temporary"
        await node.stop(node.ref(ChildRef, f"jobs/{job.id}"))
        assert job.is_done


# How many at once


async def test_one_job_more_than_max_children_is_refused_and_room_comes_back(run_node):
    async with run_node(TaskSupervisor("jobs", max_children=2)) as node:
        jobs = jobs_of(node)
        first, second = jobs.start_soon(add, 1, seconds=1.0), jobs.start_soon(fail, OSError("gone"), 2.0)
        for _ in range(2):
            with pytest.raises(TooManyChildren, match=r"'root/jobs' runs 2 of max_children=2 jobs"):
                jobs.start_soon(add, 1)
        assert await first.result() == 2
        third = jobs.start_soon(add, 3, seconds=60.0)  # at once: the first is done
        with pytest.raises(TooManyChildren):
            jobs.start_soon(add, 1)
        with pytest.raises(OSError, match="gone"):
            await second.result()
        fourth = jobs.start_soon(add, 4, seconds=60.0)
        await third.stop()
        fifth = jobs.start_soon(add, 5, seconds=60.0)
        assert [await fourth.result(), await fifth.result()] == [5, 6]


async def test_jobs_that_end_badly_or_never_start_give_their_room_back(run_node):
    async with run_node(TaskSupervisor("jobs", max_children=1)) as node:
        jobs = jobs_of(node)
        for _ in range(3):
            wrong: Any = add
            job = jobs.start_soon(wrong)
            with pytest.raises(TypeError):
                await job.result()
            await jobs.start_soon(add, 1, seconds=60.0).stop()
        jobs.start_soon(add, 1, seconds=60.0)
        await node.stop(node.ref(SupervisorRef, "jobs"))
        await anyio.wait_all_tasks_blocked()
        assert await jobs.start_soon(add, 1).result() == 2


# Who starts it


async def test_job_outlives_the_actor_that_started_it(run_node):
    async def work(office: Office) -> str:
        await anyio.sleep(10.0)
        return "done"

    started: list[Job[str]] = []
    async with run_node(TaskSupervisor("jobs"), child(Office)) as node:
        with pytest.raises(ActorCrashed):
            await node.ref(Office).start_and_crash(work, started)
        assert await node.ref(Office).which() == 2
        (job,) = started
        assert not job.is_done
        assert await job.result() == "done"


async def test_job_has_no_deadline_of_the_message_in_hand(run_node):
    async def work(office: Office) -> tuple[float, float]:
        message = current_message.get()
        assert message is not None
        await anyio.sleep(100.0)
        return message.deadline, anyio.current_effective_deadline()

    async with run_node(TaskSupervisor("jobs"), child(Office)) as node:
        with anyio.fail_after(1.0):
            job = await node.ref(Office).start(work)
        assert await job.result() == (float("inf"), float("inf"))


async def test_call_in_a_job_has_the_default_deadline(run_node):
    class Slow(Actor):
        @call
        async def wait(self) -> None:
            await anyio.sleep(60.0)

    async def ask(office: Office) -> float:
        begin = anyio.current_time()
        with pytest.raises(CallTimeout):
            await office.ref(Slow).wait()
        return anyio.current_time() - begin

    settings = Settings(call_timeout=7.0, drain_timeout=0.1)
    slow = child(Slow).replace(shutdown="brutal_kill")
    async with run_node(slow, TaskSupervisor("jobs"), child(Office), settings=settings) as node:
        job = await node.ref(Office).start(ask)
        assert await job.result() == pytest.approx(7.0)


async def test_job_keeps_the_correlation_of_who_started_it_and_may_call_back(run_node):
    async def ask(office: Office) -> list[str]:
        return [await office.ref(Office).correlation() for _ in range(2)]

    class Asker(Actor):
        @call
        async def ask(self) -> Any:
            job = await self.ref(Office).start(ask)
            message = current_message.get()
            assert message is not None
            return message.correlation, job

    async with run_node(TaskSupervisor("jobs"), child(Office), child(Asker)) as node:
        correlation, job = await node.ref(Asker).ask()
        assert correlation
        assert await job.result() == [correlation, correlation]


async def test_actor_may_wait_for_its_job(run_node):
    class Waiting(Actor):
        @call
        async def work(self) -> int:
            return await self.ref(TaskSupervisorRef, "jobs").start_soon(add, 1, seconds=2.0).result()

        async def on_start(self) -> None:
            assert await self.ref(TaskSupervisorRef, "jobs").start_soon(add, 1, seconds=2.0).result() == 2

    async with run_node(TaskSupervisor("jobs"), child(Waiting)) as node:
        assert await node.ref(Waiting).work() == 2


async def test_job_may_start_further_jobs_and_wait_for_them(run_node):
    async with run_node(TaskSupervisor("jobs")) as node:

        async def count(down_from: int) -> int:
            return 0 if not down_from else 1 + await jobs_of(node).start_soon(count, down_from - 1).result()

        assert await jobs_of(node).start_soon(count, 20).result() == 20


async def test_job_may_call_an_actor_that_is_called_like_itself(run_node):
    async def office(boss: Office) -> int:
        return await boss.ref(Office, "office-1").which()

    async with run_node(TaskSupervisor("jobs"), child(Office).replace(name="office-1")) as node:
        job = await node.ref(Office, "office-1").start(office)
        assert job.id == "office-1"
        assert await job.result() == 1


# Where


@pytest.mark.parametrize("tree", [Supervisor("jobs"), DynamicSupervisor("jobs")], ids=["static", "dynamic"])
async def test_only_a_task_supervisor_runs_jobs(run_node, tree):
    async with run_node(tree) as node:
        with pytest.raises(AdminError, match="'root/jobs' is no TaskSupervisor"):
            jobs_of(node).start_soon(add, 1)
        assert await node.ref(SupervisorRef, "jobs").which_children() == []


async def test_task_supervisor_that_does_not_run_takes_no_jobs(run_node):
    async with run_node(child(TaskSupervisor("jobs")).replace(restart="temporary")) as node:
        with pytest.raises(NoSupervisor, match="no supervisor 'nothing' runs on this node"):
            node.ref(TaskSupervisorRef, "nothing").start_soon(add, 1)
        await node.stop(jobs_of(node))
        with pytest.raises(NoSupervisor):
            jobs_of(node).start_soon(add, 1)


async def test_task_supervisor_takes_no_children(run_node):
    async with run_node(TaskSupervisor("jobs")) as node:
        with pytest.raises(SpecError, match=r"a task supervisor runs jobs(.|\n)*start_soon"):
            await node.ref(SupervisorRef, "jobs").start_child(child(Office))
