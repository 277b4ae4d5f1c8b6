"""From what was measured to ratios, one table, and JSON."""

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, Literal

import msgspec
from msgspec import Struct

from benchmarks.jobs import Loop, Report
from cliffracer.transport.server import find_server_binary

__all__ = [
    "Contender",
    "Floor",
    "Question",
    "Range",
    "Row",
    "Side",
    "aligned",
    "as_json",
    "environment",
    "ratio_text",
    "table",
]

Side = Literal["ours", "control", "peer"]
SIDES: tuple[Side, ...] = ("ours", "control", "peer")


class Contender(Struct, frozen=True):
    """Who takes part, with how many messages: enough for about half a second.

    Attributes:
        label: What it is called in the table.
        module: Module in `contenders`.
        count: Messages while the clock runs, in a full run.
    """

    label: str
    module: str
    count: int


class Floor(Struct, frozen=True):
    """The ratio that is to be reached."""

    against: Side
    ratio: float


class Question(Struct, frozen=True):
    """One question; it makes one row for each event loop.

    Attributes:
        name: How the table calls it, with the number of children.
        role: Function in each contender's module.
        ours: Our side.
        control: The least that does the job.
        peer: Who else does the job; None if nobody does.
        floor: What is to be reached.
        callers: How many calls may be under way at once.
        one_core: Whether each side is kept on one core.
        rounds: How often each side is run, in a full run.
        children: How many are started or stopped; with ten times as many beside it, the growth of the cost is told.
        most_bytes: How many bytes one of them may hold; None if that is not asked.
        as_latency: Whether it is told in microseconds, among the costs, and not as a rate.
    """

    name: str
    role: str
    ours: Contender
    control: Contender
    peer: Contender | None = None
    floor: Floor | None = None
    callers: int = 1
    one_core: bool = False
    rounds: int = 7
    children: int = 0
    most_bytes: int | None = None
    as_latency: bool = False

    @property
    def label(self) -> str:
        """What its rows are called."""
        return f"{self.name}, {self.children:,} children" if self.children else self.name

    @property
    def sides(self) -> tuple[Side, ...]:
        """Those that take part."""
        return SIDES if self.peer is not None else ("ours", "control")


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

    def bytes_each(self, side: Side) -> Range:
        """Return by how many bytes the process has grown for each child."""
        return Range.of([report.resident_bytes / report.count for report in self.reports[side]])

    def cpu(self, side: Side) -> float:
        """Return microseconds of processor time per message, of all processes of that side."""
        return median(report.cpu_seconds / report.count * 1e6 for report in self.reports[side])

    def ratio(self, against: Side) -> Range:
        """Return our rate as a multiple of the other side's, round by round: what disturbs a round disturbs both."""
        pairs = zip(self.reports["ours"], self.reports[against], strict=True)
        return Range.of([ours.rate / other.rate for ours, other in pairs])

    def floor_met(self) -> bool | None:
        """Tell whether the floor is reached; None if there is none."""
        floor = self.question.floor
        return None if floor is None else self.ratio(floor.against).median >= floor.ratio

    def as_dict(self) -> dict[str, Any]:
        """Return all of it, for JSON."""
        question = self.question
        sides: dict[str, Any] = {
            side: {
                "label": getattr(question, side).label,
                "rate": _rounded(self.rate(side)),
                "spread": round(self.rate(side).spread, 3),
                "cpu_us_per_message": round(self.cpu(side), 2),
                "count": self.reports[side][0].count,
                "rates": [round(report.rate, 1) for report in self.reports[side]],
            }
            for side in question.sides
        }
        if question.most_bytes is not None:
            for side in question.sides:
                sides[side]["bytes_each"] = _rounded(self.bytes_each(side))
        return {
            "question": question.label,
            "loop": self.loop,
            "callers": question.callers,
            **sides,
            "ratio_to_control": _rounded(self.ratio("control")),
            "ratio_to_peer": None if question.peer is None else _rounded(self.ratio("peer")),
            "floor": msgspec.to_builtins(question.floor),
            "floor_met": self.floor_met(),
        }


def _rounded(values: Range) -> dict[str, float]:
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


def table(rows: Sequence[Row], *, smoke: bool) -> list[str]:
    """Return the lines of the summary, a Markdown table; a smoke run says nothing about floors."""
    return aligned([_HEADINGS, *(_cells(row, judge=not smoke) for row in rows)])


def aligned(cells: Sequence[tuple[str, ...]]) -> list[str]:
    """Return the lines of a Markdown table; the first of `cells` are the headings."""
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return [lines[0], rule, *lines[1:]]


def _cells(row: Row, *, judge: bool) -> tuple[str, ...]:
    floor, peer = row.question.floor, row.question.peer
    verdict = "-"
    if floor is not None:
        verdict = f"{floor.ratio:g}x {floor.against}"
        if judge:
            verdict += ": met" if row.floor_met() else ": NOT met"
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
        verdict,
    )


def ratio_text(ratio: Range) -> str:
    """Return how the tables show `ratio`; that of a single round has no range."""
    once = ratio.low == ratio.high
    return f"{ratio.median:.2f}x" if once else f"{ratio.median:.2f}x ({ratio.low:.2f}-{ratio.high:.2f})"


_VERSIONS_OF = (
    "cliffracer",
    "anyio",
    "msgspec",
    "nats-py",
    "uvloop",
    "faststream",
    "fast-depends",
    "pykka",
    "pytest",
    "pytest-benchmark",
)


def environment() -> dict[str, Any]:
    """Return what the figures depend on; no path and no host name."""
    return {
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": {name: _version(name) for name in _VERSIONS_OF} | {"nats-server": _server_version()},
    }


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def _server_version() -> str:
    said = subprocess.run([str(find_server_binary()), "--version"], capture_output=True, text=True, check=True).stdout
    return said.rpartition(" ")[2].strip().removeprefix("v")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def as_json(rows: Sequence[Row], costs: Sequence[Struct], *, smoke: bool) -> bytes:
    """Return everything that was measured, and on what."""
    found = {
        "smoke": smoke,
        "environment": environment(),
        "rows": [row.as_dict() for row in rows],
        "costs": costs,
    }
    return msgspec.json.format(msgspec.json.encode(found), indent=2)
