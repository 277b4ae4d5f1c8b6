"""Cliffracer: actors of one node, called and cast to from there."""

import asyncio

import anyio

from benchmarks.contenders.ours_node import new_node, problems_of, with_problems
from benchmarks.contenders.values import NAP
from benchmarks.jobs import Job, say
from benchmarks.measuring.timing import time_calls
from benchmarks.measuring.trials import CastTrial, Tally
from cliffracer import Actor, call, cast, child, pool

__all__ = ["Sleeper", "local_call", "local_cast", "pooled_call"]


class Counter(Actor):
    """Takes casts."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally

    @cast
    async def take(self, seq: int) -> None:
        self.tally.take(seq)


class Doubler(Actor):
    """Answers calls."""

    @call
    async def double(self, number: int) -> int:
        return number * 2


class Sleeper(Actor):
    """Answers calls after a while."""

    @call
    async def double(self, number: int) -> int:
        await anyio.sleep(NAP)
        return number * 2


async def local_cast(job: Job) -> None:
    """Cast to an actor of the same node."""
    warm, done = asyncio.Event(), asyncio.Event()
    trial = CastTrial(job, warm.set, done.set)
    async with new_node(job, child(Counter, trial.tally)) as node:
        counter = node.ref(Counter)
        for seq in trial.warmup:
            await counter.take(seq)
        await warm.wait()
        trial.begin()
        for seq in trial.timed:
            await counter.take(seq)
        await done.wait()
        say(trial.report(problems_of(node)))


async def local_call(job: Job) -> None:
    """Call an actor of the same node."""
    async with new_node(job, child(Doubler)) as node:
        doubler = node.ref(Doubler)

        async def ask(seq: int) -> bool:
            return await doubler.double(seq) == seq * 2

        report = await time_calls(ask, job)
        say(with_problems(report, node))


async def pooled_call(job: Job) -> None:
    """Call a pool of the same node."""
    async with new_node(job, pool(Sleeper, size=job.actors)) as node:
        sleeper = node.ref(Sleeper)

        async def ask(seq: int) -> bool:
            return await sleeper.double(seq) == seq * 2

        report = await time_calls(ask, job)
        say(with_problems(report, node))
