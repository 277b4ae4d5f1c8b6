"""What the test process and a contender's process say to each other: one JSON object a line, over stdin and stdout."""

import sys
from typing import Literal

import msgspec
from msgspec import Struct

__all__ = ["Job", "Loop", "Report", "Stage", "hear", "say"]

Loop = Literal["asyncio", "uvloop"]
Stage = Literal["ready", "warm", "all", "started", "done"]


class Job(Struct, frozen=True, kw_only=True):
    """What one process is to do; its only argument.

    Attributes:
        contender: Module in `contenders`.
        role: Function in that module.
        loop: The event loop, where the role is a coroutine function.
        warmup: Messages before the clock starts; they are checked like the others.
        count: Messages while the clock runs.
        callers: How many of them may be under way at once.
        actors: How many actors the messages go to, in turns.
        url: The NATS server; empty where none is needed.
        one_core: Whether the process is to stay on one core.
        profile: File for the profile of what the clock times; empty for none.
    """

    contender: str
    role: str
    loop: Loop
    warmup: int
    count: int
    callers: int = 1
    actors: int = 1
    url: str = ""
    one_core: bool = False
    profile: str = ""


class Report(Struct, frozen=True, kw_only=True):
    """What a process says of itself.

    Attributes:
        stage: "ready" to begin, "warm" after the warm-up, "all" when everything has arrived, "started" with the figures
            of the start, "done" with figures.
        loop: Module of the loop that really ran; empty without one.
        handled: Messages handled since the process began, warm-up included.
        count: Messages while the clock ran.
        seconds: What the clock showed.
        cpu_seconds: Time on a processor meanwhile.
        figures: What else it measured, by name.
        problems: What went wrong; one is enough to void the figures.
    """

    stage: Stage
    loop: str = ""
    handled: int = 0
    count: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    figures: dict[str, float] = {}
    problems: tuple[str, ...] = ()

    @property
    def rate(self) -> float:
        """Messages per second."""
        return self.count / self.seconds


def say(report: Report) -> None:
    """Tell the test process; used in a contender's process."""
    sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    sys.stdout.buffer.flush()


def hear() -> str:
    """Wait for the next word of the test process; it is empty if that has gone. Used in a contender's process."""
    return sys.stdin.readline().strip()
