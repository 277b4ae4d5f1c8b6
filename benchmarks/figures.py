"""From what was measured to ratios, one table, and JSON."""

from collections.abc import Sequence
from math import inf, isfinite
from statistics import median
from typing import Any

import msgspec
from msgspec import Struct

from benchmarks.environment import environment
from benchmarks.jobs import Loop, Report
from benchmarks.questions import Floor, Measure, Question, Side

__all__ = ["Range", "Row", "aligned", "as_json", "ratio_text", "rounded", "table"]


class Range(Struct, frozen=True):
    """A figure of several rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Range":
        """Return the range of `values`."""
        return cls(median(values), min(values), max(values))

    @property
    def spread(self) -> float:
        """How far apart the ends are, as a part of the median."""
        return (self.high - self.low) / self.median


class Row:
    """One question on one event loop: what each side did in each round."""

    def __init__(self, question: Question, loop: Loop) -> None:
        self.question = question
        self.loop: Loop = loop
        self.reports: dict[Side, list[Report]] = {side: [] for side in question.sides}

    def rate(self, side: Side) -> Range:
        """Return messages per second."""
        return Range.of([report.rate for report in self.reports[side]])

    def cost(self, side: Side, measure: Measure) -> Range:
        """Return what a side told of `measure`."""
        return Range.of([measure.of(report) for report in self.reports[side]])

    def cost_ratio(self, measure: Measure) -> Range:
        """Return our cost as a multiple of the control's, round by round; infinite where the control's is nothing."""
        costs = [(measure.of(ours), measure.of(control)) for ours, control in self._pairs("control")]
        return Range.of([ours / control if control else inf for ours, control in costs])

    def cpu(self, side: Side) -> float:
        """Return microseconds of processor time per message, of all processes of that side."""
        return median(report.cpu_seconds / report.count * 1e6 for report in self.reports[side])

    def ratio(self, against: Side) -> Range:
        """Return our rate as a multiple of the other side's, round by round: what disturbs a round disturbs both."""
        return Range.of([ours.rate / other.rate for ours, other in self._pairs(against)])

    def reaches(self, floor: Floor) -> bool:
        """Tell whether `floor` is reached."""
        if floor.against == "ideal":
            return self.rate("ours").median >= floor.ratio * floor.ideal
        return self.ratio(floor.against).median >= floor.ratio

    def _pairs(self, against: Side) -> list[tuple[Report, Report]]:
        return list(zip(self.reports["ours"], self.reports[against], strict=True))

    def as_dict(self) -> dict[str, Any]:
        """Return all of it, for JSON."""
        question = self.question
        sides: dict[str, Any] = {
            side: {
                "label": getattr(question, side).label,
                "rate": rounded(self.rate(side)),
                "spread": round(self.rate(side).spread, 3),
                "cpu_us_per_message": round(self.cpu(side), 2),
                "count": self.reports[side][0].count,
                "rates": [round(report.rate, 1) for report in self.reports[side]],
                "figures": [report.figures for report in self.reports[side]],
            }
            for side in question.sides
        }
        return {
            "question": question.label,
            "loop": self.loop,
            "callers": question.callers,
            **sides,
            "ratio_to_control": rounded(self.ratio("control")),
            "ratio_to_peer": None if question.peer is None else rounded(self.ratio("peer")),
            "floors": [{**msgspec.to_builtins(floor), "met": self.reaches(floor)} for floor in question.floors],
        }


def rounded(values: Range) -> dict[str, float]:
    """Return `values` for JSON."""
    return {"median": round(values.median, 3), "low": round(values.low, 3), "high": round(values.high, 3)}


_HEADINGS = (
    "question",
    "loop",
    "ours/s",
    "control/s",
    "ours:control",
    "peer/s",
    "ours:peer",
    "spread",
    "CPU us",
    "floor",
)


def table(rows: Sequence[Row], *, judge: bool) -> list[str]:
    """Return the lines of the summary, a Markdown table.

    Args:
        rows: What to show.
        judge: Whether to say which floors are reached.
    """
    return aligned([_HEADINGS, *(_cells(row, judge=judge) for row in rows)])


def aligned(cells: Sequence[tuple[str, ...]]) -> list[str]:
    """Return the lines of a Markdown table; the first of `cells` are the headings."""
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return [lines[0], rule, *lines[1:]]


def _cells(row: Row, *, judge: bool) -> tuple[str, ...]:
    peer = row.question.peer
    return (
        row.question.label,
        row.loop,
        f"{row.rate('ours').median:,.0f}",
        f"{row.rate('control').median:,.0f}",
        ratio_text(row.ratio("control")),
        "-" if peer is None else f"{row.rate('peer').median:,.0f} {peer.label}",
        "-" if peer is None else ratio_text(row.ratio("peer")),
        "-" if len(row.reports["ours"]) == 1 else f"{row.rate('ours').spread:.0%}",
        ", ".join(f"{row.cpu(side):.3g}" for side in row.question.sides),
        ", ".join(_verdict(row, floor, judge=judge) for floor in row.question.floors) or "-",
    )


def _verdict(row: Row, floor: Floor, *, judge: bool) -> str:
    if not judge:
        return str(floor)
    return f"{floor}: {'met' if row.reaches(floor) else 'NOT met'}"


def ratio_text(ratio: Range) -> str:
    """Return how the tables show `ratio`; that of a single round has no range."""
    if not isfinite(ratio.high):
        return "-"
    once = ratio.low == ratio.high
    return f"{ratio.median:.2f}x" if once else f"{ratio.median:.2f}x ({ratio.low:.2f}-{ratio.high:.2f})"


def as_json(rows: Sequence[Row], costs: Sequence[Struct], *, remark: str) -> bytes:
    """Return everything that was measured, and on what.

    Args:
        rows: What was asked.
        costs: What is told in other units than messages a second.
        remark: Why its figures mean nothing; empty if they do.
    """
    found = {
        "remark": remark,
        "environment": environment(),
        "rows": [row.as_dict() for row in rows],
        "costs": costs,
    }
    return msgspec.json.format(msgspec.json.encode(found), indent=2)
