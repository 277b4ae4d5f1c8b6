"""Calls, publishes and children, each timed from here, where they are made."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from msgspec import structs

from benchmarks.contenders.values import Order, Quote, is_right, order_of
from benchmarks.jobs import Job, Report, hear, say
from benchmarks.measuring.clock import Stopwatch
from benchmarks.measuring.memory import resident_bytes

__all__ = ["Census", "Running", "time_blocking_calls", "time_calls", "time_many", "time_publishes", "time_quotes"]

Census = Callable[[], Awaitable[int]]
"""Counts those that have started and live."""

Running = Callable[[range], contextlib.AbstractAsyncContextManager[Census]]
"""Starts children of those numbers; in the block all of them idle; stops them."""


async def time_calls(ask: Callable[[int], Awaitable[bool]], job: Job) -> Report:
    """Make all the calls, `job.callers` at a time, and return the figures.

    Args:
        ask: Makes the call of that number; returns whether the answer is right.
        job: Says how many.
    """
    answered = wrong = 0
    watch = Stopwatch(job)

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
    watch = Stopwatch(job)
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


async def time_publishes(publish: Callable[[Order], Awaitable[None]], job: Job) -> Report:
    """Publish all the events, one after the other; the watch runs until all have arrived at a subscriber.

    Args:
        publish: Publishes one event; it need not be on its way when that returns.
        job: Says how many.
    """
    watch = Stopwatch(job)
    say(Report(stage="ready"))
    await asyncio.to_thread(hear)
    for seq in range(job.warmup):
        await publish(order_of(seq))
    await asyncio.to_thread(hear)  # the subscriber has the warm-up
    watch.begin()
    for seq in range(job.warmup, job.warmup + job.count):
        await publish(order_of(seq))
    await asyncio.to_thread(hear)  # the subscriber has it all
    watch.end()
    return watch.report(job.count, job.warmup + job.count, [])


async def time_many(running: Running, job: Job) -> Report:
    """Start many, let them idle and stop them; say what the start took, and return what the stop took.

    Args:
        running: Starts them, and stops them.
        job: Says how many.
    """
    watch = Stopwatch(job)
    warmup, timed = range(job.warmup), range(job.warmup, job.warmup + job.count)
    async with running(warmup):
        pass
    # These stay to the end: they take the memory that those before them gave back, which would spare the others some.
    async with running(warmup) as census_of_warmup:
        tasks, resident = len(asyncio.all_tasks()), resident_bytes()
        watch.begin()
        async with running(timed) as census:
            watch.end()
            grown = resident_bytes() - resident
            alive = await census_of_warmup() + await census()
            missing = job.count - (len(asyncio.all_tasks()) - tasks)
            problems = [f"{missing} children have no task"] if missing > 0 else []
            started = watch.report(job.count, alive, problems)
            say(structs.replace(started, stage="started", figures={"bytes_each": grown / job.count}))
            watch.begin()
        watch.end()
        left = len(asyncio.all_tasks()) - tasks
    return watch.report(job.count, alive, [f"{left} tasks were left"] if left > 0 else [])
