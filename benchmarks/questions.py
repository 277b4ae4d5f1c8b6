"""What is asked: who takes part, what is counted, and what is to be reached."""

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from benchmarks.jobs import Report

__all__ = ["SIDES", "Contender", "Floor", "Measure", "Question", "Side", "Unit", "figure"]

Side = Literal["ours", "control", "peer"]
Unit = Literal["B", "MiB", "us", "ms", "x", "messages"]
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
    """The rate that is to be reached: so many times that of another side, or of an ideal one.

    Attributes:
        against: Whose rate.
        ratio: How many times that.
        ideal: The ideal rate, messages a second; only where it is held against that.
    """

    against: Side | Literal["ideal"]
    ratio: float
    ideal: float = 0.0

    def __str__(self) -> str:
        """Return how the table calls it."""
        return f"{self.ratio:g}x {f'of {self.ideal:,.0f}/s' if self.against == 'ideal' else self.against}"


class Measure(Struct, frozen=True):
    """A cost that each side's report tells: a line in the table of costs.

    Attributes:
        name: What costs.
        unit: In what it is told.
        of: Takes it from a report.
        most: What ours may be; None if nothing is asked.
        most_of_control: How many times the control's ours may be; None if nothing is asked.
    """

    name: str
    unit: Unit
    of: Callable[[Report], float]
    most: float | None = None
    most_of_control: float | None = None


def figure(name: str) -> Callable[[Report], float]:
    """Return what takes the figure of that name from a report."""
    return lambda report: report.figures[name]


class Question(Struct, frozen=True):
    """One question; it makes one row for each event loop.

    Attributes:
        name: How the table calls it, with the number of children.
        role: Function in each contender's module.
        ours: Our side.
        control: The least that does the job.
        peer: Who else does the job; None if nobody does.
        floors: What is to be reached.
        callers: How many calls may be under way at once.
        actors: How many actors the messages go to.
        warmup: Messages before the clock starts; None for a tenth of the others.
        one_core: Whether each side is kept on one core.
        rounds: How often each side is run, in a full run.
        smoke_count: Messages, or children, at most, in a smoke run.
        children: How many are started or stopped; with ten times as many beside it, the growth of the cost is told.
        measures: What it tells among the costs.
        tells_rate: Whether it is told as a rate, too.
    """

    name: str
    role: str
    ours: Contender
    control: Contender
    peer: Contender | None = None
    floors: tuple[Floor, ...] = ()
    callers: int = 1
    actors: int = 1
    warmup: int | None = None
    one_core: bool = False
    rounds: int = 7
    smoke_count: int = 300
    children: int = 0
    measures: tuple[Measure, ...] = ()
    tells_rate: bool = True

    @property
    def label(self) -> str:
        """What its rows are called."""
        return f"{self.name}, {self.children:,} children" if self.children else self.name

    @property
    def sides(self) -> tuple[Side, ...]:
        """Those that take part."""
        return SIDES if self.peer is not None else ("ours", "control")
