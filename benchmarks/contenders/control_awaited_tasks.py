"""The second control of supervision: bare tasks, each of which is waited for until it has begun."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskStatus

from benchmarks.jobs import Job, say
from benchmarks.measuring.timing import Census, time_many

__all__ = ["many"]


async def many(job: Job) -> None:
    """Start tasks one after the other; cancel them."""
    say(await time_many(_tasks, job))


@asynccontextmanager
async def _tasks(numbers: range) -> AsyncGenerator[Census, None]:
    begun = 0

    async def idle(number: int, *, task_status: TaskStatus[int]) -> None:
        nonlocal begun
        begun += 1
        task_status.started(number)
        await anyio.Event().wait()

    async def census() -> int:
        return begun

    async with anyio.create_task_group() as group:
        for number in numbers:
            await group.start(idle, number)
        yield census
        group.cancel_scope.cancel()
