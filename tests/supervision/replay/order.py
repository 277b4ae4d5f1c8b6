"""The order of events, part of which may be left open.

A *pattern* is a sequence of events and groups; the chains of a group go on side by side, and all of them are complete
before what follows the group.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = ["Event", "Group", "Pattern", "explain", "pattern_of", "with_killed_at_the_end"]

Event: TypeAlias = tuple[str, ...]
Pattern: TypeAlias = "tuple[Event | Group, ...]"


@dataclass(frozen=True)
class Group:
    """Chains of which any interleaving is right."""

    chains: tuple[Pattern, ...]


def pattern_of(items: Iterable[Any]) -> Pattern:
    """Return the pattern that stands in a trace: lists for events, dictionaries for groups."""
    return tuple(
        Group(tuple(pattern_of(chain) for chain in item["unordered"])) if isinstance(item, dict) else tuple(item)
        for item in items
    )


def explain(pattern: Pattern, events: Sequence[Sequence[str]]) -> str | None:
    """Return where `events` leaves `pattern`, or None if it is one of the sequences that `pattern` means."""
    left = {pattern}
    for number, event in enumerate(events):
        following = {rest for one in left for rest in _after(one, tuple(event))}
        if not following:
            return f"event {number} is {_name(event)}, and should be {_names(left)}"
        left = following
    return None if () in left else f"it ends after {len(events)}, where {_names(left)} should follow"


def _after(pattern: Pattern, event: Event) -> set[Pattern]:
    """Return what may be left of `pattern` after `event`; nothing if it cannot begin with that."""
    if not pattern:
        return set()
    head, rest = pattern[0], pattern[1:]
    if not isinstance(head, Group):
        return {rest} if head == event else set()
    return {
        _with_group((*head.chains[:index], left, *head.chains[index + 1 :]), rest)
        for index, chain in enumerate(head.chains)
        for left in _after(chain, event)
    }


def _with_group(chains: Iterable[Pattern], rest: Pattern) -> Pattern:
    unfinished = tuple(chain for chain in chains if chain)
    return (Group(unfinished), *rest) if unfinished else rest


def _first_of(pattern: Pattern) -> set[Event]:
    if not pattern:
        return set()
    head = pattern[0]
    return {first for chain in head.chains for first in _first_of(chain)} if isinstance(head, Group) else {head}


def _names(patterns: Iterable[Pattern]) -> str:
    return " or ".join(sorted(_name(event) for event in {e for p in patterns for e in _first_of(p)})) or "the end"


def _name(event: Iterable[str]) -> str:
    return " ".join(event)


def with_killed_at_the_end(pattern: Pattern) -> Pattern:
    """Leave open whether a killed supervisor is gone before its children are.

    In Erlang it is, and they learn of it later. Here, as always with structured concurrency, a task is gone when all
    tasks in it are; so `stop s killed` may come after the stops of what was in `s`. It still comes before anything
    that follows from it, such as a restart. The format has room for that: who ends the children of a killed
    supervisor first does as good as OTP.
    """
    for index, item in enumerate(pattern):
        if isinstance(item, Group):
            rest = tuple(pattern[index + 1 :])
            chains = tuple(with_killed_at_the_end(chain) for chain in item.chains)
            return (*pattern[:index], Group(chains), *with_killed_at_the_end(rest))
        verb, place = item[0], item[1]
        if verb != "stop" or item[2] != "killed":
            continue
        following = pattern[index + 1 :]
        is_group = len(following) == 1 and isinstance(following[0], Group)
        chains = following[0].chains if is_group and isinstance(following[0], Group) else (following,)
        inner = [chain for chain in chains if chain and _is_within(chain, place)]
        if not inner:
            continue
        others = [with_killed_at_the_end(chain) for chain in chains if chain and chain not in inner]
        after: Pattern = others[0] if len(others) == 1 else (Group(tuple(others)),) if others else ()
        loosened = [with_killed_at_the_end(chain) for chain in inner]
        return (*pattern[:index], Group((*loosened, (item, *after))))
    return pattern


def _is_within(chain: Pattern, place: str) -> bool:
    """Tell whether `chain` is nothing but the end of what was in the supervisor at `place`."""
    inside = "" if place == "." else f"{place}/"
    return all(not isinstance(item, Group) and item[0] == "stop" and item[1].startswith(inside) for item in chain)
