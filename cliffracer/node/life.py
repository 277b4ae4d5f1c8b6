"""The one life of a node: connect, start the tree, and in the end drain, stop and close, in the right order."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
from anyio.abc import TaskStatus

from cliffracer.actor.options import Backoff
from cliffracer.envelope import Resume
from cliffracer.errors import CliffracerError, StartFailed, TransportError, TreeFailed
from cliffracer.exits import Exit, Killed, Shutdown, is_clean
from cliffracer.node.connection import Connection
from cliffracer.node.host import NodeHost
from cliffracer.node.inspect import NodeTree, answer_tree_requests, tree_of
from cliffracer.node.micro import Services
from cliffracer.node.settings import Settings
from cliffracer.observe.logs import Logger
from cliffracer.supervision.children import child
from cliffracer.supervision.spec import Supervisor
from cliffracer.supervision.supervisor import SupervisorProcess
from cliffracer.transport.contract import Transport

__all__ = ["Life"]

OWN_PATH = "$node"  # where the node's own supervisor stands; no user's tree can be there


def _own_tree(connection: Connection, host: NodeHost) -> Supervisor:
    """Return what a node runs for itself, beside the user's tree.

    The back-off is longer than the intensity would need to be exceeded: there is no time after which doing without the
    broker would be better than another attempt.
    """
    backoff = Backoff(initial=0.5, maximum=5.0)
    return Supervisor(
        "node",
        child(connection.keep).replace(id="connection", backoff=backoff, shutdown=1.0),
        child(host.peers.run).replace(id="nodes", backoff=backoff, shutdown=1.0),
        child(host.monitors.run).replace(id="monitors", backoff=backoff, shutdown=2.0),
        max_restarts=9,
        max_seconds=1.0,
    )


_CLOSING = 10.0  # seconds that closing the connection may take


class Life:
    """Made when the node is entered: clock, events and cancel scopes belong to the running loop."""

    def __init__(self, tree: Supervisor, settings: Settings, transport: Transport, log: Logger) -> None:
        self.host = NodeHost(transport, settings, log)
        self.is_running = False
        self._tree = tree
        self._settings = settings
        self._transport = transport
        self._log = log
        self._root = SupervisorProcess(tree, self.host, tree.id)
        self._connection = Connection(transport, log, self.host.timers.clock)
        self._own = SupervisorProcess(_own_tree(self._connection, self.host), self.host, OWN_PATH)
        self._settled = anyio.Event()  # the tree has started, or failed to
        self._ended = anyio.Event()
        self._own_ended = anyio.Event()
        self._failure: CliffracerError | SystemExit | KeyboardInterrupt | None = None
        self.host.on_leave = self._leave
        self.on_stopping: Callable[[float], None] | None = None
        """Told, when the stop begins or is cut short, within how many seconds it must be over."""
        self._body = anyio.CancelScope()
        # Shielded: whoever cancels the block has the tree stopped in order, and not torn down.
        self._tree_scope = anyio.CancelScope(shield=True)
        self._stop_scope = anyio.CancelScope(shield=True)

    @asynccontextmanager
    async def run(self) -> AsyncGenerator[None, None]:
        """Live for the length of the block.

        Raises:
            ConnectFailed: There is no broker.
            StartFailed: A child did not start.
            TreeFailed: The root supervisor gave up; the block was cancelled for that.
            SystemExit: An actor, or another child, raised it; the tree has been stopped in order.
            KeyboardInterrupt: The same.
        """
        raised: Exception | None = None
        connected = False
        try:
            await self._connection.open()
            connected = True
            await self.host.peers.open()
            await self.host.monitors.open()
            self._connection.on_change = self.host.peers.connection_changed
            await answer_tree_requests(self._transport, self.host, self._settings.prefix(), self.describe)
            await Services(self._transport, self.host, self._settings, self._root).open()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._keep_tree)
                try:
                    await self._settled.wait()
                    if self._failure is None:
                        with self._body:
                            yield
                except Exception as error:  # noqa: BLE001 - the block's own; it goes on below, where no group wraps it
                    raised = error
                finally:
                    # In a task of its own: a shield holds off anyio's cancellation, but not asyncio's `Task.cancel()`
                    # of who waits here; that would leave the tree running, and the group waiting for it for ever.
                    tasks.start_soon(self._stop)
        finally:
            self.is_running = False
            try:
                with anyio.CancelScope(shield=True):
                    if not self._stop_scope.cancel_called:
                        self._must_end_within(_CLOSING)
                    await self._transport.close()
            finally:
                if connected:
                    self._log.info("node_stopped", reason=str(self._failure or raised or "done"))
        if self._failure is not None:
            raise self._failure from raised
        if raised is not None:
            raise raised

    def describe(self, max_children: int | None = None) -> NodeTree:
        """Return the tree as it is at this moment; see `tree_of`."""
        return NodeTree(
            node=self._settings.name(),
            namespace=self._settings.namespace,
            state="stopping" if self.host.draining else "running" if self.is_running else "starting",
            drain_timeout=self._settings.drain_timeout,
            root=tree_of(self._root, max_children=max_children),
            own=tree_of(self._own),
        )

    async def _keep_tree(self) -> None:
        reason: Exit = Killed()
        try:
            with self._tree_scope:
                async with anyio.create_task_group() as tasks:
                    await tasks.start(self.host.timers.run)
                    await tasks.start(self._keep_own)
                    reason = await self._root.run(self._on_started)
                    self._own.request_stop(Shutdown())
                    await self._own_ended.wait()
                    tasks.cancel_scope.cancel()
        finally:
            if not self.host.stopping:
                self._fail(self._why(reason))
            self._ended.set()
            self._settled.set()

    async def _keep_own(self, *, task_status: TaskStatus[None]) -> None:
        async def on_started() -> None:
            task_status.started()
            await anyio.lowlevel.checkpoint()

        await self._own.run(on_started)
        self._own_ended.set()

    def _leave(self, error: BaseException) -> None:
        if isinstance(error, SystemExit | KeyboardInterrupt):
            self._fail(error)
            self._settled.set()

    async def _on_started(self) -> None:
        try:
            # The broker knows all subscriptions before anybody is told that the tree runs.
            await self._transport.flush()
        except TransportError as error:
            self._fail(StartFailed(f"the tree {self._tree.id!r} has started, but the broker has gone: {error}"))
        else:
            self.is_running = True
            self._log.info(
                "node_started",
                tree=self._tree.id,
                actors=[cell.name for cell in self.host.registry],
                broker=self._transport.url,
                namespace=self._settings.namespace,
            )
        self._settled.set()

    def _why(self, reason: Exit) -> CliffracerError:
        if self.is_running:
            reports = self._root.reports
            why = reports.verdict or f"the tree {self._tree.id!r} ended: {reason}"
            return TreeFailed(why, is_clean=is_clean(reason) and not reports.has_given_up)
        return StartFailed(f"the tree {self._tree.id!r} did not start: {reason}")

    def _fail(self, failure: CliffracerError | SystemExit | KeyboardInterrupt) -> None:
        if self._failure is None:
            self._failure = failure
            self._body.cancel()

    # Stop

    async def _stop(self) -> None:
        """Intake off, mailboxes emptied, tree stopped in reverse: in this order nothing that was accepted is lost."""
        host = self.host
        with self._stop_scope:
            if not self._ended.is_set():
                worst_case = self._settings.drain_timeout + tree_of(self._root).shutdown_seconds()
                why = repr(self._failure) if isinstance(self._failure, SystemExit) else str(self._failure or "asked to")
                self._log.info("node_stopping", reason=why, worst_case_seconds=worst_case)
                self._must_end_within(worst_case + tree_of(self._own).shutdown_seconds())
                host.draining = True
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._cancel_when_ended, tasks.cancel_scope)
                    await self._drain()
                    tasks.cancel_scope.cancel()
                host.stopping = True
                self._root.request_stop(Shutdown())
                await self._ended.wait()
        host.stopping = True
        with anyio.CancelScope(shield=True):
            await self._ended.wait()
        for cell in host.registry:
            cell.close(for_good=False)

    async def _cancel_when_ended(self, drain: anyio.CancelScope) -> None:
        await self._ended.wait()  # the tree gave up: there is nobody left who could empty a mailbox
        drain.cancel()

    async def _drain(self) -> None:
        for cell in self.host.registry:
            cell.queue.put_signal(Resume())  # what waits at a suspended actor was accepted, too
        with anyio.move_on_after(self._settings.drain_timeout) as patience:
            # A broker that holds the connection open and says nothing must not cost more than this, either.
            await self.host.intake.close_all()
            # Handling one message may send others, so nobody is done until all are.
            while busy := [cell for cell in self.host.registry if not cell.is_idle]:
                for cell in busy:
                    await cell.wait_idle()
        if patience.cancelled_caught:
            names = [cell.name for cell in self.host.registry if not cell.is_idle]
            self._log.warning("node_drain_timed_out", seconds=self._settings.drain_timeout, busy=names)

    def _must_end_within(self, seconds: float) -> None:
        if self.on_stopping is not None:
            self.on_stopping(seconds + self._settings.kill_grace)

    def stop_at_once(self, signal_name: str) -> None:
        """Kill the tree, and wait for nothing that can be left out."""
        self._must_end_within(0.0)
        self._log.warning("node_stopping_at_once", signal=signal_name)
        self._fail(TreeFailed(f"stopped at once by a second signal, {signal_name}: what had not been handled is lost"))
        self._stop_scope.cancel()
        self._tree_scope.cancel()
