"""The control of a call with a deadline: a deque, and an anyio.Event for each way."""

import asyncio
from collections import deque

import anyio

from benchmarks.contenders.client import CALL_TIMEOUT
from benchmarks.jobs import Job, say
from benchmarks.measuring.timing import time_calls

__all__ = ["local_call"]


async def local_call(job: Job) -> None:
    """Append numbers with an event and a box for the answer; a task waits for them and answers."""
    asked: deque[tuple[int, anyio.Event, list[int]]] = deque()
    arrived = anyio.Event()

    async def consume() -> None:
        nonlocal arrived
        while True:
            await arrived.wait()
            arrived = anyio.Event()
            while asked:
                number, answered, box = asked.popleft()
                box.append(number * 2)
                answered.set()

    async def ask(seq: int) -> bool:
        answered = anyio.Event()
        box: list[int] = []
        asked.append((seq, answered, box))
        arrived.set()
        with anyio.fail_after(CALL_TIMEOUT):
            await answered.wait()
        return box[0] == seq * 2

    consumer = asyncio.create_task(consume())
    report = await time_calls(ask, job)
    consumer.cancel()
    say(report)
