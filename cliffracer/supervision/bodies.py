"""What a process runs: an actor, a function, a supervisor or a pool of actors."""

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from math import inf
from typing import Any, Protocol, get_args

from cliffracer.actor.actor import ActorStart
from cliffracer.actor.faults import is_outside_force
from cliffracer.actor.loop import Incarnation
from cliffracer.envelope import Message, current_message
from cliffracer.errors import Ignore
from cliffracer.exits import Exit, Normal
from cliffracer.supervision.host import TreeHost
from cliffracer.supervision.process import Body, Process, Stoppable, asking_process
from cliffracer.supervision.spec import FunctionStart, PoolStart, Tree, TreeStart

__all__ = ["Inner", "Supervise", "body_of"]

_ON_STOP = 5.0  # seconds for on_stop after a crash, where the spec says nothing of seconds


class Inner(Stoppable, Protocol):
    """A supervisor inside a supervisor."""

    async def run(self, on_started: Callable[[], Awaitable[None]]) -> Exit:
        """Run to the end."""
        ...


class Supervise(Protocol):
    """Makes a supervisor."""

    def __call__(self, process: Process, tree: Tree, *, keeps_names: bool) -> Inner:
        """Return a supervisor of `tree` that stands where `process` does."""
        ...


def body_of(process: Process, host: TreeHost, supervise: Supervise) -> Body:
    """Return what `process` runs.

    Args:
        process: It is told, with `settle`, when it has started.
        host: The node.
        supervise: Makes the supervisor of a child that is one.

    Raises:
        AlreadyStarted: It is an actor, and another one has its name.
        Ignore: The function that makes the supervisor raised it, or whatever else it raised.
    """
    start = process.spec.start
    if isinstance(start, ActorStart):
        return _ActorBody(start, process, host)
    if isinstance(start, FunctionStart):
        return _FunctionBody(start, process, host)
    if isinstance(start, TreeStart):
        # The next one may have other children.
        inner = supervise(process, _make_tree(start), keeps_names=False)
    else:
        tree = start.members if isinstance(start, PoolStart) else start
        inner = supervise(process, tree, keeps_names=True)
    return _TreeBody(inner, process, host)


def _settle(process: Process, host: TreeHost) -> bool:
    if process.settle():
        host.process_started(process)
        return True
    return False


class _ActorBody:
    __slots__ = ("_cell", "_host", "_incarnation", "_process", "starts_at_once")

    def __init__(self, start: ActorStart, process: Process, host: TreeHost) -> None:
        spec = process.spec
        self._cell = host.claim(spec, process.record.path)
        self._process = process
        self._host = host
        process.inner = self._cell
        self._cell.process = process
        # It ends by itself here, and nobody waits who could kill it, so "brutal_kill" says nothing.
        stop_time = _ON_STOP if spec.shutdown == "brutal_kill" else inf
        if not isinstance(spec.shutdown, str):
            stop_time = spec.shutdown
        self._incarnation = Incarnation(
            self._cell,
            start,
            host,
            incarnation=process.record.incarnation,
            stop_time=stop_time,
            at_once=spec.start_timeout is None,
        )
        self.starts_at_once = self._incarnation.starts_at_once

    async def start(self) -> Exit | None:
        return await self._incarnation.start(self._on_started)

    async def _on_started(self) -> None:
        if not self._process.is_abandoned:
            await self._host.admit(self._cell)
            if _settle(self._process, self._host):
                # The same float, not one more: there may be a hundred thousand actors.
                self._cell.note_start(self._process.started_at)

    @property
    def context(self) -> Context | None:
        return self._incarnation.context

    def live(self) -> Awaitable[Exit]:
        return self._incarnation.live()


class _FunctionBody:
    __slots__ = ("_host", "_process", "_start")
    starts_at_once = False
    context = None

    def __init__(self, start: FunctionStart, process: Process, host: TreeHost) -> None:
        self._start: FunctionStart | None = start
        self._process = process
        self._host = host

    async def start(self) -> Exit | None:
        return None

    async def live(self) -> Exit:
        process = self._process
        # What it calls has deadlines of its own, and nobody waits for it.
        current_message.set(Message("", "run"))
        asking_process.set(process)
        try:
            result = await self._call(process)
        except BaseException as error:
            if not is_outside_force(error):
                if isinstance(error, Ignore) and not process.has_started:
                    raise
                return process.crashed(error)
            if process.stop_requested is not None:
                process.reason = process.stop_requested
            raise
        if not process.has_started:
            return process.crashed(RuntimeError("it returned without having called task_status.started()"))
        return result if isinstance(result, get_args(Exit)) else Normal()

    def _call(self, process: Process) -> Coroutine[Any, Any, Any]:
        # What it is called with is its own business from now on.
        start, self._start = self._start, None
        assert start is not None
        if _says_when_started(start.function):
            return start.function(*start.args, **start.kwargs, task_status=_Status(process, self._host))
        _settle(process, self._host)
        return start.function(*start.args, **start.kwargs)


def _says_when_started(function: Callable[..., Any]) -> bool:
    code = getattr(function, "__code__", None)
    if code is not None and not hasattr(function, "__wrapped__") and "task_status" not in code.co_varnames:
        return False  # quick, for jobs by the thousand
    return "task_status" in inspect.signature(function).parameters


class _Status:
    """What a function says that it has started with. Meets anyio's `TaskStatus`."""

    def __init__(self, process: Process, host: TreeHost) -> None:
        self._process = process
        self._host = host

    def started(self, value: object = None) -> None:
        """Say that it has started; the next child does. The value is not used."""
        del value
        if self._process.has_started:
            raise RuntimeError("task_status.started() was called twice")
        _settle(self._process, self._host)


class _TreeBody:
    __slots__ = ("_host", "_inner", "_process")
    starts_at_once = False
    context = None

    def __init__(self, inner: Inner, process: Process, host: TreeHost) -> None:
        process.inner = inner
        self._inner = inner
        self._process = process
        self._host = host

    async def start(self) -> Exit | None:
        return None

    def live(self) -> Awaitable[Exit]:
        return self._inner.run(self._on_started)

    async def _on_started(self) -> None:
        process = self._process
        if isinstance(process.spec.start, PoolStart):
            await self._host.open_pool(process.spec, process.record.path)
        _settle(process, self._host)


def _make_tree(start: TreeStart) -> Tree:
    tree: Any = start.function(*start.args, **start.kwargs)
    if not isinstance(tree, get_args(Tree)):
        name = getattr(start.function, "__name__", "the function")
        raise TypeError(f"{name}(), which is no 'async def', returned {tree!r}, and no supervisor")
    made: Tree = tree
    return made
