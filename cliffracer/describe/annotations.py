"""Types and values as Python source: `list[Order] | None`, `Colour.RED`."""

import collections.abc
import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import re
import types
import typing
import uuid
from collections.abc import Iterable
from typing import Any, NewType, TypeVar, cast, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from cliffracer.describe.names import Scope, Unwritable

__all__ = ["annotation", "is_named_tuple", "is_own_class", "is_typed_dict", "literal", "literal_of", "type_arguments"]

_BUILTINS = (bool, int, float, str, bytes, bytearray, memoryview, object)
_CONTAINERS: dict[Any, int] = {list: 1, set: 1, frozenset: 1, tuple: -1, dict: 2}  # with the number of arguments
_ABSTRACT: dict[Any, int] = {
    collections.abc.Collection: 1,
    collections.abc.Sequence: 1,
    collections.abc.MutableSequence: 1,
    collections.abc.Set: 1,
    collections.abc.MutableSet: 1,
    collections.abc.Mapping: 2,
    collections.abc.MutableMapping: 2,
}
_STANDARD = (
    *(dt.datetime, dt.date, dt.time, dt.timedelta),
    *(decimal.Decimal, uuid.UUID),
)


def annotation(value_type: Any, scope: Scope, *, at_once: bool = False) -> str:
    """Return the source of a type.

    Args:
        value_type: Any type that msgspec supports.
        scope: Where it is written.
        at_once: Whether it is evaluated where it stands, and not an annotation that is looked at later.

    Raises:
        Unwritable: There are no words for it.
    """
    if value_type is None or value_type is type(None):
        return "None"
    if value_type is Any:
        return scope.use("typing", "Any")
    if isinstance(value_type, TypeVar | NewType):
        return scope.of(value_type, first=at_once)
    if type(value_type).__name__ == "TypeAliasType":  # of Python 3.12
        return annotation(value_type.__value__, scope, at_once=at_once)
    origin = get_origin(value_type)
    if origin is not None:
        return _subscripted(value_type, origin, scope, at_once=at_once)
    if isinstance(value_type, type):
        return _class(value_type, scope, at_once=at_once)
    raise _unwritable(value_type)


def _subscripted(value_type: Any, origin: Any, scope: Scope, *, at_once: bool) -> str:
    args = get_args(value_type)

    def each(types: Iterable[Any]) -> list[str]:
        return [annotation(one, scope, at_once=at_once) for one in types]

    if origin is typing.Annotated:
        base, *metadata = args
        metas = [_meta(one, scope) for one in metadata if isinstance(one, Meta)]  # msgspec looks at no others
        inner = annotation(base, scope, at_once=at_once)
        return f"{scope.use('typing', 'Annotated')}[{', '.join((inner, *metas))}]" if metas else inner
    if origin in (typing.Union, types.UnionType):
        return " | ".join(each(args))
    if origin is typing.Literal:
        return f"{scope.use('typing', 'Literal')}[{', '.join(literal(one, scope) for one in args)}]"
    if origin in (typing.Final, typing.Required, typing.NotRequired):
        return annotation(args[0], scope, at_once=at_once)
    if type(origin).__name__ == "TypeAliasType":
        return annotation(origin.__value__[args], scope, at_once=at_once)
    if origin in _CONTAINERS or origin in _ABSTRACT:
        return _container(origin, args, scope, at_once=at_once)
    if is_own_class(origin):
        return f"{scope.of(origin, first=at_once)}[{', '.join(each(args))}]"
    raise _unwritable(value_type)


def _container(origin: Any, args: tuple[Any, ...], scope: Scope, *, at_once: bool) -> str:
    name = (
        scope.use("builtins", origin.__name__)
        if origin in _CONTAINERS
        else f"{scope.module('collections.abc')}.{origin.__name__}"
    )
    if origin is tuple and args == ():
        return f"{name}[()]"
    inner = ("..." if one is ... else annotation(one, scope, at_once=at_once) for one in args)
    return f"{name}[{', '.join(inner)}]"


def _class(cls: type, scope: Scope, *, at_once: bool) -> str:
    if cls in _BUILTINS:
        return scope.use("builtins", cls.__name__)
    if cls in _CONTAINERS or cls in _ABSTRACT:
        count = {**_CONTAINERS, **_ABSTRACT}[cls]
        return _container(cls, (Any, ...) if count < 0 else (Any,) * count, scope, at_once=at_once)
    if cls in _STANDARD:
        return f"{scope.module(cls.__module__)}.{cls.__name__}"
    if cls is msgspec.UnsetType:
        return scope.use("msgspec", "UnsetType")
    if cls is msgspec.Raw:
        return f"{scope.module('msgspec')}.Raw"
    if is_own_class(cls):
        name = scope.of(cls, first=at_once)
        arguments = type_arguments(cls)
        if not arguments:
            return name
        inner = (annotation(one.__bound__ or Any, scope, at_once=at_once) for one in arguments)
        return f"{name}[{', '.join(inner)}]"
    raise _unwritable(cls)


def is_own_class(cls: Any) -> bool:
    """Tell whether `cls` is one that the module can define."""
    if not isinstance(cls, type):
        return False
    one: Any = cls
    return (
        issubclass(one, Struct | enum.Enum)
        or dataclasses.is_dataclass(one)
        or is_typed_dict(one)
        or is_named_tuple(one)
    )


def is_typed_dict(cls: Any) -> bool:
    """Tell whether `cls` is a `TypedDict`, of `typing` or of `typing_extensions`."""
    return issubclass(cls, dict) and hasattr(cast("object", cls), "__total__")


def is_named_tuple(cls: Any) -> bool:
    """Tell whether `cls` is a `NamedTuple`."""
    return issubclass(cls, tuple) and hasattr(cast("object", cls), "_fields")


def type_arguments(cls: type) -> tuple[TypeVar, ...]:
    """Return the type variables of a generic class."""
    return tuple(getattr(cls, "__parameters__", ()))


def _unwritable(value_type: Any) -> Unwritable:
    name = value_type.__qualname__ if isinstance(value_type, type) else repr(value_type)
    return Unwritable(f"the type {name} cannot be written into a module of its own")


def _meta(meta: Meta, scope: Scope) -> str:
    given = {name: getattr(meta, name) for name in _META_FIELDS}
    inner = ", ".join(f"{name}={literal(value, scope)}" for name, value in given.items() if value is not None)
    return f"{scope.use('msgspec', 'Meta')}({inner})"


_META_FIELDS = (
    *("gt", "ge", "lt", "le", "multiple_of", "pattern", "min_length", "max_length", "tz"),
    *("title", "description", "examples", "extra_json_schema"),
)


# Values


def literal(value: Any, scope: Scope) -> str:
    """Return the source of a value: of a default, or inside a `Literal`.

    Raises:
        Unwritable: There are no words for it.
    """
    if value is None or value is True or value is False or type(value) in (int, bytes):
        return repr(value)
    if value is msgspec.UNSET:
        return scope.use("msgspec", "UNSET")
    if type(value) is str:
        return json.dumps(value, ensure_ascii=False) if value.isprintable() else repr(value)
    if type(value) is float:
        return repr(value) if math.isfinite(value) else f'{scope.use("builtins", "float")}("{value}")'
    if type(value) in (list, tuple, set, frozenset, dict):
        return _collection(value, scope)
    if isinstance(value, enum.Enum) and value.name in type(value).__members__:
        return f"{scope.of(type(value), first=True)}.{value.name}"
    if isinstance(value, decimal.Decimal | uuid.UUID):
        return f'{scope.module(type(value).__module__)}.{type(value).__name__}("{value}")'
    if type(value) in _STANDARD:
        return _moment(value, scope)
    fields = _fields_of(value)
    if fields is not None:
        inner = ", ".join(f"{name}={literal(getattr(value, name), scope)}" for name in fields)
        return f"{scope.of(type(value), first=True)}({inner})"
    raise Unwritable(f"the value {value!r} cannot be written into a module of its own")


def literal_of(value: Any, value_type: Any, scope: Scope) -> str:
    """Return the source of a value that stands for a `value_type`; that matters where it is a `NewType`.

    Raises:
        Unwritable: There are no words for it.
    """
    text = literal(value, scope)
    kinds: Iterable[Any] = (
        get_args(value_type) if get_origin(value_type) in (typing.Union, types.UnionType) else (value_type,)
    )
    kinds = [get_args(kind)[0] if get_origin(kind) is typing.Annotated else kind for kind in kinds]
    if type(value) in kinds or value is None:
        return text
    for kind in kinds:
        if isinstance(kind, NewType):
            return f"{scope.of(kind, first=True)}({text})"
    return text


def _collection(value: Any, scope: Scope) -> str:
    kind = cast("Any", type(value))
    if kind is dict:
        return f"{{{', '.join(f'{literal(key, scope)}: {literal(one, scope)}' for key, one in value.items())}}}"
    inner = [literal(one, scope) for one in value]
    if kind is list:
        return f"[{', '.join(inner)}]"
    if kind is tuple:
        return f"({inner[0]},)" if len(inner) == 1 else f"({', '.join(inner)})"
    # A set has no order of its own, and a file should have one.
    name = scope.use("builtins", kind.__name__)
    return f"{name}({{{', '.join(sorted(inner))}}})" if inner else f"{name}()"


def _moment(value: Any, scope: Scope) -> str:
    zone = getattr(value, "tzinfo", None)
    if zone is not None and not isinstance(zone, dt.timezone):
        raise Unwritable(f"the value {value!r} cannot be written into a module of its own")
    return re.sub(r"\bdatetime\.(?=[a-z]+[(.])", f"{scope.module('datetime')}.", repr(value))


def _fields_of(value: Any) -> list[str] | None:
    """Return what a value of a class of one's own is made with; None if it is no such value."""
    kind = cast("Any", type(value))
    if isinstance(value, Struct):
        return [field.name for field in msgspec.structs.fields(kind)]
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind) if field.init]
    if is_named_tuple(kind):
        return list(kind._fields)
    return None
