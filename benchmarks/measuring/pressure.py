"""More than can be handled: what waits, what it holds, and who has to wait beside it."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from math import ceil
from statistics import median
from time import perf_counter

import anyio
from msgspec import structs

from benchmarks.jobs import Job, Report, hear, say
from benchmarks.measuring.clock import Stopwatch
from benchmarks.measuring.memory import HighWater
from benchmarks.measuring.trials import EventTrial

__all__ = ["FloodTrial", "WaitingTrial", "milliseconds"]

_TICK = 0.005  # seconds that the timer beside a flood asks for
_MIB = 1024 * 1024
_SILENCE = 5.0  # seconds without a message after which no more is expected
_LOOK = 0.05  # seconds between two looks at how many have come


class WaitingTrial:
    """Events that come faster than they are handled: the most memory that the process holds until all have come.

    Those that are handled must be in order; the others must be accounted for.
    """

    def __init__(self, job: Job) -> None:
        """Prepare."""
        self.handled = 0
        self._last = -1
        self._out_of_order = 0
        self._job = job
        self._watch = Stopwatch(job)
        self._memory = HighWater()

    def take(self, seq: int) -> None:
        """Count an event that has been handled."""
        if seq <= self._last:
            self._out_of_order += 1
        self._last = seq
        self.handled += 1
        if self.handled == self._job.warmup:
            self._memory.begin()
            self._watch.begin()
            say(Report(stage="warm"))

    async def wait(self, accounted: Callable[[], int]) -> None:
        """Say that the publisher may begin, and wait until all is accounted for, or nothing more comes.

        Args:
            accounted: Returns for how many events it is known where they are.
        """
        say(Report(stage="ready"))
        before, changed = accounted(), perf_counter()
        while before < self._job.warmup + self._job.count:
            await asyncio.sleep(_LOOK)
            if (now := accounted()) != before:
                before, changed = now, perf_counter()
            elif self.handled >= self._job.warmup and perf_counter() - changed > _SILENCE:
                return

    def report(self, where: dict[str, int], problems: list[str]) -> Report:
        """Return the figures.

        Args:
            where: Where the events are that were not handled.
            problems: What went wrong.
        """
        self._watch.end()
        grown = self._memory.end()
        accounted = self.handled + sum(where.values())
        found = [*problems, *([f"{self._out_of_order} events were out of order"] if self._out_of_order else [])]
        report = self._watch.report(self._job.count, accounted, found)
        return structs.replace(report, figures={"grown_mib": grown / _MIB, "handled": self.handled, **where})


class FloodTrial:
    """A flood of events from another process: how late a timer wakes meanwhile, and how far the flood has come."""

    def __init__(self, job: Job, every: int, give_credit: Callable[[int], None]) -> None:
        """Prepare; needs a running event loop.

        Args:
            job: Says how many.
            every: How many events are handled between two credits.
            give_credit: Tells the publisher how many have been handled.
        """
        self._job = job
        self._late: list[float] = []
        self._events = EventTrial(job)
        self.tally = self._events.tally
        for handled in range(every, job.warmup + job.count + 1, every):
            self.tally.at(handled, partial(give_credit, handled))
        self.answered = 0

    def progress(self) -> int:
        """Answer a call beside the flood: return how many events have been handled."""
        self.answered += 1
        return self.tally.handled

    async def wait(self) -> None:
        """Let the flood come, and wait until it is over and the caller knows that."""
        timer = asyncio.create_task(self._wake_often())
        await self._events.wait()
        await asyncio.to_thread(hear)
        timer.cancel()

    async def _wake_often(self) -> None:
        while True:
            amid, before = self._is_under_way(), perf_counter()
            await anyio.sleep(_TICK)
            took = perf_counter() - before
            if amid and self._is_under_way():
                self._late.append(max(0.0, took - _TICK))

    def _is_under_way(self) -> bool:
        return self._job.warmup < self.tally.handled < self._job.warmup + self._job.count

    def report(self, problems: list[str]) -> Report:
        """Return the figures."""
        report = self._events.report(problems)
        figures = {"answered": self.answered, "wakes": len(self._late), **milliseconds("late", self._late)}
        return structs.replace(report, figures=figures)


def milliseconds(name: str, seconds: Sequence[float]) -> dict[str, float]:
    """Return median, 99th percentile and worst of `seconds`; nought if there are none."""
    ordered = sorted(seconds) or [0.0]
    figures = {"median": median(ordered), "p99": ordered[ceil(0.99 * len(ordered)) - 1], "worst": ordered[-1]}
    return {f"{name}_{which}_ms": figure * 1e3 for which, figure in figures.items()}
