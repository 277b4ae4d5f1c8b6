"""An actor in the hands of a test: it keeps what it gets, and answers as it is told."""

import inspect
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, Literal, TypeVar, cast

import anyio
from msgspec import Struct

from cliffracer.actor.actor import Actor
from cliffracer.actor.faults import crash_of
from cliffracer.actor.handlers import Handler, Kind
from cliffracer.actor.host import HasPath
from cliffracer.actor.links import Down
from cliffracer.actor.loop import ANSWERED_LATER
from cliffracer.actor.ref import label_of
from cliffracer.codec import ValueCodec, encode
from cliffracer.envelope import ReplyTo, current_message
from cliffracer.errors import ActorCrashed, CallError, NotRunning, Refusal, Stopping
from cliffracer.exits import Exit
from cliffracer.names import matches
from cliffracer.supervision.children import child
from cliffracer.supervision.spec import ChildSpec
from cliffracer.transport.contract import Headers, Transport

__all__ = ["Heard", "Probe", "ProbeMessage"]

T = TypeVar("T")

_WITHIN = 1.0  # seconds
_A_WHILE = 0.1  # seconds, for nothing to happen in


class Heard(Struct, frozen=True):
    """An event that a probe has heard.

    Attributes:
        subject: Where it was published.
        value: What was published, decoded.
        headers: Its headers, or None.
    """

    subject: str
    value: Any
    headers: Headers | None = None


class ProbeMessage:
    """A message that a probe has got.

    Attributes:
        handler: The handler it is for.
        kind: "call", "cast" or "event".
        arguments: By the names of the handler's parameters, defaults filled in.
    """

    def __init__(
        self, stand_in: "_StandIn", handler: Handler, arguments: dict[str, Any], reply_to: ReplyTo | None
    ) -> None:
        """Keep a message; the probe does so.

        Args:
            stand_in: Who got it.
            handler: For which it is.
            arguments: By name.
            reply_to: Where the answer goes; None if nobody waits for one.
        """
        self.handler = handler.name
        self.kind = cast("Literal['call', 'cast', 'event']", handler.kind.value)
        self.arguments = arguments
        self._stand_in = stand_in
        self._result = handler.result
        self._reply_to = reply_to

    @property
    def is_answered(self) -> bool:
        """Whether nobody waits for an answer, any more or at all."""
        return self._reply_to is None

    def reply(self, value: Any = None) -> None:
        """Answer the call.

        Raises:
            TypeError: `value` is not what the handler says it returns.
            RuntimeError: It is no call, or is answered already.
        """
        self.check(value)
        self._take_reply_to().answer(value)

    def refuse(self, error: Refusal | CallError) -> None:
        """Answer the call with a refusal, or with the reason why there is no answer.

        Raises:
            RuntimeError: It is no call, or is answered already.
        """
        self._take_reply_to().fail(error)

    def crash(self, error: BaseException | None = None) -> None:
        """Let the probe crash over this message, as an actor would; its supervisor restarts it.

        Args:
            error: With what; a `RuntimeError` by default.
        """
        reason = crash_of(RuntimeError("the test crashed it") if error is None else error)
        if self._reply_to is not None:
            why = f"the actor crashed over this message; incident {reason.incident} in the log of its node says why"
            self.refuse(ActorCrashed(self._target, why, incident=reason.incident))
        self._stand_in.stop(reason)

    def close(self) -> None:
        """Answer that there will be no answer: the probe is stopped. Harmless if it is answered."""
        if self._reply_to is not None:
            self.refuse(Stopping(self._target, "the probe was stopped before it answered"))

    def check(self, value: Any) -> None:
        """Raise TypeError if `value` is not what the handler says it returns: a stand-in must not promise more."""
        if self._result is None:
            return
        try:
            self._result.decode(encode(value, "json"))
        except (TypeError, ValueError) as error:
            raise TypeError(f"{self._target} cannot return {value!r}: {error}") from None

    def mark_answered(self) -> None:
        """Note that it is answered by what the handler returns."""
        self._reply_to = None

    @property
    def _target(self) -> str:
        return f"{self._stand_in.name}.{self.handler}"

    def _take_reply_to(self) -> ReplyTo:
        reply_to, self._reply_to = self._reply_to, None
        if reply_to is None:
            raise RuntimeError(f"nobody waits for an answer to {self!r}: it is no call, or is answered already.")
        return reply_to

    def __repr__(self) -> str:
        return f"{self.handler}({', '.join(f'{name}={value!r}' for name, value in self.arguments.items())})"


class _StandIn(Actor):
    """What runs in the tree: one incarnation of a probe. Each class that is stood in for gets a subclass."""

    def __init__(self, probe: "Probe") -> None:
        self._probe = probe
        probe.now_runs(self)

    def __getattr__(self, attribute: str) -> Any:
        handler = type(self).__handlers__.get(attribute)
        if handler is None:
            raise AttributeError(attribute)
        return partial(self._take, handler)

    async def _take(self, handler: Handler, *args: Any, **kwargs: Any) -> Any:
        if handler.kind is Kind.EVERY:
            return None  # the clock's, and nobody's message
        current = current_message.get()
        arguments = dict(zip(handler.signature.parameters, args, strict=False)) | kwargs
        message = ProbeMessage(self, handler, arguments, None if current is None else current.reply_to)
        return await self._probe.take(message)

    async def on_down(self, down: Down) -> None:
        self._probe.take_down(down)

    async def on_stop(self, reason: Exit) -> None:
        del reason
        self._probe.closes(self)


class _Box(Generic[T]):
    """What has come, in order; the test takes one after the other."""

    def __init__(self) -> None:
        self.all: list[T] = []
        self._left: deque[T] = deque()
        self._news: anyio.Event | None = None

    def put(self, item: T) -> None:
        self.all.append(item)
        self._left.append(item)
        news, self._news = self._news, None
        if news is not None:
            news.set()

    async def get(self, within: float) -> T | None:
        """Return the next one, or None if none comes within so many seconds."""
        with anyio.move_on_after(within):
            while not self._left:
                self._news = self._news or anyio.Event()
                await self._news.wait()
        return self._left.popleft() if self._left else None

    def told(self) -> str:
        return ", ".join(map(repr, self.all)) or "nothing"


class Probe:
    """An actor in the hands of a test.

    It stands in for an actor class, under its name: refs reach it, it keeps what it gets, and the test answers each
    call, at once with `answer`, or one by one. While a call is not answered, the probe takes others.

        inventory = Probe.of(Inventory)
        async with TestNode(inventory, child(Orders)) as node:
            ...
            (await inventory.expect("reserve")).reply(8)

    `await node.probe(Inventory)` puts one into a tree that runs already. What `next_...` and `expect...` wait for has
    to come within `within` seconds of the event loop's clock, or they raise an `AssertionError` that says what came.

    Attributes:
        child: The child spec, for a tree.
    """

    def __init__(self, name: str | None = "probe", *, actor: type[Actor] = Actor) -> None:
        """Make a probe; one that stands in for nobody hears events, and monitors.

        Args:
            name: Its name as an actor; None for that of the class.
            actor: For which it stands in; `Probe.of` is shorter.
        """
        stand_in = cast("type[_StandIn]", type(f"{actor.__name__}Probe", (_StandIn,), {}))
        # The same table: then a ref to the class reaches it in this process, like the actor itself.
        stand_in.__handlers__ = actor.__handlers__
        stand_in.__options__ = actor.__options__
        stand_in.answers = actor.answers
        spec = child(stand_in, self)
        self.child: ChildSpec[Any] = spec if name is None else spec.replace(name=name)
        self._class_name = actor.__name__
        self._handlers = actor.__handlers__
        self._answers: dict[str, Any] = {}
        self._messages: _Box[ProbeMessage] = _Box()
        self._events: _Box[Heard] = _Box()
        self._downs: _Box[Down] = _Box()
        self._last: ProbeMessage | None = None
        self._stand_in: _StandIn | None = None
        self._transport: Transport | None = None

    @classmethod
    def of(cls, actor: type[Actor], name: str | None = None) -> "Probe":
        """Make a probe that stands in for `actor`, with its handlers and its options.

        Args:
            actor: The class.
            name: The actor's name, if it is not the one of the class.
        """
        return cls(name, actor=actor)

    @property
    def name(self) -> str:
        """Its name as an actor."""
        return str(self.child.name)

    @property
    def messages(self) -> list[ProbeMessage]:
        """All messages it has got so far, of all incarnations."""
        return list(self._messages.all)

    @property
    def events(self) -> list[Heard]:
        """All events it has heard so far."""
        return list(self._events.all)

    # Messages

    def answer(self, handler: str | Callable[..., Any], answer: Any) -> None:
        """Answer all calls of a handler at once, from now on.

        Args:
            handler: Its name, or the method: `Inventory.reserve`.
            answer: What to return; or a function that takes the arguments by name and returns it, or raises: what is
                declared as an answer is one, and anything else crashes the probe. It may be async.

        Raises:
            ValueError: There is no such call.
            TypeError: `answer` is not what the handler says it returns.
        """
        name = self._handler_name(handler)
        if self._handlers[name].kind is not Kind.CALL:
            raise ValueError(f"{self._class_name}.{name} is no @call: nobody waits for an answer.")
        self._answers[name] = answer

    async def next_message(self, *, within: float = _WITHIN) -> ProbeMessage:
        """Take the next message.

        Args:
            within: Seconds.

        Raises:
            AssertionError: None comes in time.
        """
        return await self._next("a message", within)

    async def expect(self, handler: str | Callable[..., Any], *, within: float = _WITHIN) -> ProbeMessage:
        """Take the next message, which is to be for `handler`.

        Args:
            handler: Its name, or the method: `Inventory.reserve`.
            within: Seconds.

        Raises:
            AssertionError: None comes in time, or it is for another handler.
            ValueError: There is no such handler.
        """
        name = self._handler_name(handler)
        message = await self._next(repr(name), within)
        if message.handler != name:
            raise AssertionError(f"{self._label}: the next message was to be {name!r}, and is {message!r}.")
        return message

    async def _next(self, what: str, within: float) -> ProbeMessage:
        message = await self._messages.get(within)
        if message is None:
            raise AssertionError(
                f"{self._label}: {what} was to come within {within:g} s, and nothing did. "
                f"Messages so far: {self._messages.told()}."
            )
        self._last = message
        return message

    async def expect_nothing(self, *, within: float = _A_WHILE) -> None:
        """Wait, and see that no message comes.

        Args:
            within: Seconds.

        Raises:
            AssertionError: One has come.
        """
        message = await self._messages.get(within)
        if message is not None:
            raise AssertionError(f"{self._label}: nothing was to come for {within:g} s, and {message!r} did.")

    def reply(self, value: Any = None) -> None:
        """Answer the message that was taken last; see `ProbeMessage.reply`."""
        self._taken().reply(value)

    def refuse(self, error: Refusal | CallError) -> None:
        """Refuse the message that was taken last; see `ProbeMessage.refuse`."""
        self._taken().refuse(error)

    def crash(self, error: BaseException | None = None) -> None:
        """Crash over the message that was taken last; see `ProbeMessage.crash`."""
        self._taken().crash(error)

    def _taken(self) -> ProbeMessage:
        if self._last is None:
            raise RuntimeError(f"{self._label}: no message was taken yet; await next_message() or expect() first.")
        return self._last

    def _handler_name(self, handler: str | Callable[..., Any]) -> str:
        name = handler if isinstance(handler, str) else str(getattr(handler, "__name__", handler))
        if name not in self._handlers:
            raise ValueError(
                f"{self._class_name} has no handler {name!r}; it has {', '.join(self._handlers) or 'none'}."
            )
        return name

    # Events

    async def listen(self, subject: str, type: Any = Any) -> None:
        """Hear what is published to `subject`, from anywhere, until the node stops.

        Args:
            subject: A subject, or a pattern with the wildcards of NATS.
            type: What the events are; plain types by default.

        Raises:
            NotRunning: The probe is in no `TestNode` that runs.
        """
        codec = ValueCodec(type)

        def take(subject: str, payload: bytes, _: str, headers: Headers | None) -> None:
            try:
                value = codec.decode(payload) if payload else None
            except ValueError as error:
                value = AssertionError(f"{self._label}: what came on {subject!r} does not decode: {error}")
            self._events.put(Heard(subject, value, headers))

        if self._transport is None:
            raise NotRunning(f"{self._label} is in no TestNode; put it into one, or use 'await node.probe()'.")
        await self._transport.subscribe(subject, take)
        await self._transport.flush()

    async def next_event(self, subject: str = ">", *, within: float = _WITHIN) -> Heard:
        """Take the next event, whose subject is to match `subject`.

        Args:
            subject: A subject, or a pattern with the wildcards of NATS.
            within: Seconds.

        Raises:
            AssertionError: None comes in time, or it has another subject, or does not decode.
        """
        event = await self._events.get(within)
        if event is None:
            raise AssertionError(
                f"{self._label}: an event on {subject!r} was to come within {within:g} s, and none did. "
                f"Events so far: {self._events.told()}."
            )
        if isinstance(event.value, AssertionError):
            raise event.value
        if not matches(subject, event.subject):
            raise AssertionError(f"{self._label}: the next event was to be on {subject!r}, and is {event!r}.")
        return event

    # Monitors

    def monitor(self, target: "Actor | HasPath") -> None:
        """Monitor what `target` points to; see `Actor.monitor`.

        Raises:
            NotRunning: The probe does not run.
        """
        if self._stand_in is None:
            raise NotRunning(f"{self._label} does not run; put it into a node, or use 'await node.probe()'.")
        self._stand_in.monitor(target)

    async def expect_down(self, target: "Actor | HasPath", *, within: float = _WITHIN) -> Down:
        """Wait until the probe is told that `target`, which it monitors, has ended.

        Args:
            target: What was given to `monitor`.
            within: Seconds.

        Raises:
            AssertionError: It is not told in time, or something else has ended first.
        """
        down = await self._downs.get(within)
        if down is None:
            raise AssertionError(f"{self._label}: {label_of(target)!r} was to end within {within:g} s, and did not.")
        if label_of(down.ref) != label_of(target):
            raise AssertionError(
                f"{self._label}: {label_of(target)!r} was to end, and {label_of(down.ref)!r} did: {down.reason}."
            )
        return down

    # For its node and its stand-in

    def now_runs(self, stand_in: _StandIn) -> None:
        """Take note of a new incarnation."""
        self._stand_in = stand_in

    def closes(self, stand_in: _StandIn) -> None:
        """Take note of the end of an incarnation: the calls that wait for an answer of it get none."""
        for message in self._messages.all:
            message.close()
        if self._stand_in is stand_in:
            self._stand_in = None

    def use(self, transport: Transport) -> None:
        """Hear events by way of `transport`."""
        self._transport = transport

    async def take(self, message: ProbeMessage) -> Any:
        """Keep a message; return the answer to it, if that is known."""
        self._messages.put(message)
        if message.is_answered:
            return None
        if message.handler not in self._answers:
            return ANSWERED_LATER
        message.mark_answered()
        answer = self._answers[message.handler]
        if callable(answer):
            answer = answer(**message.arguments)
            if inspect.isawaitable(answer):
                answer = await answer
        message.check(answer)
        return answer

    def take_down(self, down: Down) -> None:
        """Keep the news that something has ended."""
        self._downs.put(down)

    @property
    def _label(self) -> str:
        return f"probe {self.name!r}"

    def __repr__(self) -> str:
        return f"<Probe {self.name!r}, {len(self._messages.all)} messages>"
