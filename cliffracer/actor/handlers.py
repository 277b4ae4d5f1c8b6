"""@call @cast @event @every, and what a handler is once it is compiled.

The decorators only mark a method. `table.py` builds and checks the table of a class when the class is made.
"""

import inspect
import sys
from collections.abc import Callable, Coroutine
from enum import Enum
from typing import Any, Literal, NamedTuple, TypeVar, overload

import msgspec
from msgspec import UNSET, Struct

from cliffracer.codec import PayloadCodec, ValueCodec
from cliffracer.errors import DefinitionError
from cliffracer.names import Pattern

__all__ = [
    "CONCURRENT",
    "MARK",
    "Handler",
    "HandlerTable",
    "Kind",
    "Mark",
    "To",
    "call",
    "cast",
    "event",
    "every",
    "where_of",
]

To = Literal["one", "all"]
Method = Callable[..., Coroutine[Any, Any, Any]]
M = TypeVar("M", bound=Method)

MARK = "__cliffracer_handler__"
CONCURRENT = 100  # how many run at once under concurrent=True


class Kind(Enum):
    """What reaches a handler."""

    CALL = "call"
    CAST = "cast"
    EVENT = "event"
    EVERY = "every"


class Mark(NamedTuple):
    """What a decorator notes on a method; the table is built from it."""

    kind: Kind
    concurrent: bool | int = False
    pattern: str = ""
    to: To = "one"
    seconds: float = 0.0


@overload
def call(method: M, /) -> M: ...
@overload
def call(*, concurrent: bool | int = False) -> Callable[[M], M]: ...
def call(method: Method | None = None, /, *, concurrent: bool | int = False) -> Any:
    """Make a method a handler that answers: `await ref.method(...)` returns what it returns.

    Args:
        method: The method, where the decorator is used without parentheses.
        concurrent: Give up "one message at a time" for this handler: True lets 100 of its calls run at once, a
            number that many. Then the state of the actor can change at every `await`; take care.
    """
    mark = Mark(Kind.CALL, concurrent=concurrent)
    return _marker(mark) if method is None else _marker(mark)(method)


def cast(method: M, /) -> M:
    """Make a method a handler that does not answer.

    `await ref.method(...)` returns as soon as the message is queued.
    """
    return _marker(Mark(Kind.CAST))(method)


def event(subject: str, *, to: To = "one") -> Callable[[M], M]:
    """Make a method hear what is published to `subject`.

    Args:
        subject: A subject in which whole tokens may be fields, `orders.{order_id}.cancelled`; each goes to the
            parameter of its name. The one parameter that is left, if there is one, takes the payload.
        to: "one": of all replicas of this actor, on all nodes, one hears it. "all": each does.
    """
    _check_parentheses("event", subject, "@event('orders.{order_id}.cancelled')")
    return _marker(Mark(Kind.EVENT, pattern=subject, to=to))


def every(seconds: float) -> Callable[[M], M]:
    """Make a method run every so many seconds, the first time after that time.

    The tick is a message in the actor's own mailbox, so the method never runs beside another handler. While one
    tick waits, no second one is queued.
    """
    _check_parentheses("every", seconds, "@every(60.0)")
    return _marker(Mark(Kind.EVERY, seconds=seconds))


def _check_parentheses(name: str, argument: object, example: str) -> None:
    if inspect.isfunction(argument):
        raise DefinitionError(where_of(argument), f"@{name} stands without parentheses.", f"write {example}.")


def _marker(mark: Mark) -> Callable[[M], M]:
    def decorate(method: M) -> M:
        if hasattr(method, MARK):
            raise DefinitionError(
                where_of(method),
                f"{method.__name__!r} has two decorators.",
                "a handler is one of @call, @cast, @event, @every.",
            )
        body = sys._getframe(1)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        if body.f_globals is globals() and body.f_back is not None:
            body = body.f_back  # through `call` or `cast`, used without parentheses
        earlier = body.f_locals.get(method.__name__)
        if hasattr(earlier, MARK):
            # The class body forgets the first of two methods of one name; nobody after this could notice.
            raise DefinitionError(
                where_of(method),
                f"there are two handlers of the name {method.__name__!r}; the other is at {where_of(earlier)}.",
                "give one of them another name.",
            )
        setattr(method, MARK, mark)
        return method

    return decorate


class Handler(Struct, frozen=True, eq=False):
    """One handler of an actor class, compiled.

    Attributes:
        name: Its method's name, and the last token of its subject.
        kind: What reaches it.
        signature: For binding, and for people.
        payload: Decodes and encodes the arguments of a call or cast; None for other kinds.
        result: Decodes the answer of a call; None for other kinds.
        concurrent: How many of its messages may run at once.
        pattern: What an event handler listens to; None for other kinds.
        to: Which replicas hear the event.
        event_fields: Types of the pattern's fields, in their order.
        event_payload: Codec of the event itself; None if the handler does not take it.
        event_default: What stands for the event where the payload is empty.
        event_order: For each parameter of an event handler, the index of its value in (fields..., payload).
        seconds: The interval of an `@every`.
    """

    name: str
    kind: Kind
    signature: inspect.Signature
    payload: PayloadCodec | None = None
    result: ValueCodec | None = None
    concurrent: int = 1
    pattern: Pattern | None = None
    to: To = "one"
    event_fields: tuple[Any, ...] = ()
    event_payload: ValueCodec | None = None
    event_default: Any = UNSET
    event_order: tuple[int, ...] = ()
    seconds: float = 0.0

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any] | None]:
        """Return the positional and the keyword-only arguments of a call, defaults filled in.

        Raises:
            TypeError: They do not fit; it is raised at the caller, like that of any Python call, and the actor
                never sees it.
        """
        if self.payload is None:
            raise TypeError(f"{self.name} is no @call and no @cast")
        try:
            return self.payload.bind(args, kwargs)
        except TypeError:
            # Python's own words for a misfit are better than those of the compiled struct.
            try:
                self.signature.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{self.name}{self.signature}: {error}") from None
            raise

    @property
    def decode_alone(self) -> Callable[[bytes], Any] | None:
        """What decodes the event, for a handler that takes that and nothing else; None for others."""
        if self.event_payload is None or self.event_fields or self.event_default is not UNSET:
            return None
        return self.event_payload.decode

    def decode_event(self, subject: str, payload: bytes) -> tuple[Any, ...]:
        """Return the arguments for an event handler.

        Raises:
            ValueError: A field or the payload is of the wrong type; the message says where.
        """
        codec = self.event_payload
        if codec is None:
            event: tuple[Any, ...] = ()
        elif payload or self.event_default is UNSET:
            event = (codec.decode(payload),)
        else:
            event = (self.event_default,)
        if not self.event_fields:
            return event
        values: list[Any] = []
        if self.pattern is not None:
            for (name, _), text, value_type in zip(
                self.pattern.fields, self.pattern.extract(subject), self.event_fields, strict=True
            ):
                try:
                    values.append(text if value_type is str else msgspec.convert(text, value_type, strict=False))
                except ValueError as error:
                    raise ValueError(f"{error} - in the field {name!r} of {self.pattern.text!r}") from None
        values.extend(event)
        return tuple(values[index] for index in self.event_order)


HandlerTable = dict[str, Handler]


def where_of(method: Any) -> str:
    """Return the line of a method, as `file:line`."""
    code = inspect.unwrap(method).__code__
    return f"{code.co_filename}:{code.co_firstlineno}"
