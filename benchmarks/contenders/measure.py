"""Clocks and counts; every contender is measured by the same lines."""

import asyncio
import contextlib
import gc
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter, process_time

from msgspec import structs

from benchmarks.contenders.values import Quote, is_right
from benchmarks.jobs import Job, Report, hear, say

__all__ = [
    "AnswerTrial",
    "CastTrial",
    "Census",
    "EventTrial",
    "Running",
    "time_blocking_calls",
    "time_calls",
    "time_many",
    "time_quotes",
]

Census = Callable[[], Awaitable[int]]
"""Counts those that have started and live."""

Running = Callable[[range], contextlib.AbstractAsyncContextManager[Census]]
"""Starts children of those numbers; in the block all of them idle; stops them."""

_SILENCE = 5.0  # seconds without a message after which no more is expected


class Tally:
    """Counts messages as they are handled; each must be the next one, so loss, repetition and disorder all show."""

    def __init__(self, marks: dict[int, Callable[[], None]]) -> None:
        """Start at nought.

        Args:
            marks: What to call when so many have been handled.
        """
        self.handled = 0
        self.out_of_order = 0
        self._marks = marks

    def take(self, seq: int) -> None:
        """Count a message."""
        if seq != self.handled:
            self.out_of_order += 1
        self.handled += 1
        if self.handled in self._marks:
            self._marks[self.handled]()

    def problems(self) -> list[str]:
        """Return what is wrong with what came."""
        return [f"{self.out_of_order} messages were not the next one"] if self.out_of_order else []


class _Stopwatch:
    """Time on the wall, and time on a processor."""

    def __init__(self) -> None:
        self._began = self._ended = (0.0, 0.0)

    def begin(self) -> None:
        self._began = (perf_counter(), process_time())

    def end(self) -> None:
        self._ended = (perf_counter(), process_time())

    def report(self, count: int, handled: int, problems: list[str]) -> Report:
        return Report(
            stage="done",
            loop=_current_loop(),
            handled=handled,
            count=count,
            seconds=self._ended[0] - self._began[0],
            cpu_seconds=self._ended[1] - self._began[1],
            problems=tuple(problems),
        )


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
        self._on_done = on_done
        self._watch = _Stopwatch()
        self.tally = Tally({job.warmup: on_warm, job.warmup + job.count: self._done})
        self.warmup = range(job.warmup)
        self.timed = range(job.warmup, job.warmup + job.count)
        self.begin = self._watch.begin

    def _done(self) -> None:
        self._watch.end()
        self._on_done()

    def report(self, problems: list[str]) -> Report:
        """Return the figures."""
        return self._watch.report(self._job.count, self.tally.handled, [*problems, *self.tally.problems()])


class EventTrial:
    """Events from another process: the watch runs from the first one handled to the last one handled."""

    def __init__(self, job: Job) -> None:
        """Prepare; needs a running event loop."""
        self._job = job
        self._watch = _Stopwatch()
        self._all_handled = asyncio.Event()
        self.tally = Tally(
            {
                job.warmup: lambda: say(Report(stage="warm")),
                job.warmup + 1: self._watch.begin,
                job.warmup + job.count: self._done,
            }
        )

    def _done(self) -> None:
        self._watch.end()
        self._all_handled.set()

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

    def __init__(self) -> None:
        """Start at nought."""
        self.handled = 0
        self._watch = _Stopwatch()

    async def wait(self) -> None:
        """Say that the callers may begin, and wait until they are done."""
        say(Report(stage="ready"))
        self._watch.begin()
        await asyncio.to_thread(hear)
        self._watch.end()

    def report(self, problems: list[str]) -> Report:
        """Return the figures; warm-up included."""
        return self._watch.report(self.handled, self.handled, problems)


def _current_loop() -> str:
    """Return where the running event loop comes from; nothing if none runs."""
    try:
        return type(asyncio.get_running_loop()).__module__.partition(".")[0]
    except RuntimeError:
        return ""


async def time_calls(ask: Callable[[int], Awaitable[bool]], job: Job) -> Report:
    """Make all the calls, `job.callers` at a time, and return the figures.

    Args:
        ask: Makes the call of that number; returns whether the answer is right.
        job: Says how many.
    """
    answered = wrong = 0
    watch = _Stopwatch()

    async def caller(seqs: range) -> None:
        nonlocal answered, wrong
        for seq in seqs:
            if not await ask(seq):
                wrong += 1
            answered += 1

    async def all_callers(first: int, end: int) -> None:
        async with asyncio.TaskGroup() as tasks:
            for offset in range(job.callers):
                tasks.create_task(caller(range(first + offset, end, job.callers)))

    await all_callers(0, job.warmup)
    watch.begin()
    await all_callers(job.warmup, job.warmup + job.count)
    watch.end()
    return watch.report(job.count, answered, [f"{wrong} wrong answers"] if wrong else [])


def time_blocking_calls(ask: Callable[[int], bool], job: Job) -> Report:
    """Make all the calls from this thread, one after the other; see `time_calls`."""
    watch = _Stopwatch()
    wrong = sum(not ask(seq) for seq in range(job.warmup))
    watch.begin()
    for seq in range(job.warmup, job.warmup + job.count):
        if not ask(seq):
            wrong += 1
    watch.end()
    return watch.report(job.count, job.warmup + job.count, [f"{wrong} wrong answers"] if wrong else [])


async def time_quotes(quote: Callable[[int, str, int], Awaitable[Quote]], job: Job) -> Report:
    """Make all the calls over NATS; see `time_calls`."""

    async def ask(seq: int) -> bool:
        qty = 1 + seq % 9
        return is_right(await quote(seq, "A1", qty), seq, qty)

    return await time_calls(ask, job)


async def time_many(running: Running, job: Job) -> Report:
    """Start many, let them idle and stop them; say what the start took, and return what the stop took.

    Args:
        running: Starts them, and stops them.
        job: Says how many.
    """
    watch = _Stopwatch()
    warmup, timed = range(job.warmup), range(job.warmup, job.warmup + job.count)
    async with running(warmup):
        pass
    # These stay to the end: they take the memory that those before them gave back, which would spare the others some.
    async with running(warmup) as census_of_warmup:
        tasks, resident = len(asyncio.all_tasks()), _resident_bytes()
        watch.begin()
        async with running(timed) as census:
            watch.end()
            grown = _resident_bytes() - resident
            alive = await census_of_warmup() + await census()
            missing = job.count - (len(asyncio.all_tasks()) - tasks)
            problems = [f"{missing} children have no task"] if missing > 0 else []
            say(structs.replace(watch.report(job.count, alive, problems), stage="started", resident_bytes=grown))
            watch.begin()
        watch.end()
        left = len(asyncio.all_tasks()) - tasks
    return watch.report(job.count, alive, [f"{left} tasks were left"] if left > 0 else [])


def _resident_bytes() -> int:
    """Return how much memory the process holds, garbage excepted."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
