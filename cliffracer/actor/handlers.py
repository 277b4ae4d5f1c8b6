"""@call @cast @event @every, and the table of an actor's handlers.

The decorators only mark a method. The table is built and checked once, when the class is made: what is wrong with a
handler is an error of the import, not of a message at night.
"""

import inspect
import sys
from collections.abc import Callable, Coroutine
from enum import Enum
from math import isfinite
from typing import Any, Literal, NamedTuple, TypeVar, get_type_hints, overload
from typing import cast as cast_to

import msgspec
from msgspec import NODEFAULT, UNSET, Struct

from cliffracer.codec import Parameter, PayloadCodec, ValueCodec
from cliffracer.errors import DefinitionError
from cliffracer.names import Pattern, is_name, parse_pattern

__all__ = ["MARK", "Handler", "HandlerTable", "Kind", "To", "build_table", "call", "cast", "event", "every"]

To = Literal["one", "all"]
Method = Callable[..., Coroutine[Any, Any, Any]]
M = TypeVar("M", bound=Method)

MARK = "__cliffracer_handler__"
_CONCURRENT = 100  # how many run at once under concurrent=True


class Kind(Enum):
    """What reaches a handler."""

    CALL = "call"
    CAST = "cast"
    EVENT = "event"
    EVERY = "every"


class _Mark(NamedTuple):
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
    mark = _Mark(Kind.CALL, concurrent=concurrent)
    return _marker(mark) if method is None else _marker(mark)(method)


def cast(method: M, /) -> M:
    """Make a method a handler that does not answer.

    `await ref.method(...)` returns as soon as the message is queued.
    """
    return _marker(_Mark(Kind.CAST))(method)


def event(subject: str, *, to: To = "one") -> Callable[[M], M]:
    """Make a method hear what is published to `subject`.

    Args:
        subject: A subject in which whole tokens may be fields, `orders.{order_id}.cancelled`; each goes to the
            parameter of its name. The one parameter that is left, if there is one, takes the payload.
        to: "one": of all replicas of this actor, on all nodes, one hears it. "all": each does.
    """
    _check_parentheses("event", subject, "@event('orders.{order_id}.cancelled')")
    return _marker(_Mark(Kind.EVENT, pattern=subject, to=to))


def every(seconds: float) -> Callable[[M], M]:
    """Make a method run every so many seconds, the first time after that time.

    The tick is a message in the actor's own mailbox, so the method never runs beside another handler. While one
    tick waits, no second one is queued.
    """
    _check_parentheses("every", seconds, "@every(60.0)")
    return _marker(_Mark(Kind.EVERY, seconds=seconds))


def _check_parentheses(name: str, argument: object, example: str) -> None:
    if inspect.isfunction(argument):
        raise DefinitionError(_where(argument), f"@{name} stands without parentheses.", f"write {example}.")


def _marker(mark: _Mark) -> Callable[[M], M]:
    def decorate(method: M) -> M:
        if hasattr(method, MARK):
            raise DefinitionError(
                _where(method),
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
                _where(method),
                f"there are two handlers of the name {method.__name__!r}; the other is at {_where(earlier)}.",
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


def build_table(cls: type, inherited: HandlerTable, reserved: frozenset[str], scope: dict[str, Any]) -> HandlerTable:
    """Return the handlers of an actor class, inherited ones included.

    Args:
        cls: The class that is being made.
        inherited: The handlers of its base.
        reserved: Names that the `Actor` class needs for itself.
        scope: Local names at the place of the class, so that annotations can use types defined beside it.

    Raises:
        DefinitionError: A handler is wrong; the message shows its line and the fix.
    """
    table: HandlerTable = {}
    listening: dict[tuple[str, To], str] = {}
    for name in dir(cls):
        method = inspect.getattr_static(cls, name)
        mark: _Mark | None = getattr(method, MARK, None)
        if mark is None:
            if name in inherited:
                raise DefinitionError(
                    _where(method) if callable(method) else cls.__qualname__,
                    f"{cls.__name__}.{name} overrides a handler and is none: nobody could call it any more.",
                    f"decorate it like the one it overrides, with @{inherited[name].kind.value}.",
                )
            continue
        if name not in vars(cls) and name in inherited:
            # Compiled where it was written, where its annotations mean what they say.
            handler = inherited[name]
        else:
            handler = _compile(cls, name, method, mark, reserved, scope)
        if handler.pattern is not None:
            other = listening.setdefault((handler.pattern.subject, handler.to), name)
            if other != name:
                raise DefinitionError(
                    _where(method),
                    f"{cls.__name__}.{other} and {cls.__name__}.{name} both listen to {handler.pattern.subject!r}.",
                    "let one handler do both things, or call the one from the other.",
                )
        table[name] = handler
    return table


def _where(method: Any) -> str:
    code = inspect.unwrap(method).__code__
    return f"{code.co_filename}:{code.co_firstlineno}"


def _compile(
    cls: type, name: str, method: Any, mark: _Mark, reserved: frozenset[str], scope: dict[str, Any]
) -> Handler:
    label = f"{cls.__name__}.{name}"

    def wrong(problem: str, fix: str) -> DefinitionError:
        return DefinitionError(_where(method), problem, fix)

    _check_method(label, name, method, reserved, wrong)
    signature = inspect.signature(method)
    parameters = list(signature.parameters.values())[1:]
    hints = _hints(label, method, scope, wrong)
    typed = [_parameter(label, parameter, hints, wrong) for parameter in parameters]
    bare = signature.replace(parameters=parameters)
    try:
        match mark.kind:
            case Kind.CALL | Kind.CAST:
                return _addressed(name, label, mark, typed, bare, hints, wrong)
            case Kind.EVENT:
                return _listening(name, label, mark, typed, bare, wrong)
            case Kind.EVERY:
                return _ticking(name, label, mark, typed, bare, wrong)
    except DefinitionError:
        raise
    except (TypeError, NameError, AttributeError) as error:
        raise wrong(
            f"{label}: {error}",
            "annotate with what msgspec can decode: Structs, dataclasses, builtins, datetime, Enum, Literal...",
        ) from None


Wrong = Callable[[str, str], DefinitionError]


def _check_method(label: str, name: str, method: Any, reserved: frozenset[str], wrong: Wrong) -> None:
    if name in reserved or name.startswith("_"):
        raise wrong(
            f"{label}: the name {name!r} is reserved.", "give the handler another name, without a leading underscore."
        )
    if not is_name(name):
        raise wrong(f"{label}: the name of a handler is one token of a subject.", "use ASCII letters, digits and '_'.")
    if isinstance(method, staticmethod | classmethod):
        raise wrong(f"{label} is a static or class method: it has no actor to work on.", "remove that decorator.")
    if not inspect.iscoroutinefunction(method):
        raise wrong(f"{label} is no coroutine function.", f"write 'async def {name}(self, ...)'.")


def _hints(label: str, method: Any, scope: dict[str, Any], wrong: Wrong) -> dict[str, Any]:
    try:
        return get_type_hints(method, localns=scope, include_extras=True)
    except (NameError, AttributeError, SyntaxError, TypeError) as error:
        raise wrong(
            f"{label}: an annotation cannot be resolved: {error}.",
            "import or define the type before the class, outside 'if TYPE_CHECKING:'; it is needed at run time.",
        ) from None


def _parameter(label: str, parameter: inspect.Parameter, hints: dict[str, Any], wrong: Wrong) -> Parameter:
    name = parameter.name
    if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
        raise wrong(f"{label} takes '*{name}'.", "name each parameter: a message is an object with one key for each.")
    if name not in hints:
        raise wrong(
            f"{label}: the parameter {name!r} has no annotation.", f"write '{name}: str', or whatever type it is."
        )
    default = NODEFAULT if parameter.default is inspect.Parameter.empty else parameter.default
    return Parameter(name, hints[name], default)


def _addressed(
    name: str,
    label: str,
    mark: _Mark,
    parameters: list[Parameter],
    signature: inspect.Signature,
    hints: dict[str, Any],
    wrong: Wrong,
) -> Handler:
    keyword_only = frozenset(p.name for p in signature.parameters.values() if p.kind is inspect.Parameter.KEYWORD_ONLY)
    payload = PayloadCodec(label, parameters, keyword_only)
    if mark.kind is Kind.CALL:
        if "return" not in hints:
            raise wrong(
                f"{label} does not say what it returns.",
                f"write 'async def {name}(self, ...) -> int:', or whatever it is.",
            )
        limit = (_CONCURRENT if mark.concurrent else 1) if isinstance(mark.concurrent, bool) else mark.concurrent
        if type(limit) is not int or limit < 1:
            raise wrong(
                f"{label}: concurrent={mark.concurrent!r}.", "write concurrent=True, or how many may run at once."
            )
        return Handler(
            name, mark.kind, signature, payload=payload, result=ValueCodec(hints["return"]), concurrent=limit
        )
    if hints.get("return", type(None)) is not type(None):
        raise wrong(f"{label} is a cast, so nobody gets what it returns.", "make it a @call, or annotate '-> None'.")
    return Handler(name, mark.kind, signature, payload=payload)


def _listening(
    name: str, label: str, mark: _Mark, parameters: list[Parameter], signature: inspect.Signature, wrong: Wrong
) -> Handler:
    try:
        pattern = parse_pattern(mark.pattern)
    except ValueError as error:
        raise wrong(
            f"{label}: {mark.pattern!r} is no subject: {error}.", "write @event('orders.{order_id}.cancelled')."
        ) from None
    if mark.to not in ("one", "all"):
        raise wrong(
            f"{label}: to={mark.to!r}.", "write to='one' (one replica hears it) or to='all' (every replica does)."
        )
    if any(p.kind is inspect.Parameter.KEYWORD_ONLY for p in signature.parameters.values()):
        raise wrong(f"{label} takes keyword-only parameters.", "remove the '*': what an event brings has an order.")
    fields = [field for field, _ in pattern.fields]
    by_name = {p.name: p for p in parameters}
    if missing := [field for field in fields if field not in by_name]:
        raise wrong(
            f"{label}: the subject has the field {missing[0]!r}, and the handler no parameter of that name.",
            f"write 'async def {name}(self, {missing[0]}: str, ...)'.",
        )
    rest = [p for p in parameters if p.name not in fields]
    if len(rest) > 1:
        raise wrong(
            f"{label}: {', '.join(p.name for p in rest)} cannot all be the payload.",
            "leave one parameter beside the fields of the subject: a Struct holds several values.",
        )
    positions = {field: index for index, field in enumerate(fields)}
    return Handler(
        name,
        mark.kind,
        signature,
        pattern=pattern,
        to=mark.to,
        event_fields=tuple(_field_type(by_name[field].type) for field in fields),
        event_payload=ValueCodec(rest[0].type) if rest else None,
        event_default=rest[0].default if rest and rest[0].default is not NODEFAULT else UNSET,
        event_order=tuple(positions.get(p.name, len(fields)) for p in parameters),
    )


def _field_type(value_type: Any) -> Any:
    ValueCodec(value_type)  # raises TypeError for what msgspec does not know
    return value_type


def _ticking(
    name: str, label: str, mark: _Mark, parameters: list[Parameter], signature: inspect.Signature, wrong: Wrong
) -> Handler:
    if any(p.default is NODEFAULT for p in parameters):
        raise wrong(f"{label} takes parameters, and a tick brings none.", f"write 'async def {name}(self) -> None:'.")
    seconds = cast_to(object, mark.seconds)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not isfinite(seconds) or seconds <= 0:
        raise wrong(f"{label}: every({seconds!r}).", "give a number of seconds above zero: @every(60.0).")
    return Handler(name, mark.kind, signature, seconds=float(seconds))
