"""What surrounds the actors of one node: its clock, its cells, its way out and its way in. Meets `TreeHost`."""

from collections.abc import Callable
from secrets import token_hex
from typing import Any

from cliffracer.actor.cell import Cell
from cliffracer.actor.dead_letters import DeadLetters
from cliffracer.actor.host import Address, Destination, Target, TellDown
from cliffracer.actor.nodes import NodeDown, NodeInfo, NodeUp
from cliffracer.actor.ref import find_address, label_of
from cliffracer.actor.timers import Timers, running_clock
from cliffracer.codec import encode
from cliffracer.envelope import current_message, outgoing_context
from cliffracer.errors import TransportError
from cliffracer.node.control import Control
from cliffracer.node.intake import Intake
from cliffracer.node.monitors import Monitors
from cliffracer.node.peers import Peers
from cliffracer.node.registry import Registry
from cliffracer.node.remote import RemoteActor, call_error_of
from cliffracer.node.replies import Replies
from cliffracer.node.settings import Settings
from cliffracer.observe.logs import Logger
from cliffracer.supervision.process import ChildRecord, Process
from cliffracer.supervision.spec import ChildSpec, actors_at, paths_at, pools_at
from cliffracer.supervision.supervisor import SupervisorProcess
from cliffracer.transport.contract import Transport

__all__ = ["NodeHost"]

_REMOTES_KEPT = 1024


class NodeHost:
    """One life of a node; made when the node is entered, because its clock is that of the running loop."""

    def __init__(self, transport: Transport, settings: Settings, log: Logger) -> None:
        self.log = log
        self.timers = Timers(running_clock())
        self.timers.use_running_loop()
        self.call_timeout = settings.call_timeout
        self.registry = Registry()
        self.draining = False  # no more ticks
        self.stopping = False  # who stops now does not come back
        self.kill_grace = settings.kill_grace
        self.control = Control(self, settings.name())
        self.on_leave: Callable[[BaseException], None] | None = None
        self._remote: dict[tuple[str, int], RemoteActor] = {}
        self._transport = transport
        self._prefer_local = settings.prefer_local
        self._prefix = settings.prefix()
        self.dead_letters = DeadLetters(log, self.timers.clock)
        self.me = NodeInfo(token_hex(6), settings.name())
        self.replies = Replies(transport, self, settings.inboxes())
        self.peers = Peers(transport, self._prefix, self.me, settings.node_timeout, self.timers.clock, log)
        self.monitors = Monitors(transport, self._prefix, self.peers, self.replies, self._find_incarnation)
        self.intake = Intake(transport, self.replies, self, self._prefix, self.monitors.theirs.take_question)

    # For actors and refs

    def route(self, address: Address) -> Destination:
        """Return where a message for `address` goes: its mailbox if it runs here, the transport otherwise."""
        prefer_local = self._prefer_local if address.prefer_local is None else address.prefer_local
        # A node that drains hears nothing more from outside, not even from itself.
        if prefer_local or self.draining:
            cell = self.registry.find(address.name)
            # A ref of another class goes the long way, where its messages are checked: they must not crash the actor.
            if cell is not None and cell.handlers is address.handlers and (cell.is_here or _is_starting(cell)):
                return cell
            pool = self.registry.find_pool(address.name)
            if pool is not None and pool.handlers is address.handlers:
                return pool
        key = (address.name, id(address.handlers))
        remote = self._remote.get(key)
        if remote is None:
            if len(self._remote) >= _REMOTES_KEPT:
                self._remote.clear()
            remote = self._remote[key] = RemoteActor(
                self._transport, self._prefix, address, self.timers.clock, self.call_timeout
            )
        return remote

    async def publish(self, subject: str, value: Any) -> None:
        """Publish an event; see `Actor.publish`."""
        if "{" in subject:
            raise ValueError(f"cannot publish to {subject!r}: it holds a brace. Is the f of an f-string missing?")
        payload = encode(value, "json")
        try:
            context = outgoing_context(current_message.get())
            await self._transport.publish(subject, payload, headers=context, timeout=self.call_timeout)
        except TransportError as error:
            raise call_error_of(error, subject) from None

    # For links, monitors and administration

    def find_process(self, target: Target) -> Process | None:
        """Return the incarnation that `target` points to, or None if nothing runs there."""
        label = label_of(target)
        if find_address(target) is not None:
            pool_path = self.registry.path_of_pool(label)
            if pool_path is None:
                return self.find_process_of(label)
            label = pool_path
        record = self.registry.find_record(label)
        process = None if record is None else record.process
        return process if process is not None and process.has_started else None

    def place_of(self, target: Target) -> str:
        """Return a key for what `target` points to: the same for each ref to it."""
        label = label_of(target)
        if find_address(target) is not None:
            return f"actor {label}"
        record = self.registry.find_record(label)
        return f"child {label if record is None else record.path}"

    def find_process_of(self, name: str) -> Process | None:
        """Return the incarnation of the actor of this name, or None if none runs here."""
        cell = self.registry.find(name)
        process = None if cell is None else cell.process
        return process if isinstance(process, Process) else None

    def _find_incarnation(self, name: str) -> tuple[Process, int] | None:
        """Return what runs here under the name of an actor or of a pool, with the number of its incarnation."""
        pool_path = self.registry.path_of_pool(name)
        record = None if pool_path is None else self.registry.find_record(pool_path)
        process = self.find_process_of(name) if record is None else record.process
        return None if process is None or not process.has_started else (process, process.record.incarnation)

    def watch_elsewhere(self, name: str, tell: TellDown) -> Callable[[], None]:
        """Have `tell` called when the actor of this name ends, on another node; return what ends the watch."""
        return self.monitors.watch(name, tell)

    def watch_nodes(self, tell: Callable[[NodeUp | NodeDown], None]) -> Callable[[], None]:
        """Have `tell` called for each node that joins or goes; return what ends the watch."""
        return self.peers.watch(tell)

    def find_supervisor(self, path: str) -> SupervisorProcess:
        """Return the supervisor at `path`."""
        return self.registry.find_supervisor(path)

    def is_root(self, path: str) -> bool:
        """Tell whether the root supervisor is at `path`."""
        return self.registry.root_path == path

    # For supervisors

    def record_of(self, path: str) -> ChildRecord:
        """Return what is known of the child at `path`."""
        return self.registry.record_of(path)

    def forget(self, spec: ChildSpec[Any], path: str) -> None:
        """Forget the child at `path`, and what was below it."""
        for part_path in paths_at(spec, path):
            self.registry.forget(part_path)

    def supervisor_started(self, supervisor: SupervisorProcess) -> None:
        """A supervisor is about to start its children."""
        self.registry.add_supervisor(supervisor)

    def supervisor_ended(self, supervisor: SupervisorProcess) -> None:
        """A supervisor is gone."""
        self.registry.remove_supervisor(supervisor)

    def process_started(self, process: Process) -> None:
        """A child has started."""
        process.started_at = self.timers.clock()

    def process_ended(self, process: Process) -> None:
        """A child has ended."""
        if process.record.last_crash is process.reason:
            process.record.last_crash_at = self.timers.clock()

    def require_free(self, spec: ChildSpec[Any], path: str) -> None:
        """Check that no other child has an actor of a name in `spec`."""
        for pool_path, inner in pools_at(spec, path):
            self.registry.require_free(str(inner.name), pool_path)
        for actor_path, actor in actors_at(spec, path):
            self.registry.require_free(str(actor.name), actor_path)

    def claim(self, spec: ChildSpec[Any], path: str) -> Cell:
        """Return the cell of the actor that `spec` describes."""
        return self.registry.claim(spec, path, self)

    async def admit(self, cell: Cell) -> None:
        """Let messages come in, from here and from elsewhere."""
        cell.open()
        if not self.registry.is_pooled(cell):
            await self.intake.open(cell)

    def before_stop(self, cell: Cell) -> None:
        """Refuse what comes from now on if the node itself stops.

        Otherwise the mailbox waits for the next incarnation.
        """
        if self.stopping:
            cell.close(for_good=False)

    async def dismiss(self, spec: ChildSpec[Any], path: str, *, forget: bool) -> None:
        """Free the names: unsubscribe, and answer what waits."""
        for pool_path, inner in pools_at(spec, path):
            pool = self.registry.remove_pool(str(inner.name), pool_path)
            if pool is not None:
                await self.intake.close(pool)
        for actor_path, actor in actors_at(spec, path):
            cell = self.registry.release(str(actor.name), actor_path, forget=forget)
            if cell is not None:
                await self.intake.close(cell)
                cell.close(for_good=True)

    async def open_pool(self, spec: ChildSpec[Any], path: str) -> None:
        """Let messages come in to a pool; its members have started."""
        await self.intake.open(self.registry.add_pool(spec, path))

    # For the end

    def leave(self, error: BaseException) -> None:
        """The program is to end, in order, for SystemExit or KeyboardInterrupt."""
        if self.on_leave is not None:
            self.on_leave(error)


def _is_starting(cell: Cell) -> bool:
    """Tell whether it is the actor in `cell` that asks, in its `on_start`: what it sends itself waits for it."""
    current = current_message.get()
    return cell.process is not None and current is not None and current.to == cell.name
