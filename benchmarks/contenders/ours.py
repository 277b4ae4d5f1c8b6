"""Cliffracer: actors in a node, in this process or over NATS."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

from msgspec import structs

from benchmarks.contenders.measure import (
    AnswerTrial,
    CastTrial,
    Census,
    EventTrial,
    Tally,
    time_calls,
    time_many,
    time_quotes,
)
from benchmarks.contenders.values import EVENT, Order, Quote, quote_for
from benchmarks.jobs import Job, Report, hear, say
from cliffracer import (
    Actor,
    ChildSpec,
    DynamicSupervisor,
    Mailbox,
    Node,
    Settings,
    Supervisor,
    SupervisorRef,
    call,
    cast,
    child,
    event,
)
from cliffracer.observe.logs import LogLevel

__all__ = ["ask", "local_call", "local_cast", "many", "receive", "respond", "restart"]


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


class Receiver(Actor):
    """Hears events."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally

    @event(EVENT)
    async def on_placed(self, order: Order) -> None:
        self.tally.take(order.seq)


class Echo(Actor):
    """Answers calls from other processes."""

    def __init__(self, trial: AnswerTrial) -> None:
        self.trial = trial

    @call
    async def quote(self, seq: int, sku: str, qty: int) -> Quote:
        self.trial.handled += 1
        return quote_for(seq, sku, qty)


class Session(Actor):
    """Idles."""

    def __init__(self, number: int) -> None:
        self.number = number

    @call
    async def get_number(self) -> int:
        return self.number


class Mortal(Actor):
    """Crashes when told to, and answers how many it has answered."""

    def __init__(self) -> None:
        self.asked = 0

    @cast
    async def die(self) -> None:
        raise _Death

    @call
    async def ask(self) -> int:
        self.asked += 1
        return self.asked


class _Death(Exception):
    pass


def _node(job: Job, *tree: ChildSpec | Supervisor | DynamicSupervisor, log_level: LogLevel = "warning") -> Node:
    settings = Settings(nats_url=job.url or "none", log_level=log_level)
    return Node(Supervisor("bench", *tree), settings=settings)


def _with_problems(report: Report, node: Node) -> Report:
    return structs.replace(report, problems=(*report.problems, *_problems(node)))


def _problems(node: Node) -> list[str]:
    """Return whatever the node counted that should not have happened."""
    found: list[str] = []
    for actor in node.statistics().values():
        counts = {
            "restarted": actor.incarnation - 1,
            "dropped": actor.mailbox.dropped,
            "left in the mailbox": actor.mailbox.depth,
            "crashed": actor.crashed,
            "expired": actor.expired,
            "rejected": actor.rejected,
            "answered with an error": actor.answered_with_error,
        }
        found += [f"{actor.name}: {count} {what}" for what, count in counts.items() if count]
    return found


async def local_cast(job: Job) -> None:
    """Cast to an actor of the same node."""
    warm, done = asyncio.Event(), asyncio.Event()
    trial = CastTrial(job, warm.set, done.set)
    async with _node(job, child(Counter, trial.tally)) as node:
        counter = node.ref(Counter)
        for seq in trial.warmup:
            await counter.take(seq)
        await warm.wait()
        trial.begin()
        for seq in trial.timed:
            await counter.take(seq)
        await done.wait()
        say(trial.report(_problems(node)))


async def local_call(job: Job) -> None:
    """Call an actor of the same node."""
    async with _node(job, child(Doubler)) as node:
        doubler = node.ref(Doubler)

        async def ask(seq: int) -> bool:
            return await doubler.double(seq) == seq * 2

        report = await time_calls(ask, job)
        say(_with_problems(report, node))


async def receive(job: Job) -> None:
    """Hear events over NATS; the mailbox has room for all of them."""
    trial = EventTrial(job)
    roomy = child(Receiver, trial.tally).replace(mailbox=Mailbox(job.warmup + job.count))
    async with _node(job, roomy) as node:
        await trial.wait()
        say(trial.report(_problems(node)))


async def respond(job: Job) -> None:
    """Answer calls over NATS until told to stop."""
    trial = AnswerTrial()
    async with _node(job, child(Echo, trial)) as node:
        await trial.wait()
        say(trial.report(_problems(node)))


async def ask(job: Job) -> None:
    """Call an actor in another process."""
    async with _node(job) as node:
        # There is no Echo here, but one goes the same way where there is one.
        echo = node.ref(Echo, prefer_local=False)
        say(Report(stage="ready"))
        await asyncio.to_thread(hear)
        report = await time_quotes(echo.quote, job)
        say(_with_problems(report, node))


async def many(job: Job) -> None:
    """Start actors under a dynamic supervisor, one after the other, and stop that."""
    ids = ("first", "kept", "sessions")  # for the warm-up, again, and for the clock
    async with _node(job, *map(DynamicSupervisor, ids), log_level="critical") as node:
        unused = iter(ids)

        @asynccontextmanager
        async def sessions(numbers: range) -> AsyncGenerator[Census, None]:
            id = next(unused)
            for number in numbers:
                spec = child(Session, number).replace(name=f"session-{number}")
                await node.ref(SupervisorRef, id).start_child(spec)
            yield partial(_census, node, id, numbers)
            await node.ref(SupervisorRef, "bench").terminate_child(id)

        say(_with_problems(await time_many(sessions, job), node))


async def _census(node: Node, id: str, numbers: range) -> int:
    """Return how many run under `id`; every hundredth has to answer."""
    for number in numbers[::100]:
        if await node.ref(Session, f"session-{number}").get_number() != number:
            raise RuntimeError(f"session-{number} is another one")
    if problems := _problems(node):
        raise RuntimeError("; ".join(problems))
    return (await node.ref(SupervisorRef, id).count_children()).active


async def restart(job: Job) -> None:
    """Cast what the actor crashes on, and then call it."""
    tree = Supervisor("mortals", child(Mortal), max_restarts=10**9)
    async with _node(job, tree, log_level="critical") as node:
        mortal = node.ref(Mortal)

        async def crash_and_ask(_: int) -> bool:
            await mortal.die()
            return await mortal.ask() == 1

        report = await time_calls(crash_and_ask, job)
        crashed = node.statistics()["mortal"].crashed
        problems = () if crashed == report.handled else (f"it crashed {crashed} times",)
        say(structs.replace(report, problems=(*report.problems, *problems)))
