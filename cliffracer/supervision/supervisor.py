"""Carries out what the machine in `strategy.py` decides: starts children, stops them, and hears how they ended.

Everything that happens to a supervisor goes through one queue, served strictly in order: exits of its children, its
own notes to try again, what somebody asks for, the order to stop. So it stays responsive while a child fails to start
over and over.
"""

import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from cliffracer.actor.cell import Cell
from cliffracer.actor.timers import Timer
from cliffracer.actor.waiters import Reply
from cliffracer.errors import NoSupervisor
from cliffracer.exits import Exit, Killed, Shutdown
from cliffracer.names import is_name
from cliffracer.supervision.bodies import body_of
from cliffracer.supervision.host import TreeHost
from cliffracer.supervision.intensity import Intensity
from cliffracer.supervision.notices import Answer, Exited, Notice, NoticeQueue, Order, Retry, StopOrder, answer_with
from cliffracer.supervision.process import Body, Process, ProcessState
from cliffracer.supervision.reports import Reports
from cliffracer.supervision.spec import (
    ChildSpec,
    DynamicSupervisor,
    PoolStart,
    Supervisor,
    TaskSupervisor,
    Tree,
    without_arguments,
)
from cliffracer.supervision.steps import (
    Dismiss,
    End,
    GiveUp,
    GiveUpChild,
    Restarting,
    RetryLater,
    ShutDownByItself,
    StartChild,
    Step,
    StopAll,
    StopChild,
)
from cliffracer.supervision.stopping import kill_all, stop_all, wait_gone
from cliffracer.supervision.strategy import Machine

__all__ = ["SupervisorProcess"]

_IMPATIENT = 5.0  # seconds for a start that delays a stop, where the child's own shutdown time says nothing


class SupervisorProcess:
    """One incarnation of a supervisor. Meets `Keeper`."""

    def __init__(
        self, tree: Tree, host: TreeHost, path: str, *, keeps_names: bool = True, is_pool: bool = False
    ) -> None:
        """Prepare a supervisor; nothing is started.

        Args:
            tree: Its spec.
            host: The node around it.
            path: Where it stands in the whole tree: `shop/customers`.
            keeps_names: Whether the next incarnation will have the same children, so that what waits in their
                mailboxes waits on.
            is_pool: Whether its children are the members of a pool, which hear by way of that.
        """
        self.tree = tree
        self.path = path
        self.host = host
        self.log = host.log.bind(supervisor=path)
        self.is_pool = is_pool
        children = tree.children if isinstance(tree, Supervisor) else ()
        self._lasting = {spec.id for spec in children} if keeps_names else set[str]()
        self.specs = {spec.id: spec for spec in children}
        self.machine = _machine_of(tree)
        limits = (0, 1.0) if isinstance(tree, TaskSupervisor) else (tree.max_restarts, tree.max_seconds)
        self.reports = Reports(self.log, path, *limits)
        self.processes: dict[str, Process] = {}
        """Those that run, by id."""
        self._notices = NoticeQueue(host.timers.new_waiter)
        self._retries: dict[str, Timer] = {}
        self._tasks: TaskGroup | None = None
        self._start_in_progress: anyio.CancelScope | None = None
        self._awaited: tuple[Process, ...] = ()  # whose start or end it waits for at this moment
        self._newest: Process | None = None  # that is being started
        self._stop_ordered = False
        self._main = anyio.CancelScope()  # what is cancelled if this is killed
        self._doomed: tuple[Process, ...] | None = None  # the children that it had then
        self._cause = ""  # why the child ended whose end is being dealt with, if it was a supervisor
        self._is_up = False  # all children of the spec have started
        self._is_ending = False  # it stops its children, for good, and takes no more orders
        self._ids = 0
        self.jobs = 0  # of a task supervisor: those that run, or are about to

    # From outside

    def request_stop(self, reason: Exit, *, ordered: bool = True) -> None:
        """Order the supervisor to stop its children in reverse and to end for `reason`.

        A start that is under way is cancelled.
        """
        del ordered  # its children have their own limits
        self._stop_ordered = True
        self._notices.put(StopOrder(reason))
        if self._start_in_progress is not None:
            self._start_in_progress.cancel()

    def kill(self) -> bool:
        """End without stopping the children in order, for `Killed`.

        As in OTP that is about this supervisor only: its workers are cancelled, but a supervisor among its children
        hears that its parent has gone, and stops its own children in order.
        """
        if self._doomed is None:
            self._doomed = (*self.processes.values(), *self._awaited)
            self._main.cancel()
        return True

    def stack(self) -> list[str]:
        """Its children are reported by themselves."""
        return []

    async def order(self, run: Callable[[], Awaitable[Any]], asking: str = "") -> Any:
        """Have the supervisor await `run()` when its turn comes, and return what that returns.

        Raises:
            NoSupervisor: The supervisor has ended, or ends before it comes to that.
            AdminError: What `run` raised.

        Cancellation: the order is not recalled.
        """
        answer = Reply(self.host.timers.new_waiter())
        self.order_nowait(run, answer, asking)
        return await answer.wait()

    def order_nowait(self, run: Callable[[], Awaitable[Any]], answer: Answer, asking: str = "") -> None:
        """Have the supervisor await `run()` when its turn comes, and tell `answer` how it went.

        Raises:
            NoSupervisor: The supervisor has ended.
        """
        if self._is_ending:
            raise NoSupervisor(f"the supervisor {self.path!r} has ended, or is about to.")
        self._notices.put(Order(run, answer, asking))

    def new_id(self, label: str) -> str:
        """Return an id that begins with `label` and was never returned before."""
        self._ids += 1
        id = f"{label}-{self._ids}"
        return id if is_name(id) else f"job-{self._ids}"

    def awaits(self, path: str) -> bool:
        """Tell whether the supervisor waits, at this moment, for the start or the end of what is at or under `path`."""
        return any(_is_within(path, process.record.path) for process in self._awaited)

    # Run

    async def run(self, on_started: Callable[[], Awaitable[None]]) -> Exit:
        """Run to the end and return why it ended.

        Args:
            on_started: Awaited when all children have started. If the supervisor ends without it, its start has failed.

        Cancellation: all children are cancelled, and whatever is below them.
        """
        reason: Exit | None = None
        self.host.supervisor_started(self)
        try:
            async with anyio.create_task_group() as self._tasks:
                with self._main:
                    reason = await self._live(on_started)
                if self._doomed is not None:
                    reason = Killed()
                    # It may have started one more before the cancellation got through.
                    late = () if self._newest is None else (self._newest,)
                    await self._end_doomed({*self._doomed, *self.processes.values(), *late})
        finally:
            self._close()
            with anyio.CancelScope(shield=True):  # also if it was killed: nobody else knows these names
                await self._let_go()
        assert reason is not None
        return reason

    async def _live(self, on_started: Callable[[], Awaitable[None]]) -> Exit:
        reason = await self.carry_out(self.machine.start())
        if reason is None and not self._stop_ordered:
            self.machine.all_started()
            self._is_up = True
            await on_started()
        while reason is None:
            reason = await self._serve(await self._notices.next())
        return reason

    async def _end_doomed(self, doomed: Iterable[Process]) -> None:
        left = [process for process in doomed if not process.has_ended]
        self._notices.refuse_orders_of({process.record.path for process in left})
        await kill_all(left, self.host.kill_grace, self.log)

    async def _let_go(self) -> None:
        """Free the names of children that the next incarnation will not start."""
        for id, spec in self.specs.items():
            if id not in self._lasting:
                await self.host.dismiss(spec, self.path_of(id), forget=True)
                self.host.forget(spec, self.path_of(id))

    def _close(self) -> None:
        self._is_ending = True
        for timer in self._retries.values():
            timer.cancel()
        self._notices.refuse_orders(f"the supervisor {self.path!r} ended before it came to that.")
        self.host.supervisor_ended(self)

    async def _serve(self, notice: Notice) -> Exit | None:
        """Do what `notice` asks for; return why the supervisor ends, or None if it lives."""
        now = self.host.timers.clock()
        match notice:
            case Exited(id, _, process) if self.processes.get(id) is not process:
                return None  # it was stopped meanwhile; of that name may run another by now
            case Exited(id, incarnation, process):
                steps = self.machine.exited(id, incarnation, process.reason, now)
                if steps:
                    del self.processes[id]
                    self._report_exit(process, steps)
                    # A supervisor that gave up ends with `shutdown`, which says nothing.
                    inner = process.inner
                    self._cause = inner.reports.verdict if isinstance(inner, SupervisorProcess) else ""
                return await self.carry_out(steps)
            case Retry(id):
                self._cause = ""
                return await self.carry_out(self.machine.retry(id, now))
            case Order(run, answer):
                await answer_with(run, answer, self.path)
                return None
            case StopOrder(reason):
                return await self.carry_out(self.machine.stop(reason))

    async def carry_out(self, steps: Iterable[Step]) -> Exit | None:
        """Carry out `steps` in order; return why the supervisor ends, or None if it lives."""
        todo, was_ordered = deque(steps), self._stop_ordered
        if todo and isinstance(todo[-1], End):
            self._is_ending = True
        while todo:
            match todo.popleft():
                case StartChild(id):
                    todo = await self._start_next(id, todo, was_ordered=was_ordered)
                case StopChild(id):
                    await self._stop(id)
                case StopAll(ids):
                    await self._stop(*ids)
                case Dismiss(id):
                    await self._dismiss(id)
                case RetryLater(id, delay):
                    self._retry_later(id, delay)
                case End(reason):
                    return reason
                case (Restarting() | GiveUp() | GiveUpChild() | ShutDownByItself()) as notice:
                    self._tell(notice)
        return None

    # Start

    async def _start_next(self, id: str, todo: deque[Step], *, was_ordered: bool) -> deque[Step]:
        """Start a child; return what is to be done after that, where `todo` was planned."""
        if self._stop_ordered and not was_ordered:
            return deque()  # the order to stop came while these steps were carried out, and waits in the queue
        process = await self.start_child(self.specs[id])
        if process is None:
            return deque()  # the order to stop waits in the queue; what was planned before it is void
        if process.was_ignored:
            self.reports.ignored(process)
            return deque([*self.machine.ignored(id), *todo])
        if process.leaves and self._is_up:
            return deque()  # the program ends; nothing is tried again
        if not process.has_started:
            steps = self.machine.start_failed(id, process.reason)
            delay = steps[0].delay if isinstance(steps[0], RetryLater) else 0.0
            self.reports.start_failed(process, delay, stopping=self._stop_ordered)
            return deque(steps)
        return todo

    async def start_child(self, spec: ChildSpec[Any]) -> Process | None:
        """Start a child and wait until it has started, or failed to; return None if a stop order cut it short."""
        assert self._tasks is not None
        if spec.id in self._retries:
            self._retries.pop(spec.id).cancel()
        record = self.host.record_of(self.path_of(spec.id))
        record.incarnation += 1
        process = record.process = Process(spec, record, self)
        self._awaited, self._newest = (process,), process
        stop_order = self._start_in_progress = anyio.CancelScope()
        try:
            with stop_order:
                await self._bring_to_life(process, self._tasks)
            if process.state is ProcessState.STARTING:
                await self._cut_short(process)
        finally:
            self._start_in_progress = None
            self._awaited = ()
        self._newest = None
        if process.has_started:
            self._note_started(process)
        elif stop_order.cancelled_caught and isinstance(process.reason, Killed) and not process.was_ignored:
            return None
        return process

    async def _bring_to_life(self, process: Process, tasks: TaskGroup) -> None:
        """Start `process`, and return when it has started, or ended before that; or when it has taken too long."""
        if not await process.start_at_once():
            process.spawn(tasks)
            timeout = self._start_timeout(process.spec)
            with anyio.move_on_after(timeout):
                await process.wait_settled()
            if process.state is ProcessState.STARTING:
                await self._cut_short(process)
                if not process.has_started:
                    process.reason = Shutdown(f"start took longer than {timeout} s")
        elif process.has_started:
            process.spawn(tasks)
        else:
            # Others must get their turn, however often it is tried again.
            await anyio.lowlevel.checkpoint()

    def _note_started(self, process: Process) -> None:
        id, spec = process.id, process.spec
        if spec.restart == "temporary":
            # OTP: what a temporary child was started with is not kept, for it is not started again.
            spec = process.spec = self.specs[id] = without_arguments(spec)
            self.machine.replace_spec(spec)
        self.processes[id] = process
        self.machine.started(id, process.record.incarnation, process.started_at)
        self.reports.started(process)

    def _start_timeout(self, spec: ChildSpec[Any]) -> float | None:
        if not self._stop_ordered:
            return spec.start_timeout
        # The order to stop waits behind this start, so the start may take no longer than a stop.
        limit = _IMPATIENT if isinstance(spec.shutdown, str) else spec.shutdown
        return limit if spec.start_timeout is None else min(limit, spec.start_timeout)

    async def _cut_short(self, process: Process) -> None:
        """End a start that has taken too long, or is not wanted any more."""
        process.is_abandoned = True
        self._notices.refuse_orders_of({process.record.path})
        if isinstance(process.inner, SupervisorProcess):
            process.inner.request_stop(Shutdown())  # what it has started so far stops in order
            await process.wait_ended()
            if process.reason == Shutdown():
                process.reason = Killed()
        else:
            process.cancel()
            await wait_gone(process, self.host.kill_grace, self.log)

    def _retry_later(self, id: str, delay: float) -> None:
        if not delay:
            self._notices.put(Retry(id))
            return

        def put() -> None:
            self._retries.pop(id, None)
            self._notices.put(Retry(id))

        self._retries[id] = self.host.timers.at(self.host.timers.clock() + delay, put)

    # Live: what a process asks of its keeper

    def body_of(self, process: Process) -> Body:
        """Return what `process` runs."""
        return body_of(process, self.host, self._supervise)

    def _supervise(self, process: Process, tree: Tree, *, keeps_names: bool) -> "SupervisorProcess":
        is_pool = isinstance(process.spec.start, PoolStart)
        return SupervisorProcess(tree, self.host, process.record.path, keeps_names=keeps_names, is_pool=is_pool)

    def process_ended(self, process: Process, *, tell: bool) -> None:
        """Put the notice into the queue."""
        record = process.record
        if record.process is process:
            record.process = None
        if isinstance(process.inner, Cell) and process.inner.process is process:
            process.inner.process = None
        self.host.process_ended(process)
        if tell:
            self._notices.put(Exited(process.id, record.incarnation, process))

    def process_leaves(self, process: Process, error: BaseException) -> None:
        """Let the whole program end; until then nothing is restarted for it."""
        if isinstance(process.inner, Cell):
            process.inner.close(for_good=False)
        self.host.leave(error)

    # Stop

    async def _stop(self, *ids: str) -> None:
        """Stop children as their specs say, all at once, and wait without limit until they are gone."""
        processes = [self.processes.pop(id) for id in ids]
        for process in processes:
            if isinstance(process.inner, Cell):
                self.host.before_stop(process.inner)
        self._awaited = tuple(processes)
        self._notices.refuse_orders_of({process.record.path for process in processes})
        try:
            await stop_all(processes, self.host.kill_grace, self.log)
        finally:
            self._awaited = ()
        for id in ids:
            self.machine.stopped(id)
        self.reports.stopped(processes)

    async def _dismiss(self, id: str) -> None:
        """Free the names of a child that will not be started again, and of everybody below it."""
        if id in self._retries:
            self._retries.pop(id).cancel()
        forget, spec = id not in self.machine, self.specs[id]
        await self.host.dismiss(spec, self.path_of(id), forget=forget)
        if forget:
            del self.specs[id]
            self._lasting.discard(id)
            self.host.forget(spec, self.path_of(id))

    # Tell

    def _report_exit(self, process: Process, steps: list[Step]) -> None:
        # A restart, and giving up, are told with their reason where they are carried out.
        if isinstance(steps[0], Dismiss):
            self.reports.ended(process)
            if isinstance(process.inner, SupervisorProcess) and process.inner.reports.has_given_up:
                self.reports.not_restarted(process)

    def _tell(self, step: Restarting | GiveUp | GiveUpChild | ShutDownByItself) -> None:
        if isinstance(step, ShutDownByItself):
            self.reports.shut_down_by_itself(step.id, self.machine.auto_shutdown)
            return
        spec = self.specs[step.id]
        incarnation = self.host.record_of(self.path_of(step.id)).incarnation
        match step:
            case Restarting():
                limits = spec.budget or self.reports
                self.reports.restarting(step, incarnation, limits.max_restarts, limits.max_seconds, cause=self._cause)
            case GiveUp():
                self.reports.gave_up(step, incarnation, cause=self._cause)
            case GiveUpChild():
                self.reports.gave_up_child(step, incarnation, spec)

    def path_of(self, id: str) -> str:
        """Return where the child of this id stands."""
        return f"{self.path}/{id}"


def _machine_of(tree: Tree) -> Machine:
    match tree:
        case Supervisor():
            intensity = Intensity(tree.max_restarts, tree.max_seconds)
            return Machine(
                tree.strategy, tree.children, intensity, auto_shutdown=tree.auto_shutdown, chance=random.random
            )
        case DynamicSupervisor():
            return Machine(
                "one_for_one",
                (),
                Intensity(tree.max_restarts, tree.max_seconds),
                auto_shutdown=tree.auto_shutdown,
                is_dynamic=True,
                max_children=tree.max_children,
                chance=random.random,
            )
        case TaskSupervisor():
            return Machine("one_for_one", (), Intensity(0, 1.0), is_dynamic=True)


def _is_within(path: str, top: str) -> bool:
    return path == top or path.startswith(f"{top}/")
