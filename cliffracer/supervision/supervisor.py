"""Carries out what the machine in `strategy.py` decides: starts children, stops them, and hears how they ended.

Everything that happens to a supervisor goes through one queue, served strictly in order: exits of its children, its
own notes to try again, the order to stop. So it stays responsive while a child fails to start over and over.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol, TypeAlias

import anyio
from anyio.abc import TaskGroup
from msgspec import Struct

from cliffracer.actor.actor import ActorStart
from cliffracer.actor.cell import Cell
from cliffracer.actor.loop import crash_of, is_outside_force, run_incarnation
from cliffracer.actor.ref import Host
from cliffracer.exits import Crashed, Exit, Killed, Normal, Shutdown, is_clean
from cliffracer.supervision.intensity import Intensity
from cliffracer.supervision.spec import ChildSpec, FunctionStart, Supervisor
from cliffracer.supervision.strategy import (
    Dismiss,
    End,
    GiveUp,
    Machine,
    Restarting,
    RetryLater,
    StartChild,
    Step,
    StopChild,
)

__all__ = ["SupervisorProcess", "TreeHost"]

_IMPATIENT = 5.0  # seconds for a start that delays a stop, where the child's own shutdown time says nothing


class TreeHost(Host, Protocol):
    """What a tree needs of the node it runs in."""

    def cell_of(self, spec: ChildSpec) -> Cell:
        """Return the cell of the actor that `spec` describes; the same one for each incarnation."""
        ...

    async def admit(self, cell: Cell) -> None:
        """Let messages come in: the actor has started. Called for each incarnation."""
        ...

    def before_stop(self, cell: Cell) -> None:
        """The actor is about to be stopped, perhaps to be started again."""
        ...

    async def dismiss(self, cell: Cell) -> None:
        """The actor has ended and will not be started again: its name is free."""
        ...


class _Exited(Struct, frozen=True):
    id: str
    incarnation: int
    reason: Exit


class _Retry(Struct, frozen=True):
    id: str


class _StopOrder(Struct, frozen=True):
    reason: Exit


_Notice: TypeAlias = _Exited | _Retry | _StopOrder


class _Running:
    """One incarnation of a child, from the attempt to start it until it is gone."""

    __slots__ = ("ended", "incarnation", "reason", "request_stop", "scope", "settled", "spec", "started")

    def __init__(self, spec: ChildSpec, incarnation: int) -> None:
        self.spec = spec
        self.incarnation = incarnation
        self.scope = anyio.CancelScope()
        self.started = False
        self.settled = anyio.Event()  # started, or ended before that
        self.ended = anyio.Event()
        self.reason: Exit = Killed()
        self.request_stop: Callable[[Exit], None] = lambda _: None


class SupervisorProcess:
    """One incarnation of a supervisor."""

    def __init__(self, spec: Supervisor, host: TreeHost, path: str) -> None:
        """Prepare a supervisor; nothing is started.

        Args:
            spec: The tree.
            host: The node around it.
            path: Where it stands in the whole tree, for the log: `shop/customers`.
        """
        self._spec = spec
        self._host = host
        self._path = path
        self._log = host.log.bind(supervisor=path)
        self._specs = {child.id: child for child in spec.children}
        self._machine = Machine(spec.strategy, spec.children, Intensity(spec.max_restarts, spec.max_seconds))
        self._running: dict[str, _Running] = {}
        self._incarnations: dict[str, int] = {}
        self._notices: deque[_Notice] = deque()
        self._noticed = anyio.Event()
        self._start_in_progress: anyio.CancelScope | None = None
        self._stop_ordered = False
        self.verdict = ""
        """Why it gave up, for the person who reads the last line of the log; empty unless it did."""

    def request_stop(self, reason: Exit) -> None:
        """Order the supervisor to stop its children in reverse and to end for `reason`.

        A start that is under way is cancelled.
        """
        self._stop_ordered = True
        self._put(_StopOrder(reason))
        if self._start_in_progress is not None:
            self._start_in_progress.cancel()

    async def run(self, on_started: Callable[[], Awaitable[None]]) -> Exit:
        """Run to the end and return why it ended.

        Args:
            on_started: Awaited when all children have started. If the supervisor ends without it, its start has failed.

        Cancellation: all children are killed.
        """
        reason: Exit | None = None
        async with anyio.create_task_group() as tasks:
            reason = await self._carry_out(tasks, self._machine.start())
            if reason is None and not self._stop_ordered:
                self._machine.all_started()
                await on_started()
            while reason is None:
                reason = await self._carry_out(tasks, self._decide(await self._next_notice()))
        assert reason is not None
        return reason

    def _put(self, notice: _Notice) -> None:
        self._notices.append(notice)
        self._noticed.set()

    async def _next_notice(self) -> _Notice:
        while not self._notices:
            self._noticed = anyio.Event()
            await self._noticed.wait()
        return self._notices.popleft()

    def _decide(self, notice: _Notice) -> list[Step]:
        now = self._host.timers.clock()
        match notice:
            case _Exited(id, incarnation, reason):
                steps = self._machine.exited(id, incarnation, reason, now)
                if steps:
                    self._report_end(self._running.pop(id), steps)
                return steps
            case _Retry(id):
                return self._machine.retry(id, now)
            case _StopOrder(reason):
                return self._machine.stop(reason)

    async def _carry_out(self, tasks: TaskGroup, steps: Iterable[Step]) -> Exit | None:
        """Carry out `steps` in order; return why the supervisor ends, or None if it lives."""
        todo = deque(steps)
        while todo:
            match todo.popleft():
                case StartChild(id):
                    failure = await self._start_child(tasks, self._specs[id])
                    if failure is not None and self._stop_ordered:
                        # The order to stop waits in the queue; what was planned before it is void.
                        return None
                    if failure is not None:
                        todo = deque(self._machine.start_failed(id, failure))
                case StopChild(id):
                    await self._stop_child(id)
                case Dismiss(id):
                    await self._dismiss(self._specs[id])
                case RetryLater(id):
                    self._put(_Retry(id))
                case End(reason):
                    return reason
                case (Restarting() | GiveUp()) as notice:
                    self._tell(notice)
        return None

    # Start

    async def _start_child(self, tasks: TaskGroup, spec: ChildSpec) -> Exit | None:
        """Start a child and wait until it has started; return why it has not, or None if it has."""
        running = _Running(spec, self._next_incarnation(spec))
        tasks.start_soon(self._run_child, running)
        try:
            timeout = self._start_timeout(spec)
            with anyio.CancelScope() as self._start_in_progress, anyio.move_on_after(timeout) as patience:
                await running.settled.wait()
        finally:
            self._start_in_progress = None
        if not running.settled.is_set():
            if isinstance(spec.start, Supervisor):
                running.request_stop(Shutdown())  # what it has started so far stops in order
            else:
                running.scope.cancel()
            await running.ended.wait()
            if patience.cancelled_caught:
                running.reason = Shutdown(f"start took longer than {timeout} s")
        if running.started:
            self._running[spec.id] = running
            self._machine.started(spec.id, running.incarnation)
            announce = self._log.info if running.incarnation > 1 else self._log.debug
            announce("child_started", child=spec.id, incarnation=running.incarnation)
            return None
        tell = self._log.debug if self._stop_ordered else self._log.error
        tell("child_start_failed", child=spec.id, incarnation=running.incarnation, reason=str(running.reason))
        return running.reason

    def _start_timeout(self, spec: ChildSpec) -> float | None:
        if not self._stop_ordered:
            return spec.start_timeout
        # The order to stop waits behind this start, so the start may take no longer than a stop.
        limit = _IMPATIENT if isinstance(spec.shutdown, str) else spec.shutdown
        return limit if spec.start_timeout is None else min(limit, spec.start_timeout)

    def _next_incarnation(self, spec: ChildSpec) -> int:
        if spec.name is not None:
            return self._host.cell_of(spec).incarnation + 1
        number = self._incarnations.get(spec.id, 0) + 1
        self._incarnations[spec.id] = number
        return number

    # Live

    async def _run_child(self, running: _Running) -> None:
        """Run a child to its end, whatever that is, and put a notice of it into the queue, once."""
        try:
            with running.scope:
                running.reason = await self._body(running)
        except Exception as error:  # noqa: BLE001 - a fault of ours, not of the child's; its siblings shall not fall with it
            running.reason = crash_of(error)
            self._log_crash(running, running.reason, error)
        finally:
            running.settled.set()
            running.ended.set()
            if running.started:
                self._put(_Exited(running.spec.id, running.incarnation, running.reason))

    async def _body(self, running: _Running) -> Exit:
        spec = running.spec
        match spec.start:
            case ActorStart():
                cell = self._host.cell_of(spec)
                running.request_stop = cell.request_stop

                async def admit() -> None:
                    await self._host.admit(cell)
                    _mark_started(running)

                return await run_incarnation(cell, spec.start, self._host, admit)
            case FunctionStart():
                return await self._run_function(spec.start, running)
            case Supervisor():
                inner = SupervisorProcess(spec.start, self._host, f"{self._path}/{spec.id}")
                running.request_stop = inner.request_stop

                async def started() -> None:
                    _mark_started(running)

                return await inner.run(started)

    async def _run_function(self, start: FunctionStart, running: _Running) -> Exit:
        stop_reasons: list[Exit] = []

        def request_stop(reason: Exit) -> None:
            # A function has no mailbox: being cancelled is how it hears that it must stop.
            stop_reasons.append(reason)
            running.scope.cancel()

        running.request_stop = request_stop
        _mark_started(running)
        try:
            await start.function(*start.args, **start.kwargs)
        except BaseException as error:
            if not is_outside_force(error):
                reason = crash_of(error)
                self._log_crash(running, reason, error)
                return reason
            if stop_reasons:
                running.reason = stop_reasons[0]
            raise
        return Normal()

    def _log_crash(self, running: _Running, reason: Crashed, error: BaseException) -> None:
        self._log.error(
            "child_crashed", child=running.spec.id, incident=reason.incident, error=reason.error, exc_info=error
        )

    # Stop

    async def _stop_child(self, id: str) -> None:
        """Stop a child as its spec says, and wait without limit until it is gone: nothing is left behind."""
        running = self._running.pop(id)
        shutdown = running.spec.shutdown
        if running.spec.name is not None:
            self._host.before_stop(self._host.cell_of(running.spec))
        if shutdown == "brutal_kill":
            running.scope.cancel()
        elif not running.ended.is_set():
            running.request_stop(Shutdown())
            if not isinstance(shutdown, str):
                with anyio.move_on_after(shutdown):
                    await running.ended.wait()
                if not running.ended.is_set():
                    running.scope.cancel()
        await running.ended.wait()
        self._machine.stopped(id)
        self._report_stop(running)

    async def _dismiss(self, spec: ChildSpec) -> None:
        """Free the names of a child that will not be started again, and of everybody below it."""
        actors = spec.start.actors() if isinstance(spec.start, Supervisor) else [spec]
        for actor in actors:
            if actor.name is not None:
                await self._host.dismiss(self._host.cell_of(actor))

    # Tell

    def _report_end(self, running: _Running, steps: list[Step]) -> None:
        # A restart, and giving up, are told with their reason where they are carried out.
        if isinstance(steps[0], Dismiss):
            tell = self._log.info if is_clean(running.reason) else self._log.warning
            tell("child_ended", child=running.spec.id, incarnation=running.incarnation, reason=str(running.reason))

    def _report_stop(self, running: _Running) -> None:
        spec, reason = running.spec, running.reason
        as_told = Killed() if spec.shutdown == "brutal_kill" else Shutdown()
        expected = reason == as_told or (spec.restart != "permanent" and is_clean(reason))
        facts = {"child": spec.id, "incarnation": running.incarnation, "reason": str(reason)}
        if expected:
            self._log.debug("child_stopped", **facts)
        else:
            self._log.warning("child_stopped_badly", **facts)

    def _tell(self, step: Restarting | GiveUp) -> None:
        allowed = {"max_restarts": self._spec.max_restarts, "max_seconds": self._spec.max_seconds}
        reason = str(step.reason)
        if isinstance(step, Restarting):
            self._log.warning("child_restarting", child=step.id, reason=reason, restarts=step.restarts, **allowed)
        else:
            budget = f"more than {self._spec.max_restarts} restarts within {self._spec.max_seconds} s"
            self.verdict = f"supervisor {self._path!r} gave up after {budget}; last, {step.id!r} {reason}"
            self._log.error("supervisor_gave_up", child=step.id, reason=reason, **allowed)


def _mark_started(running: _Running) -> None:
    running.started = True
    running.settled.set()
