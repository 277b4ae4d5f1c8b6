"""The controls with an asyncio.Queue: the least that one task needs to hand something to another."""

import asyncio

from benchmarks.contenders.values import NAP
from benchmarks.jobs import Job, Report, say
from benchmarks.measuring.timing import time_calls
from benchmarks.measuring.trials import CastTrial

__all__ = ["local_call", "local_cast", "pooled_call"]

_CAPACITY = 1000  # what an actor's mailbox holds by default

_Asked = asyncio.Queue[tuple[int, "asyncio.Future[int]"]]


async def local_cast(job: Job) -> None:
    """Put numbers into a queue; a task awaits them."""
    warm, done = asyncio.Event(), asyncio.Event()
    trial = CastTrial(job, warm.set, done.set)
    queue: asyncio.Queue[int] = asyncio.Queue(_CAPACITY)

    async def consume() -> None:
        while True:
            trial.tally.take(await queue.get())

    consumer = asyncio.create_task(consume())
    for seq in trial.warmup:
        await queue.put(seq)
    await warm.wait()
    trial.begin()
    for seq in trial.timed:
        await queue.put(seq)
    await done.wait()
    consumer.cancel()
    say(trial.report([]))


async def local_call(job: Job) -> None:
    """Put numbers with a future into a queue; a task awaits them and answers."""
    queue: _Asked = asyncio.Queue(_CAPACITY)

    async def consume() -> None:
        while True:
            number, reply = await queue.get()
            reply.set_result(number * 2)

    consumer = asyncio.create_task(consume())
    report = await _time_calls(queue, job)
    consumer.cancel()
    say(report)


async def pooled_call(job: Job) -> None:
    """Put numbers with a future into a queue; several tasks await them, sleep and answer."""
    queue: _Asked = asyncio.Queue(_CAPACITY)

    async def consume() -> None:
        while True:
            number, reply = await queue.get()
            await asyncio.sleep(NAP)
            reply.set_result(number * 2)

    consumers = [asyncio.create_task(consume()) for _ in range(job.actors)]
    report = await _time_calls(queue, job)
    for consumer in consumers:
        consumer.cancel()
    say(report)


async def _time_calls(queue: _Asked, job: Job) -> Report:
    new_future = asyncio.get_running_loop().create_future

    async def ask(seq: int) -> bool:
        reply = new_future()
        await queue.put((seq, reply))
        return await reply == seq * 2

    return await time_calls(ask, job)
