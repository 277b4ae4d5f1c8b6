"""The table of an actor's handlers: compiled and checked once, when the class is made.

What is wrong with a handler is an error of the import, with its line and the fix, and not of a message at night.
"""

import inspect
from collections.abc import Callable
from math import isfinite
from typing import Any, get_type_hints
from typing import cast as cast_to

from msgspec import NODEFAULT, UNSET

from cliffracer.actor.handlers import CONCURRENT, MARK, Handler, HandlerTable, Kind, Mark, To, where_of
from cliffracer.codec import Parameter, PayloadCodec, ValueCodec
from cliffracer.errors import DefinitionError
from cliffracer.names import is_name, parse_pattern

__all__ = ["build_table"]


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
        mark: Mark | None = getattr(method, MARK, None)
        if mark is None:
            if name in inherited:
                raise DefinitionError(
                    where_of(method) if callable(method) else cls.__qualname__,
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
                    where_of(method),
                    f"{cls.__name__}.{other} and {cls.__name__}.{name} both listen to {handler.pattern.subject!r}.",
                    "let one handler do both things, or call the one from the other.",
                )
        table[name] = handler
    return table


def _compile(cls: type, name: str, method: Any, mark: Mark, reserved: frozenset[str], scope: dict[str, Any]) -> Handler:
    label = f"{cls.__name__}.{name}"

    def wrong(problem: str, fix: str) -> DefinitionError:
        return DefinitionError(where_of(method), problem, fix)

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
    mark: Mark,
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
        limit = (CONCURRENT if mark.concurrent else 1) if isinstance(mark.concurrent, bool) else mark.concurrent
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
    name: str, label: str, mark: Mark, parameters: list[Parameter], signature: inspect.Signature, wrong: Wrong
) -> Handler:
    try:
        pattern = parse_pattern(mark.pattern)
    except ValueError as error:
        raise wrong(
            f"{label}: {mark.pattern!r} is no subject: {error}.", "write @event('orders.{order_id}.cancelled')."
        ) from None
    if mark.pattern.startswith("_"):
        raise wrong(
            f"{label}: subjects that begin with '_', like {mark.pattern!r}, are inboxes.",
            "begin with a letter: replies go to inboxes, and anybody can have one sent there.",
        )
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
    name: str, label: str, mark: Mark, parameters: list[Parameter], signature: inspect.Signature, wrong: Wrong
) -> Handler:
    if any(p.default is NODEFAULT for p in parameters):
        raise wrong(f"{label} takes parameters, and a tick brings none.", f"write 'async def {name}(self) -> None:'.")
    seconds = cast_to(object, mark.seconds)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not isfinite(seconds) or seconds <= 0:
        raise wrong(f"{label}: every({seconds!r}).", "give a number of seconds above zero: @every(60.0).")
    return Handler(name, mark.kind, signature, seconds=float(seconds))
