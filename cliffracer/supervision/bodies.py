"""What a process runs: an actor, a function, a supervisor or a pool of actors."""

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from math import inf
from typing import Any, Protocol, get_args

from cliffracer.actor.actor import ActorStart
from cliffracer.actor.cell import Cell
from cliffracer.actor.host import Host
from cliffracer.actor.loop import is_outside_force, run_incarnation
from cliffracer.envelope import Message, current_message
from cliffracer.errors import Ignore
from cliffracer.exits import Exit, Normal
from cliffracer.supervision.process import Process, Stoppable
from cliffracer.supervision.spec import ChildSpec, FunctionStart, PoolStart, Tree, TreeStart

__all__ = ["BodyHost", "Inner", "Supervise", "body_of"]


class BodyHost(Host, Protocol):
    """What a process needs of the node it runs in."""

    def process_started(self, process: Process) -> None:
        """A child has started."""
        ...

    def claim(self, spec: ChildSpec[Any], path: str) -> Cell:
        """Return the cell of the actor that `spec` describes; the same one for each incarnation.

        Raises:
            AlreadyStarted: Another child has an actor of this name.
        """
        ...

    async def admit(self, cell: Cell) -> None:
        """Let messages come in: the actor has started. Called for each incarnation."""
        ...

    async def open_pool(self, spec: ChildSpec[Any], path: str) -> None:
        """Let messages come in to a pool, whose members have all started."""
        ...


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


def body_of(process: Process, host: BodyHost, supervise: Supervise) -> Coroutine[Any, Any, Exit]:
    """Return what `process` runs, as a coroutine that returns why it ended.

    Args:
        process: It is told, with `settle`, when it has started.
        host: The node.
        supervise: Makes the supervisor of a child that is one.
    """
    spec = process.spec
    match spec.start:
        case ActorStart() as start:
            return _run_actor(start, process, host)
        case FunctionStart() as start:
            return _run_function(start, process, host)
        case TreeStart() as start:
            return _run_made_tree(start, process, host, supervise)
        case PoolStart(members):
            inner = supervise(process, members, keeps_names=True)
        case tree:
            inner = supervise(process, tree, keeps_names=True)
    return _run_tree(inner, process, host)


def _settle(process: Process, host: BodyHost) -> None:
    process.settle()
    host.process_started(process)


def _run_actor(start: ActorStart, process: Process, host: BodyHost) -> Coroutine[Any, Any, Exit]:
    cell = host.claim(process.spec, process.record.path)
    process.inner = cell
    cell.process = process

    async def on_started() -> None:
        await host.admit(cell)
        _settle(process, host)

    shutdown = process.spec.shutdown
    return run_incarnation(
        cell,
        start,
        host,
        on_started,
        incarnation=process.record.incarnation,
        stop_time=inf if isinstance(shutdown, str) else shutdown,
    )


async def _run_function(start: FunctionStart, process: Process, host: BodyHost) -> Exit:
    # What it calls has deadlines of its own, and nobody waits for it.
    current_message.set(Message(process.id, "run"))
    try:
        if "task_status" in inspect.signature(start.function).parameters:
            result = await start.function(*start.args, **start.kwargs, task_status=_Status(process, host))
        else:
            _settle(process, host)
            result = await start.function(*start.args, **start.kwargs)
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


class _Status:
    """What a function says that it has started with. Meets anyio's `TaskStatus`."""

    def __init__(self, process: Process, host: BodyHost) -> None:
        self._process = process
        self._host = host

    def started(self, value: object = None) -> None:
        """Say that it has started; the next child does. The value is not used."""
        del value
        if self._process.has_started:
            raise RuntimeError("task_status.started() was called twice")
        _settle(self._process, self._host)


async def _run_tree(inner: Inner, process: Process, host: BodyHost) -> Exit:
    process.inner = inner

    async def on_started() -> None:
        if isinstance(process.spec.start, PoolStart):
            await host.open_pool(process.spec, process.record.path)
        _settle(process, host)

    return await inner.run(on_started)


async def _run_made_tree(start: TreeStart, process: Process, host: BodyHost, supervise: Supervise) -> Exit:
    tree: Any = start.function(*start.args, **start.kwargs)
    if not isinstance(tree, get_args(Tree)):
        name = getattr(start.function, "__name__", "the function")
        return process.crashed(TypeError(f"{name}() returned {tree!r}, and no supervisor"))
    # The next one may have other children.
    return await _run_tree(supervise(process, tree, keeps_names=False), process, host)
