"""Costs: bytes, times, and how they grow; less is better here, and a ratio says how many times as much."""

from collections.abc import Iterator, Sequence

from msgspec import Struct
from msgspec.structs import astuple

from benchmarks.figures import Range, Row, aligned, ratio_text
from benchmarks.jobs import Loop
from benchmarks.questions import Measure, Side, Unit

__all__ = ["Cost", "costs", "costs_table"]

_TEN = 10


class Cost(Struct, frozen=True, kw_only=True):
    """One line of the table.

    Attributes:
        name: What costs.
        loop: The event loop.
        unit: What the figures are.
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
    told = [_told(row, measure) for row in rows for measure in row.question.measures]
    return [*told, *_growths(rows)]


def _told(row: Row, measure: Measure) -> Cost:
    figures: dict[Side, float] = {side: row.cost(side, measure).median for side in row.question.sides}
    ratio = row.cost_ratio(measure)
    aim, met = "", None
    if measure.most is not None:
        aim, met = f"at most {_text(measure.most, measure.unit)}", figures["ours"] <= measure.most
    elif measure.most_of_control is not None:
        aim, met = f"at most {measure.most_of_control:g}x control", ratio.median <= measure.most_of_control
    return _cost(row, measure.unit, measure.name, figures, ratio, aim=aim, met=met)


def _growths(rows: Sequence[Row]) -> Iterator[Cost]:
    """Yield by how much a start, or a stop, costs more with ten times as many children; in linear time, by nothing."""
    for small in rows:
        for large in rows:
            same = (small.question.name, small.loop) == (large.question.name, large.loop)
            if same and small.question.children and large.question.children == _TEN * small.question.children:
                yield _growth(small, large)


def _growth(small: Row, large: Row) -> Cost:
    # The two did not run in the same rounds: processor time depends less than the clock on what disturbs only one.
    growth: dict[Side, float] = {side: large.cpu(side) / small.cpu(side) for side in small.question.sides}
    name = f"growth of a {small.question.name}, {small.question.children:,} to {large.question.children:,} children"
    return _cost(large, "x", name, growth, Range.of([growth["ours"] / growth["control"]]))


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


def costs_table(lines: Sequence[Cost], *, judge: bool) -> list[str]:
    """Return the lines of the table of costs, in Markdown.

    Args:
        lines: What to show.
        judge: Whether to say which aims are reached.
    """
    return aligned([_HEADINGS, *(_cells(line, judge=judge) for line in lines)])


def _cells(cost: Cost, *, judge: bool) -> tuple[str, ...]:
    verdict = f": {'met' if cost.met else 'NOT met'}" if judge and cost.aim else ""
    return (
        cost.name,
        cost.loop,
        _text(cost.figures["ours"], cost.unit),
        _text(cost.figures["control"], cost.unit),
        ratio_text(cost.ratio),
        f"{_text(cost.figures['peer'], cost.unit)} {cost.peer}" if cost.peer else "-",
        f"{cost.aim}{verdict}" or "-",
    )


def _text(value: float, unit: Unit) -> str:
    match unit:
        case "B" | "messages":
            return f"{value:,.0f} {unit}"
        case "MiB":
            return f"{value:,.1f} MiB"
        case "us" | "ms":
            return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"
        case "x":
            return f"{value:.2f}x"
