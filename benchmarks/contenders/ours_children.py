"""Cliffracer: many dynamic children, and one that crashes."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

from msgspec import structs

from benchmarks.contenders.ours_node import new_node, problems_of, with_problems
from benchmarks.jobs import Job, say
from benchmarks.measuring.timing import Census, time_calls, time_many
from cliffracer import Actor, DynamicSupervisor, Node, Supervisor, SupervisorRef, call, cast, child

__all__ = ["many", "restart"]


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


async def many(job: Job) -> None:
    """Start actors under a dynamic supervisor, one after the other, and stop that."""
    ids = ("first", "kept", "sessions")  # for the warm-up, again, and for the clock
    async with new_node(job, *map(DynamicSupervisor, ids), log_level="critical") as node:
        unused = iter(ids)

        @asynccontextmanager
        async def sessions(numbers: range) -> AsyncGenerator[Census, None]:
            id = next(unused)
            for number in numbers:
                spec = child(Session, number).replace(name=f"session-{number}")
                await node.ref(SupervisorRef, id).start_child(spec)
            yield partial(_census, node, id, numbers)
            await node.ref(SupervisorRef, "bench").terminate_child(id)

        say(with_problems(await time_many(sessions, job), node))


async def _census(node: Node, id: str, numbers: range) -> int:
    """Return how many run under `id`; every hundredth has to answer."""
    for number in numbers[::100]:
        if await node.ref(Session, f"session-{number}").get_number() != number:
            raise RuntimeError(f"session-{number} is another one")
    if problems := problems_of(node):
        raise RuntimeError("; ".join(problems))
    return (await node.ref(SupervisorRef, id).count_children()).active


async def restart(job: Job) -> None:
    """Cast what the actor crashes on, and then call it."""
    tree = Supervisor("mortals", child(Mortal), max_restarts=10**9)
    async with new_node(job, tree, log_level="critical") as node:
        mortal = node.ref(Mortal)

        async def crash_and_ask(_: int) -> bool:
            await mortal.die()
            return await mortal.ask() == 1

        report = await time_calls(crash_and_ask, job)
        crashed = node.statistics()["mortal"].crashed
        problems = () if crashed == report.handled else (f"it crashed {crashed} times",)
        say(structs.replace(report, problems=(*report.problems, *problems)))
