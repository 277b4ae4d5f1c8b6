"""Costs: bytes, microseconds, and how they grow; less is better here, and a ratio says how many times as much."""

from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import astuple

from benchmarks.figures import Range, Row, Side, aligned, ratio_text
from benchmarks.jobs import Loop

__all__ = ["Cost", "costs", "costs_table"]

Unit = Literal["B", "us", "x"]

_TEN = 10


class Cost(Struct, frozen=True, kw_only=True):
    """One line of the table.

    Attributes:
        name: What costs.
        loop: The event loop.
        unit: Bytes, microseconds, or a multiple.
        figures: The figure of each side; medians.
        peer: What the peer is called; empty if there is none.
        ratio: Ours as a multiple of the control's.
        aim: What is to be reached; empty if nothing is.
        met: Whether it is.
    """

    name: str
    loop: Loop
    unit: Unit
    figures: dict[Side, float]
    peer: str
    ratio: Range
    aim: str = ""
    met: bool | None = None


def costs(rows: Sequence[Row]) -> list[Cost]:
    """Return what is told in other units than messages a second."""
    return [
        *(_memory(row, row.question.most_bytes) for row in rows if row.question.most_bytes is not None),
        *_growths(rows),
        *(_latency(row) for row in rows if row.question.as_latency),
    ]


def _memory(row: Row, most: int) -> Cost:
    each = {side: row.bytes_each(side).median for side in row.question.sides}
    pairs = zip(row.reports["ours"], row.reports["control"], strict=True)
    ratio = Range.of([(a.resident_bytes / a.count) / (b.resident_bytes / b.count) for a, b in pairs])
    return _cost(
        row,
        "B",
        f"memory of an idle child, {row.question.children:,} children",
        each,
        ratio,
        aim=f"at most {most:,} B",
        met=each["ours"] <= most,
    )


def _growths(rows: Sequence[Row]) -> Iterator[Cost]:
    """Yield by how much a start, or a stop, costs more with ten times as many children; in linear time, by nothing."""
    for small in rows:
        for large in rows:
            same = (small.question.name, small.loop) == (large.question.name, large.loop)
            if same and small.question.children and large.question.children == _TEN * small.question.children:
                yield _growth(small, large)


def _growth(small: Row, large: Row) -> Cost:
    # The two did not run in the same rounds: processor time depends less than the clock on what disturbs only one.
    growth = {side: large.cpu(side) / small.cpu(side) for side in small.question.sides}
    name = f"growth of a {small.question.name}, {small.question.children:,} to {large.question.children:,} children"
    return _cost(large, "x", name, growth, Range.of([growth["ours"] / growth["control"]]))


def _latency(row: Row) -> Cost:
    micros = {side: 1e6 / row.rate(side).median for side in row.question.sides}
    rates = row.ratio("control")
    ratio = Range(1 / rates.median, 1 / rates.high, 1 / rates.low)
    floor = row.question.floor
    aim = "" if floor is None else f"at most {1 / floor.ratio:.3g}x {floor.against}"
    return _cost(row, "us", row.question.name, micros, ratio, aim=aim, met=row.floor_met())


def _cost(
    row: Row, unit: Unit, name: str, figures: dict[Side, float], ratio: Range, *, aim: str = "", met: bool | None = None
) -> Cost:
    peer = row.question.peer
    return Cost(
        name=name,
        loop=row.loop,
        unit=unit,
        figures={side: round(figure, 3) for side, figure in figures.items()},
        peer="" if peer is None else peer.label,
        ratio=Range(*(round(end, 3) for end in astuple(ratio))),
        aim=aim,
        met=met,
    )


_HEADINGS = ("cost", "loop", "ours", "control", "ours:control", "peer", "aim")


def costs_table(lines: Sequence[Cost], *, smoke: bool) -> list[str]:
    """Return the lines of the table of costs, in Markdown; a smoke run says nothing about aims."""
    return aligned([_HEADINGS, *(_cells(line, judge=not smoke) for line in lines)])


def _cells(cost: Cost, *, judge: bool) -> tuple[str, ...]:
    verdict = f": {'met' if cost.met else 'NOT met'}" if judge and cost.aim else ""
    return (
        cost.name,
        cost.loop,
        _figure(cost, "ours"),
        _figure(cost, "control"),
        ratio_text(cost.ratio),
        f"{_figure(cost, 'peer')} {cost.peer}" if cost.peer else "-",
        f"{cost.aim}{verdict}" or "-",
    )


def _figure(cost: Cost, side: Side) -> str:
    value = cost.figures[side]
    match cost.unit:
        case "B":
            return f"{value:,.0f} B"
        case "us":
            return f"{value:.3g} us"
        case "x":
            return f"{value:.2f}x"
