"""Is it the same?"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal, TypeAlias

from tests.supervision.replay.order import explain, pattern_of, with_killed_at_the_end
from tests.supervision.replay.reasons import REFUSED
from tests.supervision.replay.scenario import Json, Record

__all__ = ["Difference", "Level", "compare"]

Level: TypeAlias = Literal["A", "B", "C"]

_PLAIN_KEYS = ("result", "batch", "queued", "alive", "exit")
_VALIDATION = re.compile(r"\b(?:start_spec|supervisor_data):\w+|\bbad_start_spec\b")


@dataclass(frozen=True)
class Difference:
    """Where a trace is not what it should be.

    Attributes:
        step: The number of the step; the start is 0.
        title: What is done in it.
        key: What of the step differs.
        expected: What it should be.
        got: What it is.
        hint: Where to look.
    """

    step: int
    title: str
    key: str
    expected: Any
    got: Any
    hint: str = ""

    def __str__(self) -> str:
        head = f"step {self.step}, {self.title}: {self.key}{': ' if self.hint else ''}{self.hint}"
        return f"{head}\n    expected {json.dumps(self.expected)}\n    got      {json.dumps(self.got)}"


def compare(record: Record, got: Sequence[Json], level: Level) -> list[Difference]:
    """Return where the trace `got` is not what the record says, up to the end of the first step that differs."""
    for number, expected in enumerate(record.trace):
        title = expected["step"]
        if number >= len(got):
            return [Difference(number, title, "the root had ended before", expected, None)]
        found = list(_compare_step(number, title, expected, got[number], level))
        if found:
            return found
    return []


def _compare_step(number: int, title: str, expected: Json, got: Json, level: Level) -> Iterator[Difference]:
    for key in _PLAIN_KEYS:
        want, have = _in_our_words(expected.get(key)), got.get(key)
        if want != have:
            yield Difference(number, title, key, want, have)
    events = _in_our_words(expected["events"])
    problem = explain(with_killed_at_the_end(pattern_of(events)), got["events"])
    if problem is not None:
        yield Difference(number, title, "events", events, got["events"], problem)
    if level != "A" and expected["sups"] != got.get("sups"):
        yield Difference(number, title, "sups", expected["sups"], got.get("sups"))
    if level == "C":
        want, have = _in_our_words(expected["reports"]), _without_needless_names(expected["reports"], got["reports"])
        if expected.get("reports_unordered"):
            want, have = sorted(want), sorted(have)
        if want != have:
            yield Difference(number, title, "reports", want, have)


def _in_our_words(value: Any) -> Any:
    """Return what a trace says without what only Erlang, or only OTP's validation, has a word for."""
    match value:
        case ["ok", "running", "extra"]:
            return ["ok", "running"]
        case ["error", "invalid_spec", _]:
            return ["error", "invalid_spec", REFUSED]
        case list():
            return [_in_our_words(item) for item in value]
        case dict():
            return {key: _in_our_words(item) for key, item in value.items()}
        case str():
            return _VALIDATION.sub(REFUSED, value)
        case _:
            return value


def _without_needless_names(expected: list[list[str]], got: list[list[str]]) -> list[list[str]]:
    """Return our reports as OTP's would be: what a simple supervisor says of its instances has no order, and no names.

    We name the instance if it was the only one.
    """
    rows = list(got)
    for context, supervisor, child, reason in expected:
        if child == "*1":
            named = [row for row in rows if row[:2] == [context, supervisor] and row[3] == reason]
            if named and not any(row[2] == child for row in named):
                rows[rows.index(named[0])] = [context, supervisor, child, reason]
    ordered: list[list[str]] = []
    for (is_grouped, _), same in groupby(rows, key=lambda row: (row[2].startswith("*"), row[1])):
        together = list(same)
        ordered += sorted(together) if is_grouped else together
    return ordered
