"""What is sent and handled: each message counted, each one the next, and the watch over it."""

import asyncio
import contextlib
from collections.abc import Callable

from benchmarks.jobs import Job, Report, hear, say
from benchmarks.measuring.clock import Stopwatch

__all__ = ["AnswerTrial", "CastTrial", "CrowdTally", "EventTrial", "Tally"]

_SILENCE = 5.0  # seconds without a message after which no more is expected


class Tally:
    """Counts messages as they are handled; each must be the next one, so loss, repetition and disorder all show."""

    def __init__(self) -> None:
        """Start at nought."""
        self.handled = 0
        self.out_of_order = 0
        self._marks: dict[int, list[Callable[[], object]]] = {}

    def at(self, handled: int, call: Callable[[], object]) -> None:
        """Have `call` called when so many have been handled."""
        self._marks.setdefault(handled, []).append(call)

    def take(self, seq: int) -> None:
        """Count a message."""
        if seq != self.handled:
            self.out_of_order += 1
        self.handled += 1
        if self.handled in self._marks:
            self._pass_mark()

    def _pass_mark(self) -> None:
        for call in self._marks[self.handled]:
            call()

    def problems(self) -> list[str]:
        """Return what is wrong with what came."""
        return [f"{self.out_of_order} messages were not the next one"] if self.out_of_order else []


class CrowdTally(Tally):
    """Counts messages to several actors: for each of them, each must be its next one."""

    def __init__(self, actors: int) -> None:
        """Start at nought."""
        super().__init__()
        self._next = [0] * actors

    def take_of(self, number: int, seq: int) -> None:
        """Count a message to the actor of that number."""
        if seq != self._next[number]:
            self.out_of_order += 1
        self._next[number] += 1
        self.handled += 1
        if self.handled in self._marks:
            self._pass_mark()


class CastTrial:
    """Casts from one sender: the watch runs from the first one sent to the last one handled."""

    def __init__(self, job: Job, on_warm: Callable[[], None], on_done: Callable[[], None]) -> None:
        """Prepare.

        Args:
            job: Says how many.
            on_warm: Called when the warm-up has been handled.
            on_done: Called when all has been handled.
        """
        self._job = job
        self._watch = Stopwatch(job)
        self.tally = Tally()
        self.tally.at(job.warmup, on_warm)
        self.tally.at(job.warmup + job.count, self._watch.end)
        self.tally.at(job.warmup + job.count, on_done)
        self.warmup = range(job.warmup)
        self.timed = range(job.warmup, job.warmup + job.count)
        self.begin = self._watch.begin

    def report(self, problems: list[str]) -> Report:
        """Return the figures."""
        return self._watch.report(self._job.count, self.tally.handled, [*problems, *self.tally.problems()])


class EventTrial:
    """Events from another process: the watch runs from the first one handled to the last one handled."""

    def __init__(self, job: Job, tally: Tally | None = None) -> None:
        """Prepare; needs a running event loop.

        Args:
            job: Says how many.
            tally: Counts them; by default, as the events of one receiver.
        """
        self._job = job
        self._watch = Stopwatch(job)
        self._all_handled = asyncio.Event()
        self.tally = Tally() if tally is None else tally
        self.tally.at(job.warmup, lambda: say(Report(stage="warm")))
        self.tally.at(job.warmup + 1, self._watch.begin)
        self.tally.at(job.warmup + job.count, self._watch.end)
        self.tally.at(job.warmup + job.count, self._all_handled.set)

    async def wait(self) -> None:
        """Say that the publisher may begin, and wait until all has been handled, or nothing more comes."""
        say(Report(stage="ready"))
        before = -1
        while not self._all_handled.is_set() and before != self.tally.handled:
            before = self.tally.handled
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._all_handled.wait(), _SILENCE)

    def report(self, problems: list[str]) -> Report:
        """Return the figures: so many handled after the first."""
        lost = self._job.warmup + self._job.count - self.tally.handled
        found = [*problems, *self.tally.problems(), *([f"{lost} messages were lost"] if lost else [])]
        return self._watch.report(self._job.count - 1, self.tally.handled, found)


class AnswerTrial:
    """Calls from another process, which holds the watch; here they are counted, and the processor's time is."""

    def __init__(self, job: Job) -> None:
        """Start at nought."""
        self.handled = 0
        self._watch = Stopwatch(job)

    async def wait(self) -> None:
        """Say that the callers may begin, and wait until they are done."""
        say(Report(stage="ready"))
        self._watch.begin()
        await asyncio.to_thread(hear)
        self._watch.end()

    def report(self, problems: list[str]) -> Report:
        """Return the figures; warm-up included."""
        return self._watch.report(self.handled, self.handled, problems)
