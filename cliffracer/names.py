"""Actor names, subjects and subject patterns: grammar, matching.

An actor's name is one token of a NATS subject, `inventory`; with the handler it makes the subject
`inventory.reserve`, and with a namespace `eu.prod.inventory.reserve`. An event's pattern is a subject in which a
whole token may be a field, `orders.{order_id}.cancelled`, or one of the wildcards of NATS, `*` (one token) and `>`
(one or more, only at the end).
"""

import re
from typing import TypeGuard

from msgspec import Struct

__all__ = [
    "ADDRESS_RULE",
    "NAME_RULE",
    "Pattern",
    "is_address",
    "is_name",
    "is_namespace",
    "matches",
    "overlap",
    "parse_pattern",
    "subject_problem",
]

# ADR-32 asks the same of a service's name, so that each actor can be one.
NAME_RULE = "use 1 to 64 letters, digits, '_' and '-', the first of them no '-'."
ADDRESS_RULE = "use 1 to 64 letters, digits, '_' and '-', the first of them a letter or a digit."
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")
_FIELD = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SUBJECT = re.compile(r"[^\s\x00-\x1f\x7f.*>]+(?:\.[^\s\x00-\x1f\x7f.*>]+)*")
# The server closes the connection over a line of more than 4096 bytes, and subject and reply subject share one.
_MAX_SUBJECT = 2000  # bytes
_FORBIDDEN = re.compile(r"[\s\x00-\x1f\x7f]")


def is_name(text: object) -> TypeGuard[str]:
    """Tell whether `text` can name an actor; `NAME_RULE` says what can."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


def is_address(text: object) -> TypeGuard[str]:
    """Tell whether an actor can be reached by the name `text`; `ADDRESS_RULE` says what can.

    Subjects that begin with `_` are inboxes: replies go there, and to nobody else.
    """
    return is_name(text) and not text.startswith("_")


def is_namespace(text: str) -> bool:
    """Tell whether `text` can be a namespace: addresses joined by dots."""
    return all(is_address(token) for token in text.split("."))


def subject_problem(subject: str, *, wildcards: bool = False) -> str | None:
    """Return what is wrong with `subject`, or None if it can be published to.

    Args:
        subject: The subject.
        wildcards: Whether `*` and `>` are allowed, as they are for a subscription.
    """
    if not subject:
        return "it is empty"
    if len(subject) * 4 > _MAX_SUBJECT and len(subject.encode(errors="replace")) > _MAX_SUBJECT:
        return f"it is over {_MAX_SUBJECT} bytes"
    return None if _SUBJECT.fullmatch(subject) else _problem_of_tokens(subject, wildcards)


def _problem_of_tokens(subject: str, wildcards: bool) -> str | None:
    if _FORBIDDEN.search(subject):
        return "it contains white space or a control character"
    tokens = subject.split(".")
    for index, part in enumerate(tokens):
        if not part:
            return "it has an empty token"
        if part == ">" and wildcards:
            if index != len(tokens) - 1:
                return "'>' is not its last token"
        elif part == "*" and wildcards:
            continue
        elif "*" in part or ">" in part:
            return f"the token {part!r} holds a wildcard"
    return None


def matches(pattern: str, subject: str) -> bool:
    """Tell whether `subject` matches the NATS subscription `pattern`."""
    expected, tokens = pattern.split("."), subject.split(".")
    if expected[-1] == ">":
        expected.pop()
        if len(tokens) <= len(expected):
            return False
    elif len(tokens) != len(expected):
        return False
    return all(want in ("*", got) for want, got in zip(expected, tokens, strict=False))


def overlap(one: str, other: str) -> bool:
    """Tell whether a subject can match both of two NATS subscriptions without `>`."""
    first, second = one.split("."), other.split(".")
    return len(first) == len(second) and all(
        "*" in (want, wanted) or want == wanted for want, wanted in zip(first, second, strict=True)
    )


class Pattern(Struct, frozen=True):
    """What an event handler listens to.

    Attributes:
        text: As written: `orders.{order_id}.cancelled`.
        subject: The subject to subscribe to: `orders.*.cancelled`.
        fields: Names of the fields with the index of their token: `(("order_id", 1),)`.
    """

    text: str
    subject: str
    fields: tuple[tuple[str, int], ...]

    def extract(self, subject: str) -> tuple[str, ...]:
        """Return the tokens of a matching `subject` that stand for the fields, in their order."""
        tokens = subject.split(".")
        return tuple(tokens[index] for _, index in self.fields)


def parse_pattern(text: str) -> Pattern:
    """Return the pattern that `text` writes.

    Raises:
        ValueError: It is no pattern; the message says why.
    """
    tokens: list[str] = []
    fields: list[tuple[str, int]] = []
    for index, token in enumerate(text.split(".")):
        if field := _FIELD.fullmatch(token):
            fields.append((field[1], index))
            tokens.append("*")
        elif "{" in token or "}" in token:
            raise ValueError(f"a field is a whole token, like '{{order_id}}', and not {token!r}")
        else:
            tokens.append(token)
    subject = ".".join(tokens)
    if problem := subject_problem(subject, wildcards=True):
        raise ValueError(problem)
    names = [name for name, _ in fields]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"the field {doubled[0]!r} stands in it twice")
    return Pattern(text=text, subject=subject, fields=tuple(fields))
