"""What can be asked of a supervisor while it runs."""

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Generic, Literal, ParamSpec, Protocol, TypeVar, cast

from msgspec import Struct

from cliffracer.actor.actor import ActorStart, ref_to
from cliffracer.actor.faults import leaving_in
from cliffracer.actor.host import Host
from cliffracer.actor.ref import ChildRef
from cliffracer.actor.waiters import EventWaiter, Reply
from cliffracer.envelope import Message, correlation_of, current_message
from cliffracer.errors import (
    AdminError,
    JobStopped,
    NoChild,
    NoSupervisor,
    SpecError,
    TooManyChildren,
    WouldWaitForItself,
)
from cliffracer.supervision.checks import not_a_child
from cliffracer.supervision.host import TreeHost
from cliffracer.supervision.orders import delete, restart, start_new, terminate
from cliffracer.supervision.process import Process, asking_process
from cliffracer.supervision.spec import (
    ChildSpec,
    FunctionStart,
    PoolStart,
    Supervisor,
    TaskSupervisor,
    as_child,
    check_fits,
)
from cliffracer.supervision.strategy import ChildState
from cliffracer.supervision.supervisor import SupervisorProcess

__all__ = ["ChildCounts", "ChildInfo", "Job", "SupervisorRef", "TaskSupervisorRef"]

P = ParamSpec("P")
R = TypeVar("R")


class ChildInfo(Struct, frozen=True):
    """One row of `which_children`.

    Attributes:
        id: The child's.
        state: Where it stands.
        kind: What it is.
        incarnation: How often it was started, or tried to.
    """

    id: str
    state: Literal["running", "stopped", "restarting"]
    kind: Literal["worker", "supervisor"]
    incarnation: int


class ChildCounts(Struct, frozen=True):
    """What `count_children` returns.

    Attributes:
        specs: Known children, running or not; 1 for a dynamic supervisor, as in OTP.
        active: Those that are alive.
        supervisors: Those that are supervisors, running or not.
        workers: The others, running or not.
    """

    specs: int
    active: int
    supervisors: int
    workers: int


class _AdminHost(TreeHost, Protocol):
    def find_supervisor(self, path: str) -> SupervisorProcess: ...

    def find_process_of(self, name: str) -> Process | None: ...


class SupervisorRef:
    """Points to a supervisor of this node; `self.ref(SupervisorRef, "shop/sessions")` makes one.

    Orders are served one after the other, in between the exits of children, in the order in which they come. Once
    given, an order is carried out, even if whoever gave it does not wait any longer.
    """

    def __init__(self, host: Host, path: str) -> None:
        self._host = cast("_AdminHost", host)
        self.path = path

    @classmethod
    def ref_on(cls, host: Host, path: str) -> "SupervisorRef":
        """Return what points to `path`; where that is, is looked up for each order."""
        return cls(host, path)

    async def start_child(self, spec: ChildSpec[R]) -> R:
        """Start a new child, the last in start order, and return what points to it: a ref, typed as the actor.

        Under a dynamic supervisor an actor goes by its name, so give each its own:
        `child(Session, user).replace(name=f"session-{user}")`. A function or a supervisor gets a free id.

        Raises:
            SpecError: It does not fit this supervisor.
            AlreadyStarted: A child of this id, or an actor of this name, runs.
            AlreadyPresent: A child of this id is known, and does not run.
            TooManyChildren: There are `max_children` already.
            ChildNotStarted: The start failed; nothing is known of the child any more.
            ChildIgnored: It declined to start.
            NoSupervisor: The supervisor does not run, or ended before it came to that.
            WouldWaitForItself: Whoever asks is being started, or stopped, by this supervisor.
        """
        supervisor = self._find()
        checked = as_child(f"start_child on {supervisor.path!r}", spec)
        check_fits(checked, supervisor.tree)
        started = await self._order(lambda: start_new(supervisor, checked), supervisor)
        return cast("R", _ref_of(started, self._host, f"{supervisor.path}/{started.id}"))

    async def terminate_child(self, id: str) -> None:
        """Stop a child, as its spec says, and return when it is gone; its siblings are not touched.

        The spec is kept, unless the child is temporary or the supervisor dynamic. A restart it waits for is off.

        Raises:
            NoChild: There is none of this id.
            NoSupervisor: The supervisor does not run, or ended before it came to that.
            WouldWaitForItself: Whoever asks is that child, or within it.
        """
        supervisor = self._find()
        self._refuse_suicide(supervisor, id)
        await self._order(lambda: terminate(supervisor, id), supervisor)

    async def restart_child(self, id: str) -> None:
        """Start a child that is stopped; its siblings are not touched. It keeps its place in the order.

        Raises:
            NoChild: There is none of this id.
            ChildRunning: It runs.
            ChildRestarting: It is about to be tried again.
            ChildNotStarted: The start failed; the child stays stopped.
            ChildIgnored: It declined to start.
            AdminError: The supervisor is dynamic: it knows no stopped children.
            NoSupervisor: The supervisor does not run, or ended before it came to that.
        """
        supervisor = self._find()
        await self._order(lambda: restart(supervisor, id), supervisor)

    async def delete_child(self, id: str) -> None:
        """Forget a child that is stopped.

        Raises:
            NoChild: There is none of this id.
            ChildRunning: It runs.
            ChildRestarting: It is about to be tried again.
            AdminError: The supervisor is dynamic: it knows no stopped children.
            NoSupervisor: The supervisor does not run, or ended before it came to that.
        """
        supervisor = self._find()
        await self._order(lambda: delete(supervisor, id), supervisor)

    async def which_children(self) -> list[ChildInfo]:
        """Return the children; as in OTP, the one that comes last in start order first."""
        supervisor = self._find()

        async def which() -> list[ChildInfo]:
            return [_info_of(supervisor, id, state) for id, state in reversed(supervisor.machine.states().items())]

        return cast("list[ChildInfo]", await self._order(which, supervisor))

    async def count_children(self) -> ChildCounts:
        """Return how many children there are."""
        supervisor = self._find()

        async def count() -> ChildCounts:
            ids = supervisor.machine.states()
            supervisors = sum(supervisor.machine.spec_of(id).is_supervisor for id in ids)
            return ChildCounts(
                specs=len(ids) if isinstance(supervisor.tree, Supervisor) else 1,
                active=sum(not process.has_ended for process in supervisor.processes.values()),
                supervisors=supervisors,
                workers=len(ids) - supervisors,
            )

        return cast("ChildCounts", await self._order(count, supervisor))

    async def get_spec(self, id: str) -> ChildSpec[Any]:
        """Return the spec of a child. What a temporary one was started with is not kept, as in OTP.

        Raises:
            NoChild: There is none of this id.
        """
        supervisor = self._find()

        async def get() -> ChildSpec[Any]:
            return supervisor.machine.spec_of(id)

        return cast("ChildSpec[Any]", await self._order(get, supervisor))

    def _find(self) -> SupervisorProcess:
        return self._host.find_supervisor(self.path)

    async def _order(self, run: Callable[[], Awaitable[Any]], supervisor: SupervisorProcess) -> Any:
        asking = self._asking()
        if asking and supervisor.awaits(asking):
            raise WouldWaitForItself(
                f"{supervisor.path!r} waits for {asking!r} to start, or to end, which waits for this answer. "
                "Ask later: from a handler, or from another actor."
            )
        return await supervisor.order(run, asking)

    def _asking(self) -> str:
        """Return the path of the actor or function that asks, or nothing."""
        current = current_message.get()
        process = asking_process.get()
        if current is not None and current.to:
            process = self._host.find_process_of(current.to)
        return process.record.path if process is not None else ""

    def _refuse_suicide(self, supervisor: SupervisorProcess, id: str) -> None:
        asking, asked = self._asking(), f"{supervisor.path}/{id}"
        if asking == asked or asking.startswith(f"{asked}/"):
            raise WouldWaitForItself(f"{asking!r} would wait for its own end; call self.stop() instead.")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SupervisorRef) and other.path == self.path

    def __hash__(self) -> int:
        return hash(self.path)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path!r}>"


class Job(Generic[R]):
    """One piece of work of a task supervisor. Its result is kept as long as somebody holds on to the job."""

    def __init__(self, id: str, supervisor: SupervisorProcess) -> None:
        self.id = id
        self._supervisor = supervisor
        self._reply = Reply(EventWaiter())

    @property
    def is_done(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self._reply.is_settled

    async def result(self) -> R:
        """Wait until it is done, and return what the function returned, or raise what it raised.

        Raises:
            JobStopped: It was stopped before it was done.
            NoSupervisor: The supervisor ended before it came to the job.

        Cancellation: the job runs on.
        """
        return cast("R", await self._reply.wait())

    async def stop(self) -> None:
        """Cancel it, and return when it is gone; does nothing if it is done."""
        if self.is_done:
            return
        with suppress(NoChild, NoSupervisor):  # it has ended meanwhile
            await self._supervisor.order(lambda: terminate(self._supervisor, self.id))

    def answer(self, value: R) -> None:
        """Note that it is done; the first word counts."""
        if not self.is_done:
            self._supervisor.jobs -= 1
            self._reply.answer(value)

    def fail(self, error: BaseException) -> None:
        """Note that it has no result; the first word counts."""
        if not self.is_done:
            self._supervisor.jobs -= 1
            self._reply.fail(error)


class _JobStart:
    """Hears how the order to start a job went. Meets `Answer`."""

    def __init__(self, job: Job[Any]) -> None:
        self._job = job

    def answer(self, value: Any) -> None:
        """It runs; how it ends is the job's own business."""

    def fail(self, error: Exception) -> None:
        """It will never run."""
        self._job.fail(error)


class TaskSupervisorRef:
    """Points to a task supervisor of this node; `self.ref(TaskSupervisorRef, "jobs")` makes one."""

    def __init__(self, host: Host, path: str) -> None:
        self._host = cast("_AdminHost", host)
        self.path = path

    @classmethod
    def ref_on(cls, host: Host, path: str) -> "TaskSupervisorRef":
        """Return what points to `path`; where that is, is looked up for each job."""
        return cls(host, path)

    def start_soon(self, function: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """Run `function(*args, **kwargs)` under the supervisor, and return a job without waiting.

        The job has no deadline from the message in hand, and outlives who started it. If it raises, that is logged, and
        `result()` raises the same; nothing is tried again.

        Raises:
            TooManyChildren: `max_children` jobs run already.
            NoSupervisor: The supervisor does not run.
            AdminError: It is no task supervisor.
            SpecError: `function` is no async function.
        """
        supervisor = self._host.find_supervisor(self.path)
        tree = supervisor.tree
        if not isinstance(tree, TaskSupervisor):
            raise AdminError(f"{supervisor.path!r} is no TaskSupervisor; use ref(SupervisorRef, ...).start_child.")
        if tree.max_children is not None and supervisor.jobs >= tree.max_children:
            raise TooManyChildren(
                f"{supervisor.path!r} runs {supervisor.jobs} of max_children={tree.max_children} jobs."
            )
        if inspect.iscoroutine(function) or not callable(function):
            raise SpecError(f"start_soon(): {not_a_child(function)}", "pass an async function, and its arguments.")
        id = supervisor.new_id(getattr(function, "__name__", ""))
        job: Job[R] = Job(id, supervisor)
        current = current_message.get()

        async def run() -> None:
            # The same correlation and trace as who asked; but neither its deadline, nor its chain of callers.
            message = Message("", "run")
            if current is not None:
                message.correlation, message.trace = correlation_of(current), current.trace
            current_message.set(message)
            try:
                job.answer(await function(*args, **kwargs))
            except BaseException as error:
                if isinstance(error, Exception) or leaving_in(error) is not None:
                    job.fail(error)
                raise
            finally:
                job.fail(JobStopped(f"the job {id!r} was stopped before it was done."))

        spec = ChildSpec[Any](id=id, start=FunctionStart(run), restart="temporary", shutdown=tree.shutdown)
        supervisor.order_nowait(lambda: start_new(supervisor, spec), _JobStart(job))
        supervisor.jobs += 1
        return job

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path!r}>"


def _info_of(supervisor: SupervisorProcess, id: str, state: ChildState) -> ChildInfo:
    spec = supervisor.machine.spec_of(id)
    return ChildInfo(
        id=id,
        state=state.value,
        kind="supervisor" if spec.is_supervisor else "worker",
        incarnation=supervisor.host.record_of(f"{supervisor.path}/{id}").incarnation,
    )


def _ref_of(spec: ChildSpec[Any], host: Host, path: str) -> Any:
    start = spec.start.members.children[0].start if isinstance(spec.start, PoolStart) else spec.start
    if isinstance(start, ActorStart):
        return ref_to(host, start.actor, spec.name, prefer_local=None)
    return ChildRef(path)
