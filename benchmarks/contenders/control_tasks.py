"""The controls of supervision: bare tasks of a task group, and a loop that spawns a task anew."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio

from benchmarks.jobs import Job, say
from benchmarks.measuring.timing import Census, time_calls, time_many

__all__ = ["many", "restart"]

_CAPACITY = 1000  # what an actor's mailbox holds by default


async def many(job: Job) -> None:
    """Start tasks without waiting for any, until all have begun; cancel them."""
    say(await time_many(_tasks, job))


@asynccontextmanager
async def _tasks(numbers: range) -> AsyncGenerator[Census, None]:
    begun = 0
    all_begun = anyio.Event()

    async def idle(number: int) -> None:
        nonlocal begun
        begun += 1
        if number == numbers[-1]:
            all_begun.set()
        await anyio.Event().wait()

    async def census() -> int:
        return begun

    async with anyio.create_task_group() as group:
        for number in numbers:
            group.start_soon(idle, number)
        await all_begun.wait()
        yield census
        group.cancel_scope.cancel()


class _Death(Exception):
    pass


async def restart(job: Job) -> None:
    """Send what the task fails on, and then a future that its successor answers with how many it has answered."""
    new_future = asyncio.get_running_loop().create_future
    send, receive = anyio.create_memory_object_stream[asyncio.Future[int] | None](_CAPACITY)

    async def work() -> None:
        asked = 0
        async for reply in receive:
            if reply is None:
                raise _Death
            asked += 1
            reply.set_result(asked)

    async def keep_at_work() -> None:
        while True:
            try:
                async with anyio.create_task_group() as group:
                    group.start_soon(work)
            except* _Death:
                pass

    async def crash_and_ask(_: int) -> bool:
        await send.send(None)
        reply = new_future()
        await send.send(reply)
        return await reply == 1

    with send, receive:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keep_at_work)
            report = await time_calls(crash_and_ask, job)
            tasks.cancel_scope.cancel()
    say(report)
