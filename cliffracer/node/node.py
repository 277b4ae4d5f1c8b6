"""One process: a supervision tree, a transport, and the order in which they start and stop."""

import gc
import importlib.util
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Self, TypeVar, overload

import anyio
import msgspec
from anyio.abc import TaskStatus

from cliffracer.actor.actor import Actor, Referable, ref_to
from cliffracer.actor.cell import CellStatistics
from cliffracer.actor.dead_letters import DeadLetter
from cliffracer.actor.host import HasPath
from cliffracer.actor.nodes import NodeInfo
from cliffracer.errors import CliffracerError, NotRunning, ServerError, SpecError, TreeFailed
from cliffracer.exits import Exit, Normal
from cliffracer.node.host import NodeHost
from cliffracer.node.inspect import NodeTree
from cliffracer.node.life import Life
from cliffracer.node.settings import Settings
from cliffracer.node.watchdog import Watchdog
from cliffracer.observe.logs import Logger, make_logger
from cliffracer.supervision.spec import Supervisor
from cliffracer.transport.contract import Transport
from cliffracer.transport.local import LocalTransport
from cliffracer.transport.nats import NatsTransport

__all__ = ["Node"]

A = TypeVar("A", bound=Actor)
R = TypeVar("R")
_NORMAL = Normal()
T = TypeVar("T")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


_NOT_RUNNING = "the node is not running. Use it inside 'async with Node(tree) as node:'."


class Node:
    """Runs a supervision tree.

    `async with Node(tree, nats="nats://localhost:4222") as node:` embeds it; `Node(tree).run()` makes it the
    process. A node is used once.
    """

    def __init__(
        self,
        tree: Supervisor,
        *,
        nats: str | None = None,
        settings: Settings | None = None,
        transport: Transport | None = None,
        log: Logger | None = None,
    ) -> None:
        """Describe a node; nothing is started.

        Args:
            tree: The root supervisor.
            nats: The NATS server, `nats://HOST:4222`, or "none" to stay in this process; as the settings say by
                default.
            settings: By default, what the environment says.
            transport: Used as it is, instead of one made from the settings; the node connects and closes it.
            log: A structlog logger; by default, one of the node's own.

        Raises:
            SpecError: `tree` is no supervisor.
            SettingsError: A setting is unknown or malformed.
        """
        if not isinstance(tree, Supervisor):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise SpecError(
                f"Node() takes a Supervisor and not {tree!r}.", "write Node(Supervisor('app', child(...)))."
            )
        chosen = settings if settings is not None else Settings.from_environment()
        if nats is not None:
            chosen = msgspec.structs.replace(chosen, nats_url=nats)
            chosen.__post_init__()
        self._tree = tree
        self._settings = chosen
        self._name = chosen.name()
        base = make_logger(chosen.log_level, chosen.log_format) if log is None else log
        self._log: Logger = base.bind(node=self._name)
        self._transport = transport if transport is not None else _transport_for(chosen)
        self._life: Life | None = None
        self._watchdog: Watchdog | None = None  # only where the node is the process
        self._exit: AbstractAsyncContextManager[None] | None = None

    # Use

    @property
    def name(self) -> str:
        """How the node is called in logs."""
        return self._name

    @property
    def id(self) -> str:
        """What tells this node, in this life, from all others.

        Raises:
            NotRunning: The node is not running.
        """
        return self._running().me.id

    @property
    def is_ready(self) -> bool:
        """Whether the tree runs, and the broker is there."""
        life = self._life
        return life is not None and life.is_running and not life.host.draining and self._transport.is_connected

    @overload
    def ref(self, target: type[A], name: str | None = None, *, prefer_local: bool | None = None) -> A: ...
    @overload
    def ref(self, target: type[Referable[R]], name: str) -> R: ...
    def ref(self, target: Any, name: str | None = None, *, prefer_local: bool | None = None) -> Any:
        """Return a ref to an actor, on this node or any other, or to a child of this node; see `Actor.ref`."""
        return ref_to(self._running(), target, name, prefer_local=prefer_local)

    async def publish(self, subject: str, value: Any) -> None:
        """Publish an event; see `Actor.publish`."""
        await self._running().publish(subject, value)

    def statistics(self) -> dict[str, CellStatistics]:
        """Return, for each actor that has been started here, what it has done so far."""
        return {cell.name: cell.statistics() for cell in self._running().registry}

    def tree(self) -> NodeTree:
        """Return the live tree as data: what runs, since when, how often it crashed, and what waits in its mailbox.

        Raises:
            NotRunning: The node is not running.
        """
        life = self._life
        if life is None or not life.is_running:
            raise NotRunning(_NOT_RUNNING)
        return life.describe()

    def nodes(self) -> tuple[NodeInfo, ...]:
        """Return the other nodes of this namespace that are there, in the order in which they were met.

        While the broker is away nobody is counted as gone.

        Raises:
            NotRunning: The node is not running.
        """
        return self._running().control.nodes()

    def on_dead_letter(self, subscriber: Callable[[DeadLetter], None]) -> Callable[[], None]:
        """Have `subscriber` called with each cast and event that is dropped on this node.

        It is called where the message is dropped, a hundred thousand times a second if it has to be: it must neither
        wait nor work. If it raises, that is logged, and it is called again for the next one.

        Returns:
            What ends that.

        Raises:
            NotRunning: The node is not running.
        """
        return self._running().control.on_dead_letter(subscriber)

    # What can be done to what runs here

    async def stop(self, target: "Actor | HasPath", reason: Exit = _NORMAL) -> None:
        """End an actor, a function or a supervisor, and wait until it is gone; what then, its spec says.

        Args:
            target: A ref.
            reason: Why; `Killed()` cancels it at once.

        Raises:
            NoActor: Nothing runs there, on this node.
            ValueError: A path is the end of several.
        """
        await self._running().control.stop(target, reason)

    async def suspend(self, actor: Actor) -> None:
        """Let `actor` take no more messages, after the one in hand; they wait. It can be stopped all the same.

        The next incarnation takes messages again, and so does every actor when the node drains.

        Raises:
            NoActor: No such actor runs on this node.
        """
        await self._running().control.suspend(actor)

    async def resume(self, actor: Actor) -> None:
        """Let a suspended `actor` take messages again.

        Raises:
            NoActor: No such actor runs on this node.
        """
        await self._running().control.resume(actor)

    async def get_state(self, actor: Actor) -> dict[str, Any]:
        """Return a copy of the attributes of `actor`, in plain types, as it is between two messages.

        For tests and operators: an actor's state is its own. What is of no plain type is shown as its `repr`.

        Raises:
            NoActor: No such actor runs on this node.
            Stopping: It ended before it came to that.
        """
        return await self._running().control.get_state(actor)

    def _running(self) -> NodeHost:
        if self._life is None or not self._life.is_running:
            raise NotRunning(_NOT_RUNNING)
        return self._life.host

    # Start and stop

    async def __aenter__(self) -> Self:
        """Connect, and start the tree; return when every child has started and the broker knows of it.

        Raises:
            ConnectFailed: There is no broker.
            StartFailed: A child did not start.
        """
        if self._life is not None:
            raise NotRunning("a node is used once: make another Node(tree).")
        self._life = Life(self._tree, self._settings, self._transport, self._log)
        if self._watchdog is not None:
            self._life.on_stopping = self._watchdog.must_end_within
        self._exit = self._life.run()
        await self._exit.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Drain the mailboxes, stop the tree in reverse, and close the connection.

        Raises:
            TreeFailed: The root supervisor had given up; the block was cancelled for that.
        """
        assert self._exit is not None
        return await self._exit.__aexit__(kind, error, trace)

    # The node as a process

    async def serve(self) -> None:
        """Run until SIGINT, SIGTERM or SIGHUP, and stop in order; a second signal stops at once.

        Raises:
            ConnectFailed: There is no broker.
            StartFailed: A child did not start.
            TreeFailed: The root supervisor gave up, or there was a second signal.
            SystemExit: An actor, or another child, raised it; the tree has been stopped in order.
        """
        stop = anyio.Event()
        failure: CliffracerError | SystemExit | KeyboardInterrupt | None = None
        async with anyio.create_task_group() as tasks:
            with anyio.CancelScope() as starting:
                # Heard from before the start until after the end, whatever is cancelled between.
                await tasks.start(self._heed_signals, stop, starting)
                try:
                    async with self:
                        if self._watchdog is not None:
                            gc.freeze()
                        await stop.wait()
                except (CliffracerError, SystemExit, KeyboardInterrupt) as error:
                    failure = error  # raised below: the task group would wrap it
            tasks.cancel_scope.cancel()
        # A tree that shut itself down is done; so is the process.
        if failure is not None and not (isinstance(failure, TreeFailed) and failure.is_clean):
            raise failure

    async def _heed_signals(
        self, stop: anyio.Event, starting: anyio.CancelScope, *, task_status: TaskStatus[None]
    ) -> None:
        with anyio.open_signal_receiver(*_SIGNALS) as signals:
            task_status.started()
            async for number in signals:
                life = self._life
                if stop.is_set() and life is not None:
                    life.stop_at_once(signal.Signals(number).name)
                elif life is None or not life.is_running:
                    self._log.warning("node_start_interrupted", signal=signal.Signals(number).name)
                    stop.set()
                    starting.cancel()
                else:
                    stop.set()

    async def _serve_watched(self) -> None:
        """Serve, and end the process the hard way if the tree does not end within its own worst case."""
        failure: CliffracerError | SystemExit | KeyboardInterrupt | None = None
        async with anyio.create_task_group() as tasks:
            self._watchdog = Watchdog(self._log)
            tasks.start_soon(self._watchdog.run)
            try:
                await self.serve()
            except (CliffracerError, SystemExit, KeyboardInterrupt) as error:
                failure = error  # raised below: the task group would wrap it
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    def run(self) -> None:
        """Be the process: run until SIGINT, SIGTERM or SIGHUP.

        While it runs, what was there when the tree was up is exempt from garbage collection (`gc.freeze`): it stays,
        and to go through all of it takes Python 10 ms and more, in which nothing else runs.

        Raises:
            SystemExit: With 1 if the node could not start or its tree gave up; the log says why. Or what an actor
                raised; the tree has been stopped in order.
            ServerError: The server that was to come with the node could not be started.
        """
        gc.collect()  # now, and not when the first callers wait
        try:
            run_on_asyncio(self._serve_watched)
        except ServerError:
            raise  # nothing has run yet; whoever asked for a server is told what to do
        except CliffracerError as error:
            self._log.critical("node_failed", reason=str(error))
            sys.exit(1)
        finally:
            gc.unfreeze()


def run_on_asyncio(function: Callable[[], Awaitable[T]]) -> T:
    """Run an async function on asyncio, on uvloop if that is installed, and return what it returns."""
    return anyio.run(
        function, backend="asyncio", backend_options={"use_uvloop": importlib.util.find_spec("uvloop") is not None}
    )


def _transport_for(settings: Settings) -> Transport:
    return NatsTransport(settings.nats_options()) if settings.servers() else LocalTransport()
