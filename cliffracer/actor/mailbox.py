"""The bounded queue in front of an actor.

It belongs to the name, not to the incarnation: what waits in it survives a restart. Signals overtake messages and
take no room.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from math import inf
from typing import Literal

import anyio
from msgspec import Struct

from cliffracer.actor.waiters import Waiter
from cliffracer.envelope import Message, Signal

__all__ = ["Mailbox", "MailboxStatistics", "MessageQueue", "QueueCleared", "QueueFull", "WhenFull"]

WhenFull = Literal["drop_new", "drop_old"]


class Mailbox(Struct, frozen=True, forbid_unknown_fields=True):
    """How much an actor's mailbox holds, and what happens to casts and events from other nodes when it is full.

    Calls from other nodes are refused with `MailboxFull` in either case, and local senders wait; so this is for
    messages that nobody waits for. Each one dropped is counted and logged.

    Attributes:
        capacity: Messages, not bytes.
        when_full: "drop_new" drops the one that arrives, "drop_old" the oldest one that nobody waits for.
    """

    capacity: int = 1000
    when_full: WhenFull = "drop_new"

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: A value is out of range.
        """
        if type(self.capacity) is not int or self.capacity < 1:
            raise ValueError(
                f"Mailbox(capacity=...) takes a whole number of messages, 1 or more, not {self.capacity!r}"
            )
        if self.when_full not in ("drop_new", "drop_old"):
            raise ValueError(f"Mailbox(when_full=...) takes 'drop_new' or 'drop_old', not {self.when_full!r}")


class MailboxStatistics(Struct, frozen=True):
    """What a mailbox holds at the moment, and what it had to drop so far."""

    depth: int
    capacity: int
    senders_waiting: int
    dropped: int


_NO_MESSAGES: deque[Message] = deque(maxlen=0)
_NO_TICKS: frozenset[str] = frozenset()


class QueueFull(Exception):
    """There is no room; nothing was queued."""


class QueueCleared(Exception):
    """The queue was cleared while a sender waited for room; its message was not queued."""


class MessageQueue:
    """The queue itself: any number of senders, one receiver."""

    __slots__ = (
        "_arrived",
        "_dropped",
        "_limit",
        "_new_waiter",
        "_senders",
        "_ticks",
        "_turned_away",
        "messages",
        "options",
        "signals",
    )

    def __init__(self, options: Mailbox, new_waiter: Callable[[], Waiter]) -> None:
        self.options = options
        # Ticks wait among the messages, but take no room: this rises with each of them.
        self._limit = options.capacity
        self._new_waiter = new_waiter
        # An empty container is over half a kilobyte, and there may be a hundred thousand idle actors.
        self.messages: deque[Message] = _NO_MESSAGES
        """What waits, the first one first; for reading alone."""
        self.signals: list[Signal] | None = None
        """The signals that wait; for reading alone."""
        # Who waits for room, with what; first come, first served.
        self._senders: OrderedDict[anyio.Event, Message] | None = None
        self._turned_away: set[anyio.Event] | None = None
        self._ticks = _NO_TICKS
        self._arrived: Waiter | None = None
        self._dropped = 0

    def offer(self, message: Message) -> int:
        """Queue `message`, if there is room.

        Returns:
            How many messages there was room for: 0 if it was not queued, 1 if it took the last place.
        """
        messages = self.messages
        room = self._limit - len(messages)
        if room <= 0 or self._senders:
            return 0
        if messages is _NO_MESSAGES:
            messages = self.messages = deque()
        messages.append(message)
        if self._arrived is not None:
            self.poke()
        return room

    def _append(self, message: Message) -> None:
        if self.messages is _NO_MESSAGES:
            self.messages = deque()
        self.messages.append(message)

    async def put(self, message: Message, give_up: float = inf) -> None:
        """Queue `message`; wait for room if there is none, until the time `give_up` on the clock of the event loop.

        Raises:
            QueueFull: There was no room all the time; `message` is not queued.
            QueueCleared: The queue was cleared meanwhile; `message` is not queued.

        Cancellation: `message` is not queued, or no more, unless the actor has it already.
        """
        if self.offer(message):
            return
        queued = anyio.Event()
        senders = self._senders = self._senders or OrderedDict()
        senders[queued] = message
        try:
            with anyio.CancelScope(deadline=give_up):
                await queued.wait()
            if senders.pop(queued, None) is not None:
                raise QueueFull
            if self._turned_away and queued in self._turned_away:
                self._turned_away.discard(queued)
                raise QueueCleared
        except anyio.get_cancelled_exc_class():
            if senders.pop(queued, None) is None and message in self.messages:
                # There was room in the very turn in which the sender gave up.
                self.messages.remove(message)
                self._let_next_in()
            raise

    def drop_for(self, message: Message) -> Message:
        """Make room for a `message` that nobody waits for; return what is dropped for it, which may be itself.

        Call it when `offer` has turned the message down.
        """
        self._dropped += 1
        if self.options.when_full == "drop_old" and not self._senders:
            for index, old in enumerate(self.messages):
                if old.reply_to is None and old.handler not in self._ticks:
                    del self.messages[index]
                    self.messages.append(message)
                    return old
        return message

    def note_drop(self) -> None:
        """Count a message that was dropped before it came here."""
        self._dropped += 1

    def put_tick(self, message: Message) -> None:
        """Queue a tick, unless the one before it still waits.

        It needs no room, so a full mailbox cannot stop the clock.
        """
        if message.handler not in self._ticks:
            self._ticks |= {message.handler}
            self._limit += 1
            self._append(message)
            self.poke()

    def put_signal(self, signal: Signal) -> None:
        """Queue `signal` ahead of every message."""
        if self.signals is None:
            self.signals = []
        self.signals.append(signal)
        self.poke()

    def next_signal(self) -> Signal:
        """Take the next signal out. There must be one."""
        assert self.signals is not None
        return self.signals.pop(0)

    def waiting(self) -> Iterator[Message]:
        """Yield one message after the other, each taken out, until there is none, or a signal waits.

        The next waiting sender is let in for each.
        """
        while self.messages and not self.signals:
            message = self.messages.popleft()
            if self._ticks and message.handler in self._ticks:
                self._ticks -= {message.handler}
                self._limit -= 1
            if self._senders:
                self._let_next_in()
            yield message

    def _let_next_in(self) -> None:
        if self._senders and len(self.messages) < self._limit:
            queued, waiting = self._senders.popitem(last=False)
            self._append(waiting)
            queued.set()

    def put_back(self, message: Message) -> None:
        """Put a message that was just taken back to its place, in front of all others."""
        self.messages.appendleft(message)

    def poke(self) -> None:
        """Wake the receiver, if it waits: there is something new."""
        arrived, self._arrived = self._arrived, None
        # It is done already if who waited for it was cancelled.
        if arrived is not None and not arrived.done():
            arrived.set_result(None)

    def arm(self) -> Waiter:
        """Return what wakes the receiver when there is something new.

        Await it only if there is neither a signal nor a message at this moment.
        """
        arrived = self._arrived = self._new_waiter()
        return arrived

    def clear(self) -> list[Message]:
        """Empty the queue, turn away the senders that wait, and return all that was in it but ticks."""
        left = [message for message in self.messages if message.handler not in self._ticks]
        self._dropped += sum(message.reply_to is None for message in left)
        self._turned_away = self._turned_away or set()
        for queued in self._senders or ():
            self._turned_away.add(queued)
            queued.set()
        self.messages, self._ticks, self._limit = _NO_MESSAGES, _NO_TICKS, self.options.capacity
        if self._senders:
            self._senders.clear()
        return left

    def clear_signals(self) -> None:
        """Forget the signals; they were meant for an incarnation that is gone."""
        self.signals = None

    def statistics(self) -> MailboxStatistics:
        """Return what the queue holds and what it dropped."""
        return MailboxStatistics(
            depth=len(self.messages),
            capacity=self.options.capacity,
            senders_waiting=len(self._senders or ()),
            dropped=self._dropped,
        )
