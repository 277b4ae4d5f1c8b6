"""Cliffracer: actors that hear and answer over NATS, and a node that publishes."""

import asyncio
from functools import partial

import anyio

from benchmarks.contenders.ours_node import new_node, problems_of, with_problems
from benchmarks.contenders.values import EVENT, NAP, PASSED_ON, Order, Quote, quote_for
from benchmarks.contenders.witness import Witness
from benchmarks.jobs import Job, Report, hear, say
from benchmarks.measuring.timing import time_calls, time_publishes, time_quotes
from benchmarks.measuring.trials import AnswerTrial, CrowdTally, EventTrial, Tally
from cliffracer import Actor, call, cast, child, event, pool

__all__ = [
    "ask",
    "ask_pool",
    "publish",
    "receive",
    "receive_casts",
    "receive_with_headers",
    "respond",
    "respond_from_pool",
]


class Receiver(Actor):
    """Hears events."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally

    @event(EVENT)
    async def on_placed(self, order: Order) -> None:
        self.tally.take(order.seq)


class Counter(Actor):
    """Takes casts, beside others of its kind."""

    def __init__(self, number: int, tally: CrowdTally) -> None:
        self.number = number
        self.tally = tally

    @cast
    async def take(self, seq: int) -> None:
        self.tally.take_of(self.number, seq)


class Echo(Actor):
    """Answers calls from other processes."""

    def __init__(self, trial: AnswerTrial) -> None:
        self.trial = trial

    @call
    async def quote(self, seq: int, sku: str, qty: int) -> Quote:
        self.trial.handled += 1
        return quote_for(seq, sku, qty)


class Sleeper(Actor):
    """Answers calls from other processes after a while."""

    def __init__(self, trial: AnswerTrial) -> None:
        self.trial = trial

    @call
    async def double(self, number: int) -> int:
        await anyio.sleep(NAP)
        self.trial.handled += 1
        return number * 2


async def receive(job: Job) -> None:
    """Hear events over NATS, with the default mailbox; an event that it drops voids the figure."""
    trial = EventTrial(job)
    async with new_node(job, child(Receiver, trial.tally)) as node:
        await trial.wait()
        say(trial.report(problems_of(node)))


async def receive_with_headers(job: Job) -> None:
    """Hear events with headers; what two handlers publish shows that these were read, and are there to be passed on."""
    trial = EventTrial(job)
    async with (
        new_node(job, child(Receiver, trial.tally)) as node,
        Witness(job) as witness,
        asyncio.TaskGroup() as tasks,
    ):
        for seq in witness.seqs:
            # Called by the handler: the task works on the message that the handler works on.
            trial.tally.at(seq + 1, lambda: tasks.create_task(node.publish(PASSED_ON, None)))
        await trial.wait()
        say(trial.report([*problems_of(node), *await witness.problems()]))


async def receive_casts(job: Job) -> None:
    """Take casts over NATS with many actors, each with its own subscription and a default mailbox."""
    tally = CrowdTally(job.actors)
    trial = EventTrial(job, tally)
    crowd = [child(Counter, number, tally).replace(name=f"counter-{number}") for number in range(job.actors)]
    async with new_node(job, *crowd) as node:
        await trial.wait()
        say(trial.report(problems_of(node)))


async def respond(job: Job) -> None:
    """Answer calls over NATS until told to stop."""
    trial = AnswerTrial(job)
    async with new_node(job, child(Echo, trial)) as node:
        await trial.wait()
        say(trial.report(problems_of(node)))


async def ask(job: Job) -> None:
    """Call an actor in another process."""
    async with new_node(job) as node:
        # There is no Echo here, but one goes the same way where there is one.
        echo = node.ref(Echo, prefer_local=False)
        say(Report(stage="ready"))
        await asyncio.to_thread(hear)
        report = await time_quotes(echo.quote, job)
        say(with_problems(report, node))


async def respond_from_pool(job: Job) -> None:
    """Answer calls over NATS from a pool until told to stop."""
    trial = AnswerTrial(job)
    async with new_node(job, pool(child(Sleeper, trial), size=job.actors)) as node:
        await trial.wait()
        say(trial.report(problems_of(node)))


async def ask_pool(job: Job) -> None:
    """Call a pool in another process."""
    async with new_node(job) as node:
        sleeper = node.ref(Sleeper, prefer_local=False)

        async def ask_for(seq: int) -> bool:
            return await sleeper.double(seq) == seq * 2

        say(Report(stage="ready"))
        await asyncio.to_thread(hear)
        report = await time_calls(ask_for, job)
        say(with_problems(report, node))


async def publish(job: Job) -> None:
    """Publish events from a node."""
    async with new_node(job) as node:
        report = await time_publishes(partial(node.publish, EVENT), job)
        say(with_problems(report, node))
