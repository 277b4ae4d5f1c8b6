"""What the trees of these tests are made of: actors that do as they are told, and write down what happens to them."""

from collections.abc import Collection
from typing import Any

import anyio
import pytest

from cliffracer import Actor, ActorCrashed, Exit, Ignore, SupervisorRef, call, child

__all__ = ["Journal", "Worker", "crash", "events", "states", "worker"]

Journal = list[str]


class Worker(Actor):
    """An actor of many uses.

    `takes` seconds is how long it needs to stop. The incarnations in `failing` do not start, those in `declining` raise
    Ignore, those in `hanging` never come to an end with their start.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        takes: float = 0.0,
        failing: Collection[int] = (),
        declining: Collection[int] = (),
        hanging: Collection[int] = (),
    ) -> None:
        self.journal = journal
        self.takes = takes
        self.failing, self.declining, self.hanging = failing, declining, hanging

    async def on_start(self) -> None:
        if self.incarnation in self.failing:
            self.journal.append(f"fail {self.name}")
            raise RuntimeError("not today")
        if self.incarnation in self.declining:
            self.journal.append(f"ignore {self.name}")
            raise Ignore("no need")
        self.journal.append(f"start {self.name}")
        if self.incarnation in self.hanging:
            await anyio.sleep_forever()

    async def on_stop(self, reason: Exit) -> None:
        if self.takes:
            await anyio.sleep(self.takes)
        self.journal.append(f"stop {self.name}")

    @call
    async def which(self) -> int:
        return self.incarnation

    @call
    async def work(self, seconds: float) -> str:
        await anyio.sleep(seconds)
        self.journal.append(f"done {self.name}")
        return "done"

    @call
    async def finish(self) -> None:
        self.stop()

    @call
    async def crash(self) -> None:
        raise RuntimeError("bug")


def worker(
    name: str,
    journal: Journal,
    *,
    takes: float = 0.0,
    failing: Collection[int] = (),
    declining: Collection[int] = (),
    hanging: Collection[int] = (),
    **options: Any,
):
    """Describe a worker; `options` are those of its spec."""
    made = child(Worker, journal, takes=takes, failing=failing, declining=declining, hanging=hanging)
    return made.replace(name=name, **options)


async def crash(node, *names: str) -> None:
    """Let workers crash, one after the other, and wait for what follows from each."""
    for name in names:
        with pytest.raises(ActorCrashed):
            await node.ref(Worker, name).crash()
        await anyio.wait_all_tasks_blocked()


async def states(supervisor: SupervisorRef) -> str:
    """Return id and state of each child as `which_children` lists them: the last started first."""
    return ", ".join(f"{info.id} {info.state}" for info in await supervisor.which_children())


def events(lines, name: str):
    """Return the lines of the log about one kind of event."""
    return [line for line in lines if line["event"] == name]
