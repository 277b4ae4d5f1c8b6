"""What surrounds the actors of one node: its clock, its cells, its way out and its way in. Meets `TreeHost`."""

from itertools import count
from secrets import token_hex
from typing import Any

from cliffracer.actor.cell import Cell
from cliffracer.actor.ref import Address, Destination
from cliffracer.actor.timers import Timers, running_clock
from cliffracer.codec import encode
from cliffracer.envelope import current_message, outgoing_context
from cliffracer.errors import TransportError
from cliffracer.names import subject_problem
from cliffracer.node.intake import Intake
from cliffracer.node.registry import Registry
from cliffracer.node.remote import RemoteActor, call_error_of
from cliffracer.node.settings import Settings
from cliffracer.observe.logs import Logger
from cliffracer.supervision.spec import ChildSpec
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
        self._remote: dict[tuple[str, int], RemoteActor] = {}
        self._transport = transport
        self._prefer_local = settings.prefer_local
        self._prefix = f"{settings.namespace}." if settings.namespace else ""
        self.intake = Intake(transport, self, self._prefix)
        self._correlation_prefix = token_hex(4)
        self._correlations = count(1)

    # For actors and refs

    def new_correlation(self) -> str:
        """Return a correlation id that no other request has, on any node."""
        return f"{self._correlation_prefix}-{next(self._correlations):x}"

    def route(self, address: Address) -> Destination:
        """Return where a message for `address` goes: its mailbox if it runs here, the transport otherwise."""
        prefer_local = self._prefer_local if address.prefer_local is None else address.prefer_local
        # A node that drains hears nothing more from outside, not even from itself.
        if prefer_local or self.draining:
            cell = self.registry.find(address.name)
            # A ref of another class goes the long way, where its messages are checked: they must not crash the actor.
            if cell is not None and cell.is_here and cell.handlers is address.handlers:
                return cell
        key = (address.name, id(address.handlers))
        remote = self._remote.get(key)
        if remote is None:
            if len(self._remote) >= _REMOTES_KEPT:
                self._remote.clear()
            remote = self._remote[key] = RemoteActor(self._transport, self._prefix, address, self.timers.clock)
        return remote

    async def publish(self, subject: str, value: Any) -> None:
        """Publish an event; see `Actor.publish`."""
        if "{" in subject:
            raise ValueError(f"cannot publish to {subject!r}: it holds a brace. Is the f of an f-string missing?")
        if problem := subject_problem(subject):
            raise ValueError(f"cannot publish to {subject!r}: {problem}.")
        payload = encode(value, "json")
        try:
            await self._transport.publish(subject, payload, headers=outgoing_context(current_message.get()))
        except TransportError as error:
            raise call_error_of(error, subject) from None

    # For supervisors

    def cell_of(self, spec: ChildSpec) -> Cell:
        """Return the cell of the actor that `spec` describes."""
        return self.registry.cell_of(spec, self)

    async def admit(self, cell: Cell) -> None:
        """Let messages come in, from here and from elsewhere."""
        cell.open()
        await self.intake.open(cell)

    def before_stop(self, cell: Cell) -> None:
        """Refuse what comes from now on if the node itself stops.

        Otherwise the mailbox waits for the next incarnation.
        """
        if self.stopping:
            cell.close(for_good=False)

    async def dismiss(self, cell: Cell) -> None:
        """Free the name: unsubscribe, and answer what waits."""
        await self.intake.close(cell)
        cell.close(for_good=True)
