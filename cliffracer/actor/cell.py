"""The shell that survives restarts: name, mailbox, incarnation, statistics.

The registry and the refs hold the cell; the actor object inside comes and goes.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from math import inf
from typing import Any

import anyio
from msgspec import Struct

from cliffracer.actor.dead_letters import WhyDropped
from cliffracer.actor.handlers import HandlerTable
from cliffracer.actor.host import Host, Watched
from cliffracer.actor.mailbox import Mailbox, MailboxStatistics, MessageQueue, QueueCleared, QueueFull
from cliffracer.actor.tally import Tally
from cliffracer.envelope import Message, Stop
from cliffracer.errors import CallError, CallTimeout, MailboxFull, NoActor, Stopping
from cliffracer.exits import Exit
from cliffracer.observe.logs import Throttle
from cliffracer.observe.stacks import stack_of

__all__ = ["OPEN", "Cell", "CellState", "CellStatistics", "full_mailbox"]


class CellState(Enum):
    """What a cell does with a message."""

    VACANT = "vacant"  # nobody has started yet, or nobody will again: there is no such actor
    OPEN = "open"  # queued, also between two incarnations
    CLOSING = "closing"  # refused: the actor is being stopped


OPEN = CellState.OPEN
"""For those who ask with each message: in Python 3.11, to look up a member of an Enum takes as long as to queue one."""


class CellStatistics(Struct, frozen=True):
    """What an actor has done since its cell exists, all incarnations together.

    Attributes:
        name: The actor.
        state: What it does with a message.
        incarnation: How often it was started.
        in_hand: Messages that are being handled at this moment.
        handled: Messages that came to an end, whatever the end.
        answered_with_error: Of these, the ones that ended in a refusal or another declared error.
        crashed: Of these, the ones that crashed the actor.
        expired: Messages not started, because their caller had given up.
        rejected: Messages from outside that fitted no handler.
        turned_away: Calls from outside that found the mailbox full, or the actor about to stop; the callers were told.
        mailbox: What waits, and what was dropped.
    """

    name: str
    state: CellState
    incarnation: int
    in_hand: int
    handled: int
    answered_with_error: int
    crashed: int
    expired: int
    rejected: int
    turned_away: int
    mailbox: MailboxStatistics


_NO_TALLIES: Mapping[str, Tally] = {}


class Cell:
    """One named actor of this node, dead or alive. Meets `Destination`."""

    __slots__ = (
        "_drop_reports",
        "_drops_reported",
        "_host",
        "_idle",
        "answered_with_error",
        "beside",
        "crashed",
        "description",
        "expired",
        "handlers",
        "in_hand",
        "incarnation",
        "is_free",
        "name",
        "owner",
        "process",
        "queue",
        "rejected",
        "started_at",
        "state",
        "suspended",
        "tallies",
        "turned_away",
    )

    def __init__(
        self, name: str, handlers: HandlerTable, mailbox: Mailbox, host: Host, *, description: str = ""
    ) -> None:
        self.name = name
        self.description = description  # one line, for people
        self.handlers = handlers
        self.queue = MessageQueue(mailbox, host.timers.new_waiter)
        self.state = CellState.VACANT
        self.owner = ""  # the path of the child whose actor this is, or was last
        self.is_free = True  # whether another child may take the name
        self.process: Watched | None = None  # the incarnation that runs
        self.incarnation = 0
        self.suspended = False  # takes no messages, though it runs
        self.beside: dict[int, anyio.TaskHandle[None]] | None = None  # tasks of concurrent handlers
        self.in_hand = 0  # messages being handled at this moment
        self.started_at: float | None = None  # the first of all incarnations, on the node's clock
        # By handler, each made with the first message: most of a hundred thousand idle actors get none.
        self.tallies = _NO_TALLIES
        self.answered_with_error = 0
        self.crashed = 0
        self.expired = 0
        self.rejected = 0
        self.turned_away = 0
        self._host = host
        self._idle: anyio.Event | None = None
        self._drops_reported = 0
        self._drop_reports: Throttle | None = None

    @property
    def is_here(self) -> bool:
        """Whether this node has such an actor, be it between two incarnations or about to stop."""
        return self.state is not CellState.VACANT

    # Sending

    async def call(self, message: Message, give_up: float) -> Any:
        """Queue `message` and wait for its answer; see `Destination.call`."""
        timers = self._host.timers
        reply = message.reply_to = timers.new_reply()
        if self.state is not OPEN or not self.queue.offer(message):
            await self._enqueue(message, give_up)
        if give_up == inf:
            return await reply.wait()
        timer = timers.at(give_up, lambda: reply.fail(CallTimeout(message.target, _NO_ANSWER)))
        try:
            return await reply.wait()
        finally:
            timer.cancel()

    async def cast(self, message: Message) -> None:
        """Queue `message`; wait for room if there is none, for as long as a call would. See `Destination.cast`."""
        if self.state is not OPEN or not self.queue.offer(message):
            await self._enqueue(message, self._host.timers.clock() + self._host.call_timeout)

    def cell_for(self, message: Message) -> "Cell":
        """Return this cell; a pool returns one of its members."""
        del message
        return self

    def refuse(self, message: Message) -> CallError | None:
        """Return why this cell takes no messages at the moment, or None if it does."""
        if self.state is OPEN or (self.state is CellState.VACANT and self.process is not None):
            return None
        if self.state is CellState.CLOSING:
            return Stopping(message.target, "the actor is being stopped; the message was not handled")
        return NoActor(message.target, f"no actor {self.name!r} runs on this node")

    async def _enqueue(self, message: Message, give_up: float) -> None:
        if self.state is not OPEN and (error := self.refuse(message)) is not None:
            raise error
        try:
            await self.queue.put(message, give_up)
        except QueueFull:
            raise full_mailbox(message, self.queue.options.capacity) from None
        except QueueCleared:
            raise Stopping(message.target, "the actor was stopped before there was room for the message") from None

    # Living

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do: no message waits, and none is in hand."""
        return not self.in_hand and not self.queue.messages

    async def wait_idle(self) -> None:
        """Wait until there is nothing to do."""
        while not self.is_idle:
            self._idle = self._idle or anyio.Event()
            await self._idle.wait()

    def note_progress(self) -> None:
        """Wake whoever waits for this cell to be idle; the loop says so whenever it runs out of work."""
        if self._idle is not None and self.is_idle:
            self._idle.set()
            self._idle = None

    def request_stop(self, reason: Exit, *, ordered: bool = True) -> None:
        """Tell the incarnation to end after the message in its hands; see `Stop`."""
        self.queue.put_signal(Stop(reason, ordered=ordered))

    def kill(self) -> bool:
        """Leave it to who cancels the incarnation's task."""
        return False

    def stack(self) -> list[str]:
        """Return where the concurrent handlers stand, one after the other."""
        return [line for handle in (self.beside or {}).values() for line in stack_of(handle.coro)]

    def open(self) -> None:
        """Take messages from now on."""
        self.state = CellState.OPEN

    def close(self, *, for_good: bool) -> None:
        """Take no more messages, and answer those that wait.

        Args:
            for_good: Whether there will be no further incarnation: then there is no such actor any more.
        """
        self.state = CellState.VACANT if for_good else CellState.CLOSING
        self._fail(self.queue.clear())
        self.note_progress()

    def _fail(self, messages: Sequence[Message]) -> None:
        for message in messages:
            if message.reply_to is not None:
                message.reply_to.fail(Stopping(message.target, "the actor was stopped before it took the message"))
        self.report_drops([message for message in messages if message.reply_to is None], "stopped")

    # Counting

    def note_start(self, now: float) -> None:
        """Note that an incarnation has started; the first one counts."""
        if self.started_at is None:
            self.started_at = now

    def new_tally(self, handler: str) -> Tally:
        """Return the counters of a handler, made for its first message."""
        tally = Tally()
        self.tallies = {**self.tallies, handler: tally}
        return tally

    @property
    def handled(self) -> int:
        """Messages that came to an end, whatever the end."""
        return sum(tally.handled for tally in self.tallies.values())

    def report_drops(self, messages: Sequence[Message], why: WhyDropped) -> None:
        """Tell of messages that were dropped: each to the subscribers, and to the log at most once a second."""
        for message in messages:
            self._host.dead_letters.add(message, why)
        if not messages:
            return
        self._drop_reports = self._drop_reports or Throttle(1.0, self._host.timers.clock)
        if not self._drop_reports.ready():
            return
        total = self.queue.statistics().dropped
        since = max(len(messages), total - self._drops_reported)
        self._drops_reported = total
        self._host.log.warning(
            "messages_dropped",
            actor=self.name,
            count=since,
            total=total,
            capacity=self.queue.options.capacity,
            policy=why,
        )

    def statistics(self) -> CellStatistics:
        """Return what the actor has done so far."""
        return CellStatistics(
            name=self.name,
            state=self.state,
            incarnation=self.incarnation,
            in_hand=self.in_hand,
            handled=self.handled,
            answered_with_error=self.answered_with_error,
            crashed=self.crashed,
            expired=self.expired,
            rejected=self.rejected,
            turned_away=self.turned_away,
            mailbox=self.queue.statistics(),
        )


_NO_ANSWER = "no answer in time; the request may still be carried out"


def full_mailbox(message: Message, capacity: int) -> MailboxFull:
    """Return the error for a `message` that found no room."""
    return MailboxFull(
        message.target,
        f"{message.to!r} holds {capacity} of {capacity} messages; nothing was queued.\n"
        "Slow the senders, or raise mailbox=Mailbox(...) of the actor.",
    )
