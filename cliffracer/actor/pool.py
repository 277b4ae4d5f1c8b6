"""Several actors of one class behind one name, and which of them gets a message."""

from collections.abc import Callable
from math import inf
from typing import Any
from zlib import crc32

import msgspec

from cliffracer.actor.cell import OPEN, Cell
from cliffracer.actor.handlers import Handler, HandlerTable
from cliffracer.actor.host import Host
from cliffracer.envelope import Message
from cliffracer.errors import CallCycle, InvalidMessage, NoActor
from cliffracer.observe.logs import Throttle

__all__ = ["Pool", "partition_of"]


def partition_of(value: Any, size: int) -> int:
    """Return which of `size` members has the messages with this key: the same on every node, and in every process.

    Integers count round, as in Elixir's PartitionSupervisor; of everything else a checksum does.

    Raises:
        TypeError: `value` is nothing that could be encoded.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a local caller may well pass 3 where the handler says float
    if isinstance(value, int):
        return abs(value) % size
    data = value.encode() if isinstance(value, str) else msgspec.json.encode(value, order="deterministic")
    return crc32(data) % size


class Pool:
    """The name that the members share. Meets `Destination`."""

    def __init__(
        self,
        name: str,
        handlers: HandlerTable,
        members: tuple[str, ...],
        key: str | None,
        find: Callable[[str], Cell | None],
        *,
        description: str = "",
    ) -> None:
        """Put `members` behind `name`.

        Args:
            name: The pool's.
            handlers: Those of the class.
            members: The names of its actors.
            key: The parameter that decides; None for whichever has the least to do.
            find: Returns the cell of a name.
            description: What its actors say of themselves, in one line.
        """
        self.name = name
        self.description = description
        self.handlers = handlers
        self.members = members
        self.rejected = 0
        """Messages from outside that fitted no handler."""
        self._places = {} if key is None else {name: _place_of(handler, key) for name, handler in handlers.items()}
        self._key = key
        self.dropped = 0
        """Messages that nobody waited for, and whose member did not run."""
        self._find = find
        self._last = 0
        self._drops_reported = 0
        self._drop_reports: Throttle | None = None

    @property
    def is_here(self) -> bool:
        """A pool that is closed is not found any more."""
        return True

    async def call(self, message: Message, give_up: float) -> Any:
        """Have a member answer; see `Destination.call`."""
        cell = self.cell_for(message)
        if cell.name in message.chain:
            path = " -> ".join((*message.chain, cell.name))
            raise CallCycle(message.target, f"{path} would wait for itself.")
        return await cell.call(message, give_up)

    async def cast(self, message: Message) -> None:
        """Queue `message` at a member; see `Destination.cast`."""
        await self.cell_for(message).cast(message)

    def cell_for(self, message: Message) -> Cell:
        """Return the member that is to have `message`, and address it to that.

        Raises:
            InvalidMessage: Its key is nothing that could be encoded, always in the same way.
            NoActor: That member does not run, and is not about to.
        """
        try:
            number = self._least_busy() if self._key is None else self._by_key(message)
        except TypeError as error:
            why = f"the value of the key {self._key!r} cannot be told from others"
            raise InvalidMessage(message.target, why) from error
        message.to = self.members[number]
        cell = self._find(message.to)
        if cell is None:
            raise NoActor(message.target, f"no actor {message.to!r} runs on this node")
        return cell

    def cells(self) -> list[Cell]:
        """Return the cells of those members that have one."""
        return [cell for name in self.members if (cell := self._find(name)) is not None]

    def drop(self, message: Message, host: Host) -> None:
        """Count a message that nobody waits for, and whose member does not run; log it, at most once a second."""
        self.dropped += 1
        host.dead_letters.add(message, "stopped")
        self._drop_reports = self._drop_reports or Throttle(1.0, host.timers.clock)
        if self._drop_reports.ready():
            count, self._drops_reported = self.dropped - self._drops_reported, self.dropped
            host.log.warning(
                "messages_dropped", actor=message.to, count=count, total=self.dropped, capacity=0, policy="stopped"
            )

    def _by_key(self, message: Message) -> int:
        place = self._places[message.handler]
        if place is not None and place < len(message.args):
            value = message.args[place]
        else:
            assert message.kwargs is not None
            value = message.kwargs[self._key or ""]
        return partition_of(value, len(self.members))

    def _least_busy(self) -> int:
        # Whoever comes after the last one is asked first, so that idle members take turns.
        size, least = len(self.members), inf
        chosen = self._last
        for step in range(1, size + 1):
            number = (self._last + step) % size
            cell = self._find(self.members[number])
            if cell is None or cell.state is not OPEN:
                continue
            load = len(cell.queue.messages) + cell.in_hand
            if load < least:
                chosen, least = number, load
                if not load:
                    break
        self._last = chosen
        return chosen


def _place_of(handler: Handler, key: str) -> int | None:
    names = list(handler.signature.parameters)
    return names.index(key) if key in names else None
