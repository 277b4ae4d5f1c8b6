"""What arrives from the transport: decoded, checked, put into the mailbox, or refused at once.

It all happens in the transport's own loop, beside the actors, so the callers of a busy one hear of a full mailbox at
once.
"""

from collections.abc import Callable, Sequence

import anyio

from cliffracer.actor.cell import OPEN, Cell, full_mailbox
from cliffracer.actor.handlers import Handler, Kind
from cliffracer.actor.host import Host
from cliffracer.actor.pool import Pool
from cliffracer.codec import wire_of
from cliffracer.envelope import Arrived, Message, unpack_context
from cliffracer.errors import (
    CallCycle,
    CallError,
    InvalidMessage,
    NoActor,
    UnknownHandler,
)
from cliffracer.exits import summary_of
from cliffracer.node.monitors import MONITOR
from cliffracer.node.replies import RemoteReply, Replies
from cliffracer.observe.logs import Throttle, shortened
from cliffracer.transport.contract import Headers, Sink, Subscription, Transport

__all__ = ["Intake"]


class Intake:
    """The subscriptions of one node's actors."""

    def __init__(
        self,
        transport: Transport,
        replies: Replies,
        host: Host,
        prefix: str,
        on_monitor: Callable[[str, bytes, str], None],
    ) -> None:
        """Prepare; nothing is subscribed.

        Args:
            transport: Where messages come from.
            replies: Where the answers go.
            host: The node around.
            prefix: The namespace with its dot, or nothing.
            on_monitor: Told that another node wants to monitor an actor: its name, payload and reply subject.
        """
        self._on_monitor = on_monitor
        self._transport = transport
        self._replies = replies
        self._host = host
        self._prefix = prefix
        self._subscriptions: dict[str, tuple[Subscription, ...]] = {}
        self._closed = False

    async def open(self, cell: Cell | Pool) -> None:
        """Subscribe to all that `cell` is to hear; does nothing if that is done already, or if the node stops."""
        if self._closed or cell.name in self._subscriptions:
            return
        subscriptions: list[Subscription] = []
        try:
            await self._subscribe(cell, subscriptions)
        except BaseException:
            # All or nothing: the next attempt begins anew.
            with anyio.CancelScope(shield=True):
                await _drain(subscriptions)
            raise
        await self._keep(cell.name, subscriptions)

    async def _keep(self, name: str, subscriptions: list[Subscription]) -> None:
        if self._closed:  # while they were made
            await _drain(subscriptions)
        else:
            self._subscriptions[name] = tuple(subscriptions)

    async def _subscribe(self, cell: Cell | Pool, subscriptions: list[Subscription]) -> None:
        group = f"{self._prefix}{cell.name}" if self._prefix else cell.name
        door = _Door(cell, self._replies, self._host, len(group) + 1, self._on_monitor)
        # Also of an actor that hears events alone: others may want to monitor it.
        subscriptions.append(await self._transport.subscribe(f"{group}.*", door.take_addressed, queue=group))
        for handler in cell.handlers.values():
            if handler.pattern is not None:
                # NATS gives a message to one member of a queue group whatever the patterns, so
                # each handler needs its own.
                queue = f"{group}.{handler.name}" if handler.to == "one" else ""
                subscriptions.append(
                    await self._transport.subscribe(handler.pattern.subject, door.event_sink(handler), queue=queue)
                )

    async def close(self, cell: Cell | Pool) -> None:
        """Unsubscribe; when this returns, all that had been routed here is in the mailbox, and no more comes."""
        await _drain(self._subscriptions.pop(cell.name, ()))

    async def close_all(self) -> None:
        """Unsubscribe everybody, for good; see `close`."""
        self._closed = True
        await _drain([subscription for several in self._subscriptions.values() for subscription in several])
        self._subscriptions.clear()


async def _drain(subscriptions: Sequence[Subscription]) -> None:
    """End all of them; many at once, for each may have to wait for the broker."""
    left = iter(subscriptions)

    async def drain_some() -> None:
        for subscription in left:
            await subscription.drain()

    if len(subscriptions) <= 1:  # no task for what nearly every actor has
        await drain_some()
        return
    async with anyio.create_task_group() as tasks:
        for _ in range(min(len(subscriptions), _DRAINED_AT_ONCE)):
            tasks.start_soon(drain_some)


_DRAINED_AT_ONCE = 256


def _require_no_cycle(message: Message, cell: Cell) -> None:
    """Raise the `CallCycle` of a call that comes back to who waits for it."""
    if cell.name in message.chain:
        # Of a plain actor its callers know that; which member of a pool it would be, they do not.
        path = " -> ".join((*message.chain, cell.name))
        raise CallCycle(message.target, f"{path} would wait for itself")


def _require_open(message: Message, cell: Cell) -> None:
    """Raise the `CallError` with which `cell` turns a request away, if it does."""
    if (refusal := cell.refuse(message)) is not None:
        cell.turned_away += 1
        raise refusal


def _invalid(target: str, error: ValueError) -> InvalidMessage:
    return InvalidMessage(target, shortened(str(error)))


class _Door:
    """The way from the transport into one mailbox."""

    __slots__ = ("_cell", "_clock", "_handler_at", "_host", "_on_monitor", "_rejections", "_replies", "_single_cell")

    def __init__(
        self,
        cell: Cell | Pool,
        replies: Replies,
        host: Host,
        handler_at: int,
        on_monitor: Callable[[str, bytes, str], None],
    ) -> None:
        self._cell = cell
        self._single_cell = cell if isinstance(cell, Cell) else None  # None for a pool
        self._replies = replies
        self._host = host
        self._clock: Callable[[], float] = host.timers.clock
        self._on_monitor = on_monitor
        self._handler_at = handler_at  # where the name of the handler begins in a subject
        self._rejections: Throttle | None = None

    def take_addressed(self, subject: str, payload: bytes, reply: str, headers: Headers | None) -> bool:
        """Take a call or a cast; return whether the mailbox is full by that."""
        if reply and not self._replies.may_go_to(reply):
            # Not even answered: the answer would go there.
            self._reject(subject, f"its reply subject {shortened(reply)!r} is no inbox; see CLIFFRACER_REPLY_PREFIXES")
            return False
        name = subject[self._handler_at :]
        handler = self._cell.handlers.get(name)
        if handler is None or handler.payload is None:
            self._take_unknown(name, subject, payload, reply)
            return False
        message = Arrived(self._cell.name, name)
        try:
            message.args, message.kwargs = handler.payload.decode(payload)
            if headers is not None:
                unpack_context(headers, message, self._clock)
        except ValueError as error:
            self._refuse(_invalid(message.target, error), subject, payload, reply, error.__cause__)
            return False
        if reply:
            return self._take_request(message, handler, subject, payload, reply)
        cell = self._single_cell
        if cell is not None and cell.state is OPEN and (room := cell.queue.offer(message)):
            return room == 1
        return self._take(message, subject)

    def _take_request(self, message: Message, handler: Handler, subject: str, payload: bytes, reply: str) -> bool:
        """Queue what somebody waits for, or refuse it at once; return whether the mailbox is full by that."""
        is_call = handler.kind is Kind.CALL
        try:
            cell = self._cell.cell_for(message)
            if is_call and message.chain:
                _require_no_cycle(message, cell)
            if cell.state is not OPEN:
                _require_open(message, cell)
            reply_to = RemoteReply(self._replies, reply, message.target, wire_of(payload))
            if is_call:
                message.reply_to = reply_to
            room = cell.queue.offer(message)
            if not room:
                cell.turned_away += 1
                raise full_mailbox(message, cell.queue.options.capacity)
        except CallError as error:
            self._refuse(error, subject, payload, reply, error.__cause__)
            return False
        if not is_call:
            # Somebody sent a cast as a request: the answer is that it is queued.
            reply_to.answer(None)
        return room == 1

    def _take_unknown(self, name: str, subject: str, payload: bytes, reply: str) -> None:
        if name == MONITOR and reply:
            return self._on_monitor(self._cell.name, payload, reply)
        reachable = ", ".join(n for n, h in self._cell.handlers.items() if h.payload is not None) or "none"
        problem = f"{self._cell.name!r} has no such handler; it has {reachable}"
        return self._refuse(UnknownHandler(f"{self._cell.name}.{shortened(name)}", problem), subject, payload, reply)

    def event_sink(self, handler: Handler) -> Sink:
        """Return the sink of one event handler."""
        actor, cell, clock = self._cell.name, self._single_cell, self._clock
        name, decode = handler.name, handler.decode_event
        decode_alone = handler.decode_alone

        def take(subject: str, payload: bytes, _: str, headers: Headers | None) -> bool:
            try:
                # Most handlers take the event and nothing else.
                args = decode(subject, payload) if decode_alone is None else (decode_alone(payload),)
                message = Arrived(actor, name, args)
                if headers is not None:
                    unpack_context(headers, message, clock)
            except ValueError as error:
                self._refuse(_invalid(f"{actor}.{name}", error), subject, payload, "", error.__cause__)
                return False
            # Most of what comes ends here, one call less than by way of `_take`.
            if cell is not None and cell.state is OPEN and (room := cell.queue.offer(message)):
                return room == 1
            return self._take(message, subject)

        return take

    def _take(self, message: Message, subject: str) -> bool:
        """Queue what nobody waits for, or drop it; return whether the mailbox is full by that."""
        try:
            cell = self._cell.cell_for(message)
        except NoActor:  # a member of a pool that does not run
            assert isinstance(self._cell, Pool)
            self._cell.drop(message, self._host)
        except InvalidMessage as error:
            self._refuse(error, subject, b"", "", error.__cause__)
        else:
            return self._queue(message, cell)
        return False

    def _queue(self, message: Message, cell: Cell) -> bool:
        if cell.state is not OPEN:
            cell.queue.note_drop()
            cell.report_drops((message,), "stopped")
            return False
        room = cell.queue.offer(message)
        if not room:
            # It was full before this one: whoever fills it has had its turn.
            cell.report_drops((cell.queue.drop_for(message),), cell.queue.options.when_full)
        return room == 1

    def _refuse(
        self, error: CallError, subject: str, payload: bytes, reply: str, cause: BaseException | None = None
    ) -> None:
        """Answer that a message is refused; `cause` is for the log alone."""
        if reply:
            RemoteReply(self._replies, reply, error.target, wire_of(payload)).fail(error)
        if isinstance(error, InvalidMessage | UnknownHandler):
            self._reject(subject, error.detail if cause is None else f"{error.detail}: {summary_of(cause)}")

    def _reject(self, subject: str, problem: str) -> None:
        self._cell.rejected += 1
        self._rejections = self._rejections or Throttle(1.0, self._clock)
        if self._rejections.ready():
            self._host.log.warning(
                "message_rejected", actor=self._cell.name, subject=shortened(subject), problem=problem
            )
