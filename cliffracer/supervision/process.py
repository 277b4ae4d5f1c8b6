"""One incarnation of a child: it starts, runs, is asked to stop, is cancelled, is gone."""

from collections.abc import Awaitable
from contextvars import Context, ContextVar
from enum import Enum
from typing import Any, Protocol

import anyio
from anyio.abc import TaskGroup

from cliffracer.actor.faults import crash_of, is_outside_force, leaving_in
from cliffracer.actor.host import Watcher
from cliffracer.errors import Ignore, TransportError
from cliffracer.exits import Crashed, Exit, Killed, Shutdown
from cliffracer.observe.logs import Logger
from cliffracer.observe.stacks import stack_of
from cliffracer.supervision.spec import ChildSpec

__all__ = ["Body", "ChildRecord", "Keeper", "Process", "ProcessState", "Stoppable", "asking_process"]


class ChildRecord:
    """What is known of a child across its incarnations.

    Attributes:
        path: Where it stands in the tree.
        incarnation: How often it was started, or tried to.
        crashes: How many of its incarnations ended with an exception.
        last_crash: The last of them; None if there was none.
        last_crash_at: When that was, in seconds of the node's clock.
        process: The incarnation that runs, or is about to; None if there is none.
    """

    __slots__ = ("crashes", "incarnation", "last_crash", "last_crash_at", "path", "process")

    def __init__(self, path: str) -> None:
        self.path = path
        self.incarnation = 0
        self.crashes = 0
        self.last_crash: Crashed | None = None
        self.last_crash_at = 0.0
        self.process: Process | None = None


asking_process: ContextVar["Process | None"] = ContextVar("asking_process", default=None)
"""The function child whose code runs. An actor is known by the message in hand."""


class ProcessState(Enum):
    """Where an incarnation stands."""

    STARTING = "starting"
    RUNNING = "running"
    ENDED = "ended"


class Keeper(Protocol):
    """The supervisor that runs a process."""

    @property
    def log(self) -> Logger:
        """Its logger."""
        ...

    def body_of(self, process: "Process") -> "Body":
        """Return what `process` runs."""
        ...

    def process_ended(self, process: "Process", *, tell: bool) -> None:
        """Hear that `process` has ended, once, whatever happened; `tell` is whether that calls for a decision."""
        ...

    def process_leaves(self, process: "Process", error: BaseException) -> None:
        """Hear that `process` wants the whole program to end: SystemExit, or KeyboardInterrupt."""
        ...


class Stoppable(Protocol):
    """What can be asked to end."""

    def kill(self) -> bool:
        """End at once, and return True; or return False: then its task is to be cancelled."""
        ...

    def stack(self) -> list[str]:
        """Return where tasks of its own stand, the outermost call of each first."""
        ...

    def request_stop(self, reason: Exit, *, ordered: bool = True) -> None:
        """End for `reason`, in order."""
        ...


class Body(Protocol):
    """What a process runs. It calls `settle` of the process when it has started."""

    @property
    def starts_at_once(self) -> bool:
        """Whether `start` needs no task of its own: what it awaits does not wait for anybody."""
        ...

    @property
    def context(self) -> Context | None:
        """What its task is to run in: that in which it was started at once, if it was."""
        ...

    def start(self) -> Awaitable[Exit | None]:
        """Do what comes before `live`; return why that failed, or None if it did not."""
        ...

    def live(self) -> Awaitable[Exit]:
        """Run to the end, and return why it ended."""
        ...


class Process:
    """One incarnation of a child, from the attempt to start it until it is gone. Meets `Watched`."""

    __slots__ = (
        "_body",
        "_news",
        "_watchers",
        "handle",
        "has_started",
        "inner",
        "is_abandoned",
        "is_killed",
        "keeper",
        "leaves",
        "reason",
        "record",
        "spec",
        "started_at",
        "state",
        "stop_requested",
        "was_ignored",
    )

    def __init__(self, spec: ChildSpec[Any], record: ChildRecord, keeper: Keeper) -> None:
        """Prepare; nothing runs.

        Args:
            spec: What is to run.
            record: What is known of the child.
            keeper: The supervisor.
        """
        self.spec = spec
        self.record = record
        self.keeper = keeper
        self.handle: anyio.TaskHandle[None] | None = None
        """The task; None before there is one."""
        self.state = ProcessState.STARTING
        self.has_started = False
        self.was_ignored = False  # it declined to start
        self.is_abandoned = False  # it took too long to start: whatever it says now, it has not
        self.is_killed = False  # perhaps before there was a task to cancel
        self.leaves = False  # it wants the whole program to end
        self.reason: Exit = Killed()
        self.stop_requested: Exit | None = None
        self.started_at = 0.0
        # What hears that it is to stop: a cell, or a supervisor; None for a function, which is cancelled.
        self.inner: Stoppable | None = None
        self._watchers: list[Watcher] | None = None
        self._news: anyio.Event | None = None
        self._body: Body | None = None

    @property
    def id(self) -> str:
        """The child's id."""
        return self.spec.id

    @property
    def has_ended(self) -> bool:
        """Whether it is gone."""
        return self.state is ProcessState.ENDED

    # Run

    async def start_at_once(self) -> bool:
        """Start in the task of who calls, if that is possible: one task for each of ten thousand starts is saved.

        Returns:
            Whether it was tried; then it has started, or has ended. If not, `run` starts it.
        """
        try:
            self._body = self.keeper.body_of(self)
            if not self._body.starts_at_once:
                return False
            failure = await self._body.start()
        except BaseException as error:
            if not self._conclude(error):
                raise
        else:
            if failure is not None:
                self.reason = failure
                self._conclude(None)
        return True

    def spawn(self, tasks: TaskGroup) -> None:
        """Give it a task of its own."""
        context = None if self._body is None else self._body.context
        self.handle = tasks.create_task(self.run(), name=self.record.path, context=context)
        if self.is_killed:
            self.handle.cancel()

    async def run(self) -> None:
        """Run to the end, whatever that is, and tell the keeper, once."""
        assert self._body is not None
        try:
            failure = None if self.has_started else await self._body.start()
            if failure is None and self.is_abandoned:
                failure = Killed()  # it came too late, and takes no message that waits for the next one
            if failure is None:
                life, self._body = self._body.live(), None  # an idle actor holds on to no more than it must
                failure = await life
            self.reason = failure
        except BaseException as error:
            if not self._conclude(error):
                raise
        else:
            self._conclude(None)

    def _conclude(self, error: BaseException | None) -> bool:
        """Note that it has ended, and tell all who are to know; return whether `error` goes no further."""
        if isinstance(error, Ignore) and not self.has_started:
            self.was_ignored = True
            self.reason = Shutdown(str(error))
        elif (leaving := leaving_in(error)) is not None:
            self.leaves = True
            self.reason = crash_of(leaving)
            self.keeper.process_leaves(self, leaving)
        elif isinstance(error, Exception) and not is_outside_force(error):
            self.crashed(error)  # it did not start, or the fault is ours; siblings shall not fall with it
        self._body = None
        if isinstance(self.reason, Crashed):
            self.record.crashes += 1
            self.record.last_crash = self.reason
        self._change(ProcessState.ENDED)
        # Who leaves is not restarted: the program ends.
        self.keeper.process_ended(self, tell=self.has_started and not self.leaves)
        watchers, self._watchers = self._watchers, None
        for watcher in watchers or ():
            watcher.tell(self.reason, self.record.incarnation)
        return self.leaves or isinstance(error, Exception)

    def settle(self) -> bool:
        """Note that it has started; return False if nobody waits for that any more."""
        if self.is_abandoned:
            return False
        self.has_started = True
        self._change(ProcessState.RUNNING)
        return True

    def crashed(self, error: BaseException) -> Crashed:
        """Note that it ends with `error`, and log that; actors do so themselves."""
        reason = self.reason = crash_of(error)
        self.keeper.log.error(
            "child_crashed",
            child=self.id,
            incarnation=self.record.incarnation,
            incident=reason.incident,
            error=reason.error,
            # A broker that is away is nobody's code.
            exc_info=None if isinstance(error, TransportError) else error,
        )
        return reason

    def _change(self, state: ProcessState) -> None:
        self.state = state
        news, self._news = self._news, None
        if news is not None:
            news.set()

    async def wait_settled(self) -> None:
        """Wait until it has started, or has ended before that."""
        while self.state is ProcessState.STARTING:
            await self._wait_news()

    async def wait_ended(self) -> None:
        """Wait until it is gone."""
        while not self.has_ended:
            await self._wait_news()

    async def _wait_news(self) -> None:
        self._news = self._news or anyio.Event()
        await self._news.wait()

    # End

    def request_stop(self, reason: Exit, *, ordered: bool = True) -> None:
        """Ask it to end for `reason`, in order.

        Args:
            reason: Why.
            ordered: Whether somebody waits for it, and sees to it that it does not take too long.
        """
        self.stop_requested = reason
        if self.inner is None:
            # A function has no mailbox: being cancelled is how it hears that it must stop.
            self.cancel()
        else:
            self.inner.request_stop(reason, ordered=ordered)

    def kill(self) -> None:
        """Cancel it; it ends with `Killed`."""
        if self.inner is None:
            self.stop_requested = None
        if self.inner is None or not self.inner.kill():
            self.cancel()

    def cancel(self) -> None:
        """Cancel its task."""
        self.is_killed = True
        if self.handle is not None:
            self.handle.cancel()

    def fall(self, reason: Exit) -> None:
        """End for a link; see `Watched`."""
        if not self.has_ended and not self.spec.is_supervisor:
            self.request_stop(reason, ordered=False)

    def watch(self, watcher: Watcher) -> None:
        """Tell `watcher` when this ends."""
        if self._watchers is None:
            self._watchers = []
        self._watchers.append(watcher)

    def unwatch(self, watcher: Watcher) -> None:
        """Do not tell it; harmless if it is not there."""
        if self._watchers is not None and watcher in self._watchers:
            self._watchers.remove(watcher)

    def stack(self) -> list[str]:
        """Return where it stands, the outermost call first."""
        own = [] if self.handle is None else stack_of(self.handle.coro)
        return own if self.inner is None else [*own, *self.inner.stack()]
