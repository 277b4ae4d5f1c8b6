"""What an actor class declares that it publishes: `publishes = {"orders.{order_id}.cancelled": OrderCancelled}`.

The declaration is compiled and checked when the class is made. Then what is published is held to it.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast, is_typeddict

from msgspec import Struct

from cliffracer.codec import ValueCodec, encode
from cliffracer.errors import DefinitionError
from cliffracer.names import Pattern, overlap, parse_pattern

__all__ = ["Publication", "Publications", "build_publications"]

_FIX = 'write publishes = {"orders.{order_id}.cancelled": OrderCancelled}, a subject and the type of its payload.'
_FIELD = r"[^\s\x00-\x1f\x7f.*>]+"


class Publication(Struct, frozen=True, eq=False):
    """One line of what a class publishes.

    Attributes:
        pattern: The subject, with its fields.
        codec: Of the payload.
    """

    pattern: Pattern
    codec: ValueCodec


class Publications:
    """All that a class publishes, inherited lines included. Empty: it declares nothing, and publishes what it likes."""

    __slots__ = ("_all", "_subjects")

    def __init__(self, publications: tuple[Publication, ...] = ()) -> None:
        """Compile one expression that finds the publication of a subject."""
        self._all = publications
        self._subjects = re.compile("|".join(f"({_expression(one.pattern)})" for one in publications))

    def __iter__(self) -> Iterator[Publication]:
        return iter(self._all)

    def check(self, label: str, subject: str, value: Any) -> None:
        """Hold what is about to be published to what was declared; does nothing where nothing was.

        An object of the declared Struct class itself passes as it is, for its fields are the type checker's business.
        Anything else must be of the declared class, and is encoded, and must decode as the declared type.

        Args:
            label: The class, for the message.
            subject: Where it goes.
            value: What goes there.

        Raises:
            ValueError: The subject is not declared.
            TypeError: The value is not of the declared type; the message gives the path of the bad field.
        """
        if not self._all:
            return
        match = self._subjects.fullmatch(subject)
        if match is None or match.lastindex is None:
            declared = ", ".join(repr(one.pattern.text) for one in self._all)
            raise ValueError(
                f"{label} does not declare that it publishes to {subject!r}. It declares {declared}. "
                "Publish to one of these, or add the subject to its 'publishes'."
            )
        publication = self._all[match.lastindex - 1]
        expected = publication.codec.type
        if type(value) is expected and isinstance(value, Struct):
            return
        try:
            publication.codec.decode(encode(value, "json"))
            problem = None if _is_instance(value, expected) else f"Expected `{_name(expected)}` - at `$`"
        except ValueError as error:
            problem = str(error)
        if problem is not None:
            raise TypeError(
                f"cannot publish to {subject!r}: {problem}. {label} declares {_name(expected)} "
                f"for {publication.pattern.text!r}, and this is of the type {type(value).__name__}."
            )


def build_publications(cls: type, where: str) -> Publications:
    """Return what an actor class publishes, inherited lines included.

    Args:
        cls: The class that is being made.
        where: Its source line, for errors.

    Raises:
        DefinitionError: A line is wrong; the message shows the line of the class, and the fix.
    """
    found: dict[str, Publication] = {}
    for base in reversed(cls.__mro__):
        declared: object = vars(base).get("publishes")
        if base is not cls:
            inherited = vars(base).get("__publications__")
            lines = list(inherited) if isinstance(inherited, Publications) else _compile(cls, declared or {}, where)
        elif "publishes" in vars(cls):
            lines = _compile(cls, declared, where)
            if not lines:
                raise DefinitionError(where, f"{cls.__name__}.publishes is empty, which says nothing.", _FIX)
        else:
            lines = []
        for line in lines:
            _check_against(cls, line, found, where)
            found.setdefault(line.pattern.text, line)
    return Publications(tuple(found.values()))


def _compile(cls: type, declared: object, where: str) -> list[Publication]:
    if not isinstance(declared, Mapping):
        raise DefinitionError(where, f"{cls.__name__}.publishes is {declared!r}.", _FIX)
    return [_line(cls, text, kind, where) for text, kind in cast("Mapping[object, Any]", declared).items()]


def _line(cls: type, text: object, kind: Any, where: str) -> Publication:
    label = f"{cls.__name__}.publishes: {text!r}"
    if not isinstance(text, str):
        raise DefinitionError(where, f"{label} is no subject.", _FIX)
    try:
        pattern = parse_pattern(text)
    except ValueError as error:
        raise DefinitionError(where, f"{label} is no subject: {error}.", _FIX) from None
    if len(pattern.fields) != pattern.subject.count("*") or pattern.subject.endswith(">"):
        raise DefinitionError(
            where, f"{label} holds a wildcard.", "name what varies, as a field: 'orders.{order_id}.cancelled'."
        )
    try:
        return Publication(pattern, ValueCodec(kind))
    except (TypeError, NameError, AttributeError) as error:
        raise DefinitionError(
            where,
            f"{label}: {error}",
            "give a type that msgspec can encode: Structs, dataclasses, builtins, datetime, Enum, Literal...",
        ) from None


def _check_against(cls: type, line: Publication, found: dict[str, Publication], where: str) -> None:
    """Refuse two types for one subject: who listens to it could not tell them apart."""
    for other in found.values():
        if other.codec.type != line.codec.type and overlap(other.pattern.subject, line.pattern.subject):
            raise DefinitionError(
                where,
                f"{cls.__name__}.publishes: a subject may fit both {other.pattern.text!r} and {line.pattern.text!r}, "
                f"with {_name(other.codec.type)} for the one and {_name(line.codec.type)} for the other.",
                "give both the same type, or tell the subjects apart.",
            )


def _is_instance(value: Any, expected: Any) -> bool:
    """Tell whether `value`, which decodes as `expected`, is of that class, where it is one whose objects are its own.

    A list may stand for a tuple, an int for a float: they look the same once they are sent.
    """
    is_class = isinstance(expected, type) and not is_typeddict(expected)
    return not is_class or expected in _INTERCHANGEABLE or isinstance(value, expected)


_INTERCHANGEABLE = (Any, float, list, tuple, set, frozenset, bytes, bytearray, memoryview)


def _expression(pattern: Pattern) -> str:
    return r"\.".join(_FIELD if part == "*" else re.escape(part) for part in pattern.subject.split("."))


def _name(value_type: Any) -> str:
    return value_type.__name__ if isinstance(value_type, type) else repr(value_type)
