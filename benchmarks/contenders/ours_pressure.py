"""Cliffracer: an actor that gets more than it can handle, and one beside a flood."""

import asyncio

import anyio

from benchmarks.contenders.ours_node import new_node, problems_of
from benchmarks.contenders.publisher import CREDIT_EVERY, WINDOW
from benchmarks.contenders.values import CREDIT, EVENT, HANDLER_TAKES, Order, Progress
from benchmarks.jobs import Job, say
from benchmarks.measuring.pressure import FloodTrial, WaitingTrial
from cliffracer import Actor, Mailbox, call, child, event

__all__ = ["be_flooded", "let_wait"]


class Slow(Actor):
    """Hears events, and takes its time."""

    def __init__(self, trial: WaitingTrial) -> None:
        self.trial = trial

    @event(EVENT)
    async def on_placed(self, order: Order) -> None:
        await anyio.sleep(HANDLER_TAKES)
        self.trial.take(order.seq)


class Flooded(Actor, mailbox=Mailbox(WINDOW)):
    """Hears a flood of events, of which as many are under way as its mailbox holds."""

    def __init__(self, trial: FloodTrial) -> None:
        self.trial = trial

    @event(EVENT)
    async def on_placed(self, order: Order) -> None:
        self.trial.tally.take(order.seq)


class Gauge(Actor):
    """Answers calls meanwhile."""

    def __init__(self, trial: FloodTrial) -> None:
        self.trial = trial

    @call
    async def read(self, seq: int) -> Progress:
        return Progress(seq, self.trial.progress())


async def let_wait(job: Job) -> None:
    """Hear more than can be handled; the mailbox is the default one, and drops what it has no room for."""
    trial = WaitingTrial(job)
    async with new_node(job, child(Slow, trial)) as node:

        def dropped() -> int:
            return node.statistics()["slow"].mailbox.dropped

        await trial.wait(lambda: trial.handled + dropped())
        say(trial.report({"dropped": dropped()}, problems_of(node, may_drop=True)))


async def be_flooded(job: Job) -> None:
    """Hear a flood with one actor, and have another one called meanwhile."""
    async with asyncio.TaskGroup() as tasks:

        def give_credit(handled: int) -> None:
            tasks.create_task(node.publish(CREDIT, handled))

        trial = FloodTrial(job, CREDIT_EVERY, give_credit)
        async with new_node(job, child(Flooded, trial), child(Gauge, trial)) as node:
            await trial.wait()
            say(trial.report(problems_of(node)))
