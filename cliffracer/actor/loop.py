"""One incarnation of an actor, in three steps: start, receive, stop.

Here, and only here, an exception of user code becomes an answer or an exit.
"""

import secrets
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextvars import Context, copy_context
from itertools import islice
from math import inf
from time import perf_counter_ns
from typing import Any

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from cliffracer.actor.actor import Actor, ActorStart, Standing
from cliffracer.actor.cell import Cell
from cliffracer.actor.faults import crash_of, is_outside_force, leaving_in
from cliffracer.actor.handlers import Handler, Kind
from cliffracer.actor.host import Host
from cliffracer.actor.links import Down
from cliffracer.actor.nodes import NodeDown, NodeUp
from cliffracer.actor.state import plain
from cliffracer.actor.tally import Tally
from cliffracer.actor.timers import Timer
from cliffracer.envelope import (
    NOBODY,
    Fallen,
    Inspect,
    Message,
    NodeNews,
    Resume,
    Signal,
    Stop,
    Suspend,
    current_message,
)
from cliffracer.errors import ActorCrashed, CallError, CallTimeout, Ignore, Refusal, Upstream, snake_case
from cliffracer.exits import Crashed, Exit, Killed, summary_of
from cliffracer.observe.stacks import stack_of

__all__ = ["ANSWERED_LATER", "Incarnation"]

ANSWERED_LATER = object()
"""What a handler returns if somebody else has its `reply_to`, and answers in their own time: OTP's `noreply`."""

# After so long without a pause the loop lets others run: a full mailbox must not starve the rest of the process.
# Shorter turns would lose to the transport's reader, which takes in hundreds of messages in one of its.
_TURN = 5_000_000  # nanoseconds
# How many may follow each other that take longer than that: they will have waited, and let others run by themselves. To
# pause after each would cost each a turn of the event loop.
_LONG_ONES = 8
_MESSAGES_A_TURN = 1024  # under a virtual clock: what happens must not depend on how fast the machine is


class Incarnation:
    """One incarnation of an actor: `start` it, let it `live`."""

    __slots__ = (
        "_actor",
        "_answers",
        "_bound",
        "_cell",
        "_clock",
        "_counts_turns",
        "_crash",
        "_host",
        "_is_held_up",
        "_leaving",
        "_running",
        "_standing",
        "_start",
        "_stop_time",
        "_tasks",
        "_ticks",
        "context",
        "starts_at_once",
    )

    def __init__(
        self,
        cell: Cell,
        start: ActorStart,
        host: Host,
        *,
        incarnation: int = 1,
        stop_time: float = inf,
        at_once: bool = True,
    ) -> None:
        """Prepare; nothing runs.

        Args:
            cell: Where its messages come from.
            start: How to make the object.
            host: The node around it.
            incarnation: Its number.
            stop_time: Seconds that `on_stop` may take where nobody waits for it.
            at_once: Whether it may start in the task of who starts it, if nothing in its start waits.
        """
        cell.incarnation = incarnation
        cell.suspended = False
        cell.queue.clear_signals()
        self.starts_at_once = at_once and start.actor.on_start is Actor.on_start
        """Whether there is nothing in its start that would need a task of its own."""
        self.context: Context | None = None
        """In which it was started, if it was started at once; its task must run in it."""
        self._cell = cell
        self._start: ActorStart | None = start
        self._host = host
        self._stop_time = stop_time
        self._clock = host.timers.clock
        self._counts_turns = not host.timers.is_real
        self._standing = Standing(cell.name, incarnation, host, cell.queue)
        self._actor: Actor | None = None
        self._bound: dict[str, tuple[Callable[..., Awaitable[Any]], Tally]] = {}
        self._is_held_up = False  # as many tasks run beside as may
        self._answers = start.actor.answers
        self._ticks: dict[str, Timer] | None = None
        # Only actors with a concurrent handler pay for a task group.
        self._tasks: TaskGroup | None = None
        self._running: dict[str, int] | None = None
        self._crash: Crashed | None = None
        self._leaving: BaseException | None = None

    # Start

    async def start(self, on_started: Callable[[], Awaitable[None]]) -> Crashed | None:
        """Make the object and run `on_start`; return why that failed, or None if it has started.

        Args:
            on_started: Awaited when `on_start` has returned, before the first message is taken.

        Raises:
            Ignore: The actor declined to start.
        """
        try:
            if self.starts_at_once:
                # What `__init__` sets in the context is for this actor, and not for whoever starts it.
                self.context = copy_context()
                self.context.run(self._make)
            else:
                # Calls made here have no deadline but their own, and nobody but this actor waits for them.
                current_message.set(Message(self._cell.name, "on_start"))
                await self._make().on_start()
            await on_started()
        except BaseException as error:
            self._standing.release()
            if is_outside_force(error) or isinstance(error, Ignore):
                raise
            return self._crashed(error, "on_start")
        return None

    def _make(self) -> Actor:
        assert self._start is not None
        actor = self._actor = self._start.make(self._standing)
        self._start = None  # what it was made with is its own business from now on
        return actor

    async def live(self) -> Exit:
        """Take messages to the end, and return why it ended.

        Cancellation: the actor is killed: `on_stop` does not run, the caller of the message in hand gets
        `ActorCrashed`.
        """
        self.context = None
        try:
            self._start_ticking()
            if any(handler.concurrent > 1 for handler in self._cell.handlers.values()):
                stop = await self._receive_with_tasks()
            else:
                stop = await self._receive()
            return await self._stop(stop)
        finally:
            for timer in (self._ticks or {}).values():
                timer.cancel()
            self._standing.release()

    def _start_ticking(self) -> None:
        for handler in self._cell.handlers.values():
            if handler.kind is Kind.EVERY:
                self._tick_at(self._clock() + handler.seconds, handler)

    def _tick_at(self, when: float, handler: Handler) -> None:
        def tick() -> None:
            if self._host.draining:
                return
            self._cell.queue.put_tick(Message(self._cell.name, handler.name))
            # The next tick keeps the beat; beats that were missed altogether are skipped.
            self._tick_at(max(when + handler.seconds, self._clock()), handler)

        self._ticks = self._ticks or {}
        self._ticks[handler.name] = self._host.timers.at(when, tick)

    # Receive

    async def _receive(self) -> Stop:
        cell, queue = self._cell, self._cell.queue
        while True:
            if queue.signals:
                if (stop := await self._heed(queue.next_signal())) is not None:
                    return stop
            elif not queue.messages or cell.suspended or self._is_held_up:
                cell.note_progress()
                current_message.set(None)  # an idle actor holds on to nothing
                await queue.arm()
                self._is_held_up = False
            else:
                cell.in_hand += 1
                try:
                    messages = queue.waiting() if self._tasks is None else self._waiting_beside_tasks()
                    reason = await self._handle(messages)
                finally:
                    cell.in_hand -= 1
                if reason is not None:
                    return Stop(reason, ordered=False)
                if queue.messages and not queue.signals and not self._is_held_up:
                    await anyio.lowlevel.checkpoint()  # its turn is over

    async def _handle(self, messages: Iterator[Message]) -> Crashed | None:
        """Handle one message after the other, until there are no more, or until it is time to let others run.

        Return why the actor must end, or None if it lives.
        """
        bound, set_current = self._bound, current_message.set
        began = perf_counter_ns()
        ends = began + _TURN
        lasted = long_ones = 0
        if self._counts_turns:
            messages, ends = islice(messages, _MESSAGES_A_TURN), sys.maxsize
        for message in messages:
            if message.deadline != inf and message.deadline <= self._clock():
                self._expire(message)
                now, lasted = perf_counter_ns(), 0
            else:
                set_current(message)
                method, tally = bound.get(message.handler) or self._bind(message.handler)
                try:
                    args, kwargs = message.args, message.kwargs
                    result = await (method(*args) if kwargs is None else method(*args, **kwargs))
                    if message.reply_to is not None and result is not ANSWERED_LATER:
                        message.reply_to.answer(result)
                except BaseException as error:  # noqa: BLE001 - what comes from outside is raised again
                    if (reason := self._judge(message, error)) is not None:
                        return reason
                finally:
                    # Its time is that since the one before it: asking for the time costs as much as queuing does.
                    now = perf_counter_ns()
                    lasted, began = now - began, now
                    tally.handled += 1
                    tally.nanoseconds += lasted
                    message.args, message.kwargs = (), None  # see `Arrived`
                    if message.reply_to is not None:
                        message.reply_to = NOBODY
            if now >= ends:
                long_ones += 1
                if lasted < _TURN or long_ones == _LONG_ONES:
                    break
        return None

    def _expire(self, message: Message) -> None:
        self._cell.expired += 1
        if message.reply_to is not None:
            message.reply_to.fail(CallTimeout(message.target, _EXPIRED))

    def _judge(self, message: Message, error: BaseException) -> Crashed | None:
        """Answer a message whose handler raised; return why the actor must end, or None if it lives.

        What comes from outside is raised again.
        """
        if not is_outside_force(error):
            return self._failed(message, error)
        answer = ActorCrashed(message.target, _KILLED)
        self._note_error(message, answer)
        if message.reply_to is not None:
            message.reply_to.fail(answer)
        raise error

    def _bind(self, handler: str) -> tuple[Callable[..., Awaitable[Any]], Tally]:
        # With its first message: most of ten thousand sessions may never get one.
        tally = self._cell.tallies.get(handler) or self._cell.new_tally(handler)
        bound = getattr(self._actor, handler), tally
        self._bound[handler] = bound
        return bound

    def _failed(self, message: Message, error: BaseException) -> Crashed | None:
        if isinstance(error, self._answers):
            try:
                self._answer_with(message, error)
            except Exception as fault:  # noqa: BLE001 - the data, or the __str__, of somebody else
                error = fault  # a refusal that cannot be told, or encoded, is no answer
            else:
                return None
        self._cell.crashed += 1
        reason = self._crashed(error, message.handler)
        answer = ActorCrashed(message.target, _LOOK_UP.format(reason.incident), incident=reason.incident)
        self._note_error(message, answer)
        if message.reply_to is not None:
            message.reply_to.fail(answer)
        return reason

    def _note_error(self, message: Message, answer: CallError | Refusal) -> None:
        cell = self._cell
        tally = cell.tallies.get(message.handler) or cell.new_tally(message.handler)
        tally.note_error(answer, self._clock())

    def _answer_with(self, message: Message, error: Exception) -> None:
        """Answer with a declared exception; the actor lives."""
        self._cell.answered_with_error += 1
        answer: CallError | Refusal
        if isinstance(error, Refusal):
            answer = error
            self._standing.log.debug(
                "handler_answered_with_error", handler=message.handler, error=summary_of(error), incident=""
            )
        else:
            incident = error.incident if isinstance(error, CallError) and error.incident else secrets.token_hex(6)
            if isinstance(error, CallError):
                hop = error.target or "another actor"
                why = f"; {_FIND.format(error.incident)}" if error.incident else ""
                answer = Upstream(message.target, f"its call to {hop} failed: {error.code}{why}", incident=incident)
            else:
                # Somebody else's exception: its text was not written for callers, so only its kind goes out.
                answer = Refusal(f"{message.target}: {snake_case(type(error).__name__)} (incident {incident})")
            self._standing.log.warning(
                "handler_answered_with_error", handler=message.handler, error=summary_of(error), incident=incident
            )
        if message.reply_to is not None:
            message.reply_to.fail(answer)
        self._note_error(message, answer)

    def _crashed(self, error: BaseException, during: str) -> Crashed:
        reason = crash_of(error)
        # The outermost frame is this file's, always the same; the others are the user's.
        trace = error.__traceback__
        inner = (trace and trace.tb_next) or trace
        self._standing.log.error(
            "actor_crashed",
            during=during,
            incident=reason.incident,
            error=reason.error,
            exc_info=(type(error), error, inner),
        )
        return reason

    # Concurrent handlers

    async def _receive_with_tasks(self) -> Stop:
        stop = Stop(Killed())
        async with anyio.create_task_group() as self._tasks:
            try:
                stop = await self._receive()
            except BaseException as error:
                if (leaving := leaving_in(error)) is None:
                    raise
                self._leaving = leaving  # the group would wrap it
            if self._leaving is not None or isinstance(stop.reason, Crashed):
                self._tasks.cancel_scope.cancel()
        if self._leaving is not None:
            raise self._leaving
        return stop if self._crash is None else Stop(self._crash, ordered=False)

    def _waiting_beside_tasks(self) -> Iterator[Message]:
        """Yield what waits and is not for a concurrent handler; start a task for each message that is."""
        queue, handlers = self._cell.queue, self._cell.handlers
        for message in queue.waiting():
            limit = handlers[message.handler].concurrent
            if limit == 1:
                yield message
            elif not self._spawn(message, limit):
                # It stays in the mailbox, where a restart or a stop finds it.
                queue.put_back(message)
                self._is_held_up = True
                return

    def _spawn(self, message: Message, limit: int) -> bool:
        """Start a concurrent handler beside the others; return False if `limit` of its kind run already."""
        assert self._tasks is not None
        self._running = self._running or {}
        running = self._running.get(message.handler, 0)
        if running >= limit:
            return False
        self._running[message.handler] = running + 1
        self._cell.in_hand += 1
        handle = self._tasks.create_task(self._handle_beside(message), name=f"{self._cell.owner} {message.handler}")
        self._cell.beside = self._cell.beside or {}
        self._cell.beside[id(message)] = handle
        return True

    async def _handle_beside(self, message: Message) -> None:
        try:
            reason = await self._handle(iter((message,)))
            if reason is not None and self._crash is None:
                self._crash = reason
                # The object is not to be trusted any more: whatever else it works on ends here.
                assert self._tasks is not None
                self._tasks.cancel_scope.cancel()
        except BaseException as error:
            # Out of a task of its own it would tear the event loop down; so it leaves by way of the actor's.
            if (leaving := leaving_in(error)) is None:
                raise
            self._leaving = leaving
            assert self._tasks is not None
            self._tasks.cancel_scope.cancel()
        finally:
            assert self._running is not None
            self._running[message.handler] -= 1
            self._cell.in_hand -= 1
            if self._cell.beside is not None:
                self._cell.beside.pop(id(message), None)
            self._cell.note_progress()
            self._cell.queue.poke()

    # Signals

    async def _heed(self, signal: Signal) -> Stop | None:
        """Act on a signal; return what ends the actor, or None if it lives."""
        match signal:
            case Stop():
                return signal
            case Fallen():
                down = self._standing.bonds.down_of(signal)
                if down is not None:
                    return await self._tell("on_down", down)
            case NodeNews():
                change = self._standing.bonds.news_of(signal)
                if change is not None:
                    return await self._tell("on_node_change", change)
            case Suspend():
                self._cell.suspended = True
            case Resume():
                self._cell.suspended = False
            case Inspect(reply_to):
                reply_to.answer(self._state())
        return None

    async def _tell(self, hook: str, news: Down | NodeUp | NodeDown) -> Stop | None:
        """Run the hook that hears `news`; return what ends the actor, or None if it lives."""
        current_message.set(Message(self._cell.name, hook))
        try:
            await getattr(self._actor, hook)(news)
        except BaseException as error:
            if is_outside_force(error):
                raise
            return Stop(self._crashed(error, hook), ordered=False)
        return None

    def _state(self) -> dict[str, Any]:
        """Return a copy of the actor's attributes, in plain types; `repr` stands for what has none."""
        return {name: plain(value) for name, value in vars(self._actor).items() if name != "_standing"}

    # Stop

    async def _stop(self, stop: Stop) -> Exit:
        actor = self._actor
        assert actor is not None
        current_message.set(Message(self._cell.name, "on_stop"))
        self._standing.take_last_word()
        hook = actor.on_stop(stop.reason)
        try:
            if stop.ordered:
                await hook
            else:
                await self._limit(hook)
        except BaseException as error:
            if is_outside_force(error):
                raise
            return self._crashed(error, "on_stop")
        last_word = self._standing.take_last_word()
        return stop.reason if last_word is None or isinstance(stop.reason, Crashed) else last_word

    async def _limit(self, hook: Coroutine[Any, Any, None]) -> None:
        """Await `on_stop` of an actor that ends by itself: nobody else is there to see that it takes for ever."""
        with anyio.CancelScope() as scope:

            def cancel() -> None:
                self._standing.log.error("actor_stop_timed_out", seconds=self._stop_time, where=stack_of(hook))
                scope.cancel()

            timer = self._host.timers.at(self._clock() + self._stop_time, cancel)
            try:
                await hook
            finally:
                timer.cancel()


_EXPIRED = "its time had passed before the actor could take it; it was not handled"
_KILLED = "the actor was killed while it handled this message"
_FIND = "incident {} in the log of its node says why"
_LOOK_UP = "the actor crashed over this message; " + _FIND
