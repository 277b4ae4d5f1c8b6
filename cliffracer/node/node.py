"""One process: a supervision tree, a transport, and the order in which they start and stop."""

import importlib.util
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

import anyio
import msgspec

from cliffracer.actor.actor import Actor, ref_to
from cliffracer.actor.cell import CellStatistics
from cliffracer.errors import CliffracerError, NotRunning, SpecError, StartFailed, TreeFailed
from cliffracer.exits import Exit, Killed, Shutdown
from cliffracer.node.host import NodeHost
from cliffracer.node.settings import Settings
from cliffracer.observe.logs import Logger, make_logger
from cliffracer.supervision.spec import Supervisor, worst_stop_time
from cliffracer.supervision.supervisor import SupervisorProcess
from cliffracer.transport.contract import Closed, ConnectionEvent, Disconnected, Reconnected, Transport, Trouble
from cliffracer.transport.local import LocalTransport
from cliffracer.transport.nats import NatsTransport

__all__ = ["Node"]

A = TypeVar("A", bound=Actor)
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


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
        self._host: NodeHost | None = None
        self._life: AbstractAsyncContextManager[None] | None = None
        self._body = anyio.CancelScope()
        self._failure: CliffracerError | None = None
        self._patience = anyio.CancelScope(shield=True)  # around stopping in order
        self._tree_scope = anyio.CancelScope(shield=True)  # around the tree

    # Use

    @property
    def name(self) -> str:
        """How the node is called in logs."""
        return self._name

    @property
    def is_ready(self) -> bool:
        """Whether the tree runs, and the broker is there."""
        return self._host is not None and not self._host.draining and self._transport.is_connected

    def ref(self, actor: type[A], name: str | None = None, *, prefer_local: bool | None = None) -> A:
        """Return a ref to an actor, on this node or any other; see `Actor.ref`."""
        return ref_to(self._running(), actor, name, prefer_local=prefer_local)

    async def publish(self, subject: str, value: Any) -> None:
        """Publish an event; see `Actor.publish`."""
        await self._running().publish(subject, value)

    def statistics(self) -> dict[str, CellStatistics]:
        """Return, for each actor that has been started here, what it has done so far."""
        return {cell.name: cell.statistics() for cell in self._running().registry}

    def _running(self) -> NodeHost:
        if self._host is None:
            raise NotRunning("the node is not running. Use it inside 'async with Node(tree) as node:'.")
        return self._host

    # Start and stop

    async def __aenter__(self) -> Self:
        """Connect, and start the tree; return when every child has started and the broker knows of it.

        Raises:
            ConnectFailed: There is no broker.
            StartFailed: A child did not start.
        """
        if self._life is not None:
            raise NotRunning("a node is used once: make another Node(tree).")
        self._life = self._live()
        await self._life.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Drain the mailboxes, stop the tree in reverse, and close the connection.

        Raises:
            TreeFailed: The root supervisor had given up; the block was cancelled for that.
        """
        assert self._life is not None
        return await self._life.__aexit__(kind, error, trace)

    @asynccontextmanager
    async def _live(self) -> AsyncGenerator[None, None]:
        host = NodeHost(self._transport, self._settings, self._log)
        raised: Exception | None = None
        try:
            await self._transport.connect(self._on_connection_event)
            self._log.info("broker_connected", url=self._transport.url)
            async with anyio.create_task_group() as tasks:
                root = SupervisorProcess(self._tree, host, self._tree.id)
                settled, ended = anyio.Event(), anyio.Event()
                tasks.start_soon(self._keep_tree, root, host, settled, ended)
                try:
                    await settled.wait()
                    if self._failure is None:
                        self._announce(host)
                        with self._body:
                            yield
                except Exception as error:  # noqa: BLE001 - the caller's own; it goes on below, outside the task group
                    raised = error
                finally:
                    await self._stop(host, root, ended)
        finally:
            self._host = None
            await self._transport.close()
            self._log.info("node_stopped", reason=str(self._failure or raised or "done"))
        if self._failure is not None:
            raise self._failure from raised
        if raised is not None:
            raise raised

    async def _keep_tree(
        self, root: SupervisorProcess, host: NodeHost, settled: anyio.Event, ended: anyio.Event
    ) -> None:
        """Run the tree to its end, shielded: whoever cancels the block has it stopped in order, and not torn down."""

        async def on_started() -> None:
            await self._transport.flush()  # the broker knows all subscriptions before anybody is told that we run
            self._host = host
            settled.set()

        reason: Exit = Killed()
        try:
            with self._tree_scope:
                async with anyio.create_task_group() as tasks:
                    await tasks.start(host.timers.run)
                    reason = await root.run(on_started)
                    tasks.cancel_scope.cancel()
        finally:
            if not host.stopping:
                self._fail(_why(self._tree.id, root, reason, started=self._host is not None))
            ended.set()
            settled.set()

    def _announce(self, host: NodeHost) -> None:
        self._log.info(
            "node_started",
            tree=self._tree.id,
            actors=[cell.name for cell in host.registry],
            broker=self._transport.url,
            namespace=self._settings.namespace,
        )

    async def _stop(self, host: NodeHost, root: SupervisorProcess, ended: anyio.Event) -> None:
        """Intake off, mailboxes emptied, tree stopped in reverse: in this order nothing that was accepted is lost."""
        with self._patience:
            if not ended.is_set():
                self._log.info("node_stopping", reason=str(self._failure or "asked to"), worst_case=self._worst_case())
                host.draining = True
                await host.intake.close_all()
                await self._drain(host)
                host.stopping = True
                root.request_stop(Shutdown())
                await ended.wait()
        host.stopping = True
        with anyio.CancelScope(shield=True):
            await ended.wait()
        for cell in host.registry:
            cell.close(for_good=False)

    def _stop_at_once(self, signal_name: str) -> None:
        """Kill the tree, and wait for nothing that can be left out."""
        self._log.warning("node_stopping_at_once", signal=signal_name)
        self._fail(TreeFailed(f"stopped at once by a second signal, {signal_name}: what had not been handled is lost"))
        self._patience.cancel()
        self._tree_scope.cancel()

    async def _drain(self, host: NodeHost) -> None:
        with anyio.move_on_after(self._settings.drain_timeout) as patience:
            # Handling one message may send others, so nobody is done until all are.
            while busy := [cell for cell in host.registry if not cell.is_idle]:
                for cell in busy:
                    await cell.wait_idle()
        if patience.cancelled_caught:
            names = [cell.name for cell in host.registry if not cell.is_idle]
            self._log.warning("node_drain_timed_out", seconds=self._settings.drain_timeout, busy=names)

    def _worst_case(self) -> float:
        return self._settings.drain_timeout + worst_stop_time(self._tree)

    def _fail(self, failure: CliffracerError) -> None:
        if self._failure is None:
            self._failure = failure
            self._body.cancel()

    def _on_connection_event(self, event: ConnectionEvent) -> None:
        match event:
            case Disconnected(url):
                self._log.warning("broker_disconnected", url=url)
            case Reconnected(url):
                self._log.info("broker_reconnected", url=url)
            case Trouble(error):
                self._log.warning("broker_error", error=error)
            case Closed(error):
                self._log.error("broker_closed", error=error)
                self._fail(TreeFailed(f"the broker closed the connection for good: {error}"))

    # The node as a process

    async def serve(self) -> None:
        """Run until SIGINT or SIGTERM, and stop in order; a second signal stops at once.

        Raises:
            ConnectFailed: There is no broker.
            StartFailed: A child did not start.
            TreeFailed: The root supervisor gave up, or there was a second signal.
        """
        stop = anyio.Event()
        failure: CliffracerError | None = None
        with anyio.CancelScope() as starting:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._heed_signals, stop, starting)
                try:
                    async with self:
                        await stop.wait()
                except CliffracerError as error:
                    failure = error  # raised below: the task group would wrap it
                tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _heed_signals(self, stop: anyio.Event, starting: anyio.CancelScope) -> None:
        with anyio.open_signal_receiver(*_SIGNALS) as signals:
            async for number in signals:
                if stop.is_set():
                    self._stop_at_once(signal.Signals(number).name)
                elif self._host is None:
                    stop.set()
                    starting.cancel()
                else:
                    stop.set()

    def run(self) -> None:
        """Be the process: run until SIGINT or SIGTERM.

        Raises:
            SystemExit: With 1 if the node could not start or its tree gave up; the log says why.
        """
        try:
            run_on_asyncio(self.serve)
        except CliffracerError as error:
            self.exit_failed(error)

    def exit_failed(self, error: CliffracerError) -> NoReturn:
        """Log why the node failed, and end the process with code 1.

        Raises:
            SystemExit: Always.
        """
        self._log.critical("node_failed", reason=str(error))
        sys.exit(1)


def run_on_asyncio(function: Any) -> Any:
    """Run an async function on asyncio, on uvloop if that is installed."""
    return anyio.run(
        function, backend="asyncio", backend_options={"use_uvloop": importlib.util.find_spec("uvloop") is not None}
    )


def _transport_for(settings: Settings) -> Transport:
    return NatsTransport(settings.nats_options()) if settings.servers() else LocalTransport()


def _why(id: str, root: SupervisorProcess, reason: Exit, *, started: bool) -> CliffracerError:
    if started:
        return TreeFailed(root.verdict or f"the root supervisor {id!r} ended: {reason}")
    return StartFailed(f"the tree {id!r} did not start: {reason}")
