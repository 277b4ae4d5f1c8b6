"""What points to a child, and what a job returns, is known to the type checker. Never run."""

from collections.abc import Mapping
from functools import partial
from typing import Any, assert_type

from cliffracer import (
    Actor,
    ChildCounts,
    ChildInfo,
    ChildRef,
    ChildSpec,
    Down,
    Job,
    Killed,
    NoActor,
    Node,
    NodeLost,
    Shutdown,
    Supervisor,
    SupervisorRef,
    TaskSupervisorRef,
    call,
    child,
    pool,
)
from cliffracer.exits import Exit


class Session(Actor):
    def __init__(self, user: int) -> None:
        self.user = user

    @call
    async def greet(self, name: str) -> str:
        return name


class Inventory(Actor):
    @call
    async def reserve(self, sku: str) -> int:
        return 1


async def poll(url: str) -> None: ...


async def count(path: str, *, deep: bool = False) -> int:
    return 1


def plain(path: str) -> int:
    return 1


async def administer(node: Node) -> None:
    sessions = node.ref(SupervisorRef, "sessions")
    assert_type(sessions, SupervisorRef)
    session = await sessions.start_child(child(Session, 1))
    assert_type(session, Session)
    assert_type(await session.greet("Ann"), str)
    assert_type(await sessions.start_child(child(Session, 1).replace(name="session-1")), Session)
    assert_type(await sessions.start_child(child(poll, "http://x")), ChildRef)
    assert_type(await sessions.start_child(child(Supervisor("part"))), ChildRef)
    assert_type(pool(Inventory, size=4, key="sku"), ChildSpec[Inventory])
    assert_type(await sessions.start_child(pool(Inventory, size=4, key="sku")), Inventory)
    assert_type(await sessions.which_children(), list[ChildInfo])
    assert_type(await sessions.count_children(), ChildCounts)
    assert_type(await sessions.get_spec("session"), ChildSpec[Any])
    await sessions.terminate_child("session")
    await sessions.restart_child("session")
    await sessions.delete_child("session")

    await session.greet(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await sessions.start_child(Session)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await sessions.start_child(Supervisor("part"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    child(Session)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    await sessions.terminate_child(session)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    node.ref(SupervisorRef)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    node.ref(ChildRef, 7)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]


async def work(node: Node) -> None:
    jobs = node.ref(TaskSupervisorRef, "jobs")
    assert_type(jobs, TaskSupervisorRef)
    job = jobs.start_soon(count, "a.txt", deep=True)
    assert_type(job, Job[int])
    assert_type(await job.result(), int)
    assert_type(job.is_done, bool)
    await job.stop()
    assert_type(jobs.start_soon(poll, "http://x"), Job[None])
    assert_type(jobs.start_soon(lambda: count("a.txt")), Job[int])
    assert_type(jobs.start_soon(partial(count, "a.txt")), Job[int])

    jobs.start_soon(count)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    jobs.start_soon(count, 7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    jobs.start_soon(count, "a.txt", deeper=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    jobs.start_soon(plain, "a.txt")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    jobs.start_soon(count("a.txt"))  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]
    wrong: Job[str] = jobs.start_soon(count, "a.txt")  # type: ignore[arg-type]  # pyright: ignore[reportAssignmentType]
    del wrong


async def control(node: Node) -> None:
    session, function = node.ref(Session), node.ref(ChildRef, "poll")
    assert_type(function, ChildRef)
    for target in (function, node.ref(SupervisorRef, "sessions"), node.ref(TaskSupervisorRef, "jobs")):
        await node.stop(target)
    await node.stop(session, Shutdown("enough"))
    await node.stop(session, Killed())
    await node.suspend(session)
    await node.resume(session)
    assert_type(await node.get_state(session), dict[str, Any])

    await node.stop("session")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await node.stop(session, "enough")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await node.suspend(function)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await node.get_state(function)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class Watcher(Actor):
    async def on_start(self) -> None:
        session = self.ref(Session)
        assert_type(self.ref(SupervisorRef, "sessions"), SupervisorRef)
        assert_type(self.ref(TaskSupervisorRef, "jobs"), TaskSupervisorRef)
        assert_type(self.ref(ChildRef, "poll"), ChildRef)
        for target in (session, self.ref(SupervisorRef, "sessions"), self.ref(ChildRef, "poll")):
            self.monitor(target)
            self.demonitor(target)
            self.link(target)
            self.unlink(target)
        self.monitor("session")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        self.link(Session)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    async def on_down(self, down: Down) -> None:
        assert_type(down.reason, Exit | NoActor | NodeLost)
        assert_type(down.incarnation, int)
        state = await self.node.get_state(self.ref(Session))
        assert_type(state, Mapping[str, Any])
        await self.node.stop(self.ref(Session), Killed())
        await self.node.stop(self.ref(Session), "why")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
