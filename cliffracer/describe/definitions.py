"""Classes as Python source: Structs, dataclasses, enums, typed dictionaries, named tuples.

What is written has the same fields, names on the wire, defaults and constraints; methods stay where they are.
"""

import dataclasses
import enum
import inspect
import keyword
import re
import typing
from collections.abc import Callable, Iterable
from typing import Any, Generic, NewType, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import NODEFAULT, Struct
from msgspec.inspect import TypedDictType

from cliffracer.describe.annotations import (
    annotation,
    is_named_tuple,
    is_own_class,
    is_typed_dict,
    literal,
    literal_of,
    type_arguments,
)
from cliffracer.describe.names import Names, Scope, Unwritable, Wanted, identity_of
from cliffracer.describe.schema import tidy
from cliffracer.errors import DefinitionError

__all__ = ["Definitions", "docstring"]


class Definitions:
    """The classes of one module, each after those that it needs."""

    def __init__(self, names: Names, where: Callable[[str], str]) -> None:
        """Define nothing yet.

        Args:
            names: Those of the module.
            where: Returns the source line of a handler, for errors.
        """
        self.blocks: list[str] = []
        """The source of each class."""
        self._names = names
        self._where = where
        self._begun: set[Any] = set()

    def define_wanted(self) -> None:
        """Define all that is wanted by now, and what that wants.

        Raises:
            DefinitionError: There are no words for one of them.
        """
        while self._names.wanted:
            self.define(self._names.wanted.pop(0))

    def define(self, wanted: Wanted) -> None:
        """Define one class, after those that it needs; does nothing if that is done already.

        Raises:
            DefinitionError: There are no words for it.
        """
        key = identity_of(wanted.value)
        if key in self._begun:
            return
        self._begun.add(key)
        scope = Scope(self._names, wanted.label, _members_of(wanted.value))
        try:
            lines = _define(wanted.value, self._names.of(wanted.value), scope)
        except Unwritable as error:
            raise DefinitionError(
                self._where(wanted.label), f"{wanted.label} uses {_qualified(wanted.value)}: {error}.", FIX
            ) from None
        for needed in scope.first:
            self.define(needed)
        self.blocks.append("\n".join(lines))


FIX = "a client has msgspec and the standard library: use Structs, dataclasses, enums, builtins, and defaults of those."


def _qualified(value: Any) -> str:
    return f"{value.__module__}.{getattr(value, '__qualname__', value.__name__)}"


def _members_of(value: Any) -> frozenset[str]:
    return frozenset(inspect.get_annotations(value)) if isinstance(value, type) else frozenset()


def _define(value: Any, name: str, scope: Scope) -> list[str]:
    if isinstance(value, TypeVar):
        return [_type_variable(value, name, scope)]
    if isinstance(value, NewType):
        inner = annotation(value.__supertype__, scope, at_once=True)
        return [f'{name} = {scope.use("typing", "NewType")}("{name}", {inner})']
    if issubclass(value, Struct):
        return _struct(value, name, scope)
    if issubclass(value, enum.Enum):
        return _enum(value, name, scope)
    if is_typed_dict(value):
        return _typed_dict(value, name, scope)
    if is_named_tuple(value):
        return _named_tuple(value, name, scope)
    return _dataclass(value, name, scope)


def docstring(text: str | None, indent: str) -> list[str]:
    """Return the lines of a docstring, quoted and indented; none if there is no text."""
    text = tidy(text)
    if not text:
        return []
    stem = text.rstrip('"')
    escaped = stem.replace("\\", "\\\\").replace('"""', '\\"\\"\\"') + '\\"' * (len(text) - len(stem))
    escaped = re.sub(r"[^\n -~]", lambda found: _printable(found[0]), escaped)
    first, *rest = escaped.split("\n")
    lines = [f'{indent}"""{first}', *(f"{indent}{line}" if line else "" for line in rest)]
    if rest:
        return [*lines, f'{indent}"""']
    return [f'{lines[0]}"""']


def _printable(letter: str) -> str:
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode()


def _type_variable(variable: TypeVar, name: str, scope: Scope) -> str:
    arguments = [f'"{name}"', *(annotation(one, scope, at_once=True) for one in variable.__constraints__)]
    if variable.__bound__ is not None:
        arguments.append(f"bound={annotation(variable.__bound__, scope, at_once=True)}")
    arguments += [f"{way}=True" for way in ("covariant", "contravariant") if getattr(variable, f"__{way}__")]
    return f"{name} = {scope.use('typing', 'TypeVar')}({', '.join(arguments)})"


def _class(name: str, inside: Iterable[str], doc: str | None, body: list[str]) -> list[str]:
    arguments = ", ".join(inside)
    lines = docstring(doc, "    ")
    if lines and body:
        lines.append("")
    return [f"class {name}{f'({arguments})' if arguments else ''}:", *(lines + body or ["    pass"])]


def _bases(cls: type, scope: Scope) -> list[str]:
    """Return what a class derives from: own classes, and `Generic`; what else there is has only methods."""
    bases: list[str] = []
    for base in vars(cls).get("__orig_bases__", cls.__bases__):
        origin: Any = get_origin(base) or base
        if origin is Generic:
            inner = ", ".join(annotation(one, scope, at_once=True) for one in get_args(base))
            bases.append(f"{scope.use('typing', 'Generic')}[{inner}]")
        elif origin is not Struct and is_own_class(origin):
            bases.append(annotation(base, scope, at_once=True))
    return bases


def _own_types(cls: type) -> dict[str, Any]:
    hints = _hints(cls)
    if odd := [name for name in hints if not name.isidentifier() or keyword.iskeyword(name)]:
        raise Unwritable(f"its field {odd[0]!r} is no name")
    return {name: hints[name] for name in inspect.get_annotations(cls)}


def _hints(cls: Any) -> dict[str, Any]:
    try:
        return get_type_hints(cls, include_extras=True)
    except (NameError, AttributeError, TypeError) as error:
        raise Unwritable(f"an annotation cannot be resolved: {error}") from None


# Structs


def _struct(cls: type[Struct], name: str, scope: Scope) -> list[str]:
    own = {field: kind for field, kind in _own_types(cls).items() if field in cls.__struct_fields__}
    fields = {field.name: field for field in msgspec.structs.fields(cls)}
    body = [_struct_field(cls, fields[field], kind, scope) for field, kind in own.items()]
    bases = _bases(cls, scope)
    if not any(issubclass(base, Struct) and base is not Struct for base in cls.__bases__):
        bases.insert(0, scope.use("msgspec", "Struct"))
    options = _struct_options(cls, scope)
    parameters = inspect.signature(cls).parameters
    if any(parameters[field].kind is inspect.Parameter.KEYWORD_ONLY for field in own):
        options.append("kw_only=True")
    return _class(name, [*bases, *options], cls.__doc__, body)


_OPTIONS = (
    *("frozen", "eq", "order", "array_like", "gc", "repr_omit_defaults", "omit_defaults", "forbid_unknown_fields"),
    *("weakref", "dict", "cache_hash"),
)


def _struct_options(cls: type[Struct], scope: Scope) -> list[str]:
    """Return what the class line says that the bases do not."""
    config = cls.__struct_config__
    above = [base.__struct_config__ for base in cls.__bases__ if issubclass(base, Struct)]
    options: list[str] = []
    if config.tag is None:
        options += ["tag=False"] if any(one.tag is not None for one in above) else []
    else:
        options.append(f"tag={literal(config.tag, scope)}")
        if config.tag_field != "type" or any(one.tag_field not in (None, "type") for one in above):
            options.append(f"tag_field={literal(config.tag_field, scope)}")
    for option in _OPTIONS:
        value = getattr(config, option)
        # That it is frozen, a type checker wants to read on each class.
        if any(getattr(one, option) != value for one in above) or (option == "frozen" and value):
            options.append(f"{option}={value}")
    return options


def _struct_field(cls: type[Struct], field: msgspec.structs.FieldInfo, kind: Any, scope: Scope) -> str:
    text = annotation(kind, scope)
    arguments: list[str] = []
    plain: str | None = None
    if field.default is not NODEFAULT:
        plain = literal_of(field.default, kind, scope)
        arguments.append(f"default={plain}")
    elif field.default_factory is not NODEFAULT:
        factory = _factory(field.default_factory, scope)
        plain = _EMPTY.get(field.default_factory)
        if factory is None:
            if cls.__struct_config__.array_like:
                raise Unwritable(f"the default of {field.name!r} is made by code of yours, and its place is fixed")
            return f"    {_left_out(field.name, text, scope, field.encode_name)}"
        arguments.append(f"default_factory={factory}")
    if field.encode_name != field.name:
        arguments.append(f"name={literal(field.encode_name, scope)}")
        plain = None
    if not arguments:
        return f"    {field.name}: {text}"
    if plain is None:
        plain = f"{scope.use('msgspec', 'field')}({', '.join(arguments)})"
    return f"    {field.name}: {text} = {plain}"


_EMPTY: dict[Any, str] = {list: "[]", dict: "{}", set: "set()"}
_FACTORIES = (list, dict, set, frozenset, bytearray, tuple, str, bytes, int, float, bool)


def _factory(factory: Any, scope: Scope) -> str | None:
    """Return the source of what makes a default; None if that is code of the class's own team."""
    if factory in _FACTORIES:
        return scope.use("builtins", factory.__name__)
    if get_origin(factory) in _FACTORIES:
        return annotation(factory, scope, at_once=True)
    if is_own_class(factory):
        return scope.of(factory, first=True)
    return None


def _left_out(name: str, text: str, scope: Scope, encode_name: str | None = None) -> str:
    """Return the line of a field that the other side fills in, if it is left out."""
    unset = scope.use("msgspec", "UNSET")
    default = unset
    if encode_name not in (None, name):
        default = f"{scope.use('msgspec', 'field')}(default={unset}, name={literal(encode_name, scope)})"
    return f"{name}: {text} | {scope.use('msgspec', 'UnsetType')} = {default}  # if it is left out, they fill it in"


# Other classes


def _dataclass(cls: type, name: str, scope: Scope) -> list[str]:
    own = _own_types(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    body = [_dataclass_field(fields[field], kind, scope) for field, kind in own.items() if field in fields]
    if lost := [field for field, kind in own.items() if isinstance(kind, dataclasses.InitVar)]:
        raise Unwritable(f"{lost[0]!r} is an InitVar")
    parameters = getattr(cls, "__dataclass_params__")  # noqa: B009 - no type checker knows it
    options = [f"{option}=True" for option in ("frozen", "order", "unsafe_hash") if getattr(parameters, option)]
    options += [] if parameters.eq else ["eq=False"]
    decorator = "@" + scope.use("dataclasses", "dataclass") + (f"({', '.join(options)})" if options else "")
    doc = None if _is_made_up(cls) else cls.__doc__
    return [decorator, *_class(name, _bases(cls, scope), doc, body)]


def _dataclass_field(field: "dataclasses.Field[Any]", kind: Any, scope: Scope) -> str:
    text = annotation(kind, scope)
    arguments = [f"{option}={value}" for option, value in (("init", field.init), ("kw_only", field.kw_only))]
    arguments = [one for one in arguments if one in ("init=False", "kw_only=True")]
    plain = not arguments
    if field.default is not dataclasses.MISSING:
        default = literal_of(field.default, kind, scope)
        if plain:
            return f"    {field.name}: {text} = {default}"
        arguments.insert(0, f"default={default}")
    elif field.default_factory is not dataclasses.MISSING:
        factory = _factory(field.default_factory, scope)
        if factory is None:
            return f"    {_left_out(field.name, text, scope)}"
        if get_origin(kind) is field.default_factory:  # `list[str]`: a bare list is nothing for strict checkers
            factory = annotation(kind, scope, at_once=True)
        arguments.insert(0, f"default_factory={factory}")
    if not arguments:
        return f"    {field.name}: {text}"
    return f"    {field.name}: {text} = {scope.module('dataclasses')}.field({', '.join(arguments)})"


def _enum(cls: type[enum.Enum], name: str, scope: Scope) -> list[str]:
    if issubclass(cls, enum.Flag):
        raise Unwritable("it is a set of flags")
    kinds: tuple[type, ...] = (enum.IntEnum, enum.StrEnum)
    ready = [kind.__name__ for kind in kinds if kind in cls.__mro__]
    mixed_in = [kind.__name__ for kind in (str, int) if kind in cls.__mro__ and not ready]
    bases = [*mixed_in, scope.use("enum", ready[0] if ready else "Enum")]
    body: list[str] = []
    for member, value in cls.__members__.items():
        if not member.isidentifier() or keyword.iskeyword(member):
            raise Unwritable(f"its member {member!r} is no name")
        body.append(f"    {member} = {literal(value.value, scope)}")
    doc = None if cls.__doc__ == "An enumeration." else cls.__doc__
    return _class(name, bases, doc, body)


def _typed_dict(cls: Any, name: str, scope: Scope) -> list[str]:
    info = msgspec.inspect.type_info(cls)
    assert isinstance(info, TypedDictType)
    required = {field.name: field.required for field in info.fields}
    base = scope.use("typing", "TypedDict")
    texts = {key: annotation(_plain(kind), scope) for key, kind in _hints(cls).items()}
    for key, text in texts.items():
        if not required[key]:
            texts[key] = f"{scope.use('typing', 'NotRequired')}[{text}]"
    if all(key.isidentifier() and not keyword.iskeyword(key) for key in texts):
        variables = ", ".join(annotation(one, scope, at_once=True) for one in type_arguments(cls))
        bases = [base, f"{scope.use('typing', 'Generic')}[{variables}]"] if variables else [base]
        return _class(name, bases, cls.__doc__, [f"    {key}: {text}" for key, text in texts.items()])
    if type_arguments(cls):
        raise Unwritable("it is generic, and its keys are no names")
    pairs = ", ".join(f"{literal(key, scope)}: {literal(text, scope)}" for key, text in texts.items())
    return [f'{name} = {base}("{name}", {{{pairs}}})']


def _plain(kind: Any) -> Any:
    origin = get_origin(kind)
    name = getattr(origin, "_name", "")
    if origin in (typing.Required, typing.NotRequired) or name == "ReadOnly":
        return _plain(get_args(kind)[0])
    return kind


def _named_tuple(cls: Any, name: str, scope: Scope) -> list[str]:
    hints = _hints(cls)
    variables = ", ".join(annotation(one, scope, at_once=True) for one in type_arguments(cls))
    bases = [scope.use("typing", "NamedTuple")]
    bases += [f"{scope.use('typing', 'Generic')}[{variables}]"] if variables else []
    body: list[str] = []
    for field in cls._fields:
        kind = hints.get(field, Any)
        default = f" = {literal_of(cls._field_defaults[field], kind, scope)}" if field in cls._field_defaults else ""
        body.append(f"    {field}: {annotation(kind, scope)}{default}")
    return _class(name, bases, None if _is_made_up(cls) else cls.__doc__, body)


def _is_made_up(cls: type) -> bool:
    """Tell whether the docstring of a dataclass or named tuple is the one that Python makes up."""
    doc = cls.__doc__ or ""
    return doc.startswith(f"{cls.__name__}(") and doc.endswith(")")
