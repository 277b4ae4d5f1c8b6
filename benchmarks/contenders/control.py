"""The controls: the least that does the job, an asyncio.Queue in one process and bare nats-py between two."""

import asyncio

import nats
from msgspec import structs
from nats.aio.msg import Msg

from benchmarks.contenders.client import CALL_TIMEOUT, Troubles, until_subscribed
from benchmarks.contenders.measure import AnswerTrial, CastTrial, EventTrial, time_calls, time_quotes
from benchmarks.contenders.values import (
    EVENT,
    QUOTE,
    Ask,
    Quote,
    decode_ask,
    decode_order,
    decode_quote,
    encode,
    quote_for,
)
from benchmarks.jobs import Job, Report, hear, say

__all__ = ["ask", "local_call", "local_cast", "receive", "respond"]

_CAPACITY = 1000  # what an actor's mailbox holds by default


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
    queue: asyncio.Queue[tuple[int, asyncio.Future[int]]] = asyncio.Queue(_CAPACITY)
    new_future = asyncio.get_running_loop().create_future

    async def consume() -> None:
        while True:
            number, reply = await queue.get()
            reply.set_result(number * 2)

    async def ask(seq: int) -> bool:
        reply = new_future()
        await queue.put((seq, reply))
        return await reply == seq * 2

    consumer = asyncio.create_task(consume())
    report = await time_calls(ask, job)
    consumer.cancel()
    say(report)


async def receive(job: Job) -> None:
    """Subscribe with a callback that decodes."""
    trial, troubles = EventTrial(job), Troubles()
    take = trial.tally.take

    async def on_message(message: Msg) -> None:
        take(decode_order(message.data).seq)

    client = await nats.connect(job.url, error_cb=troubles.note)
    await client.subscribe(EVENT, cb=on_message)
    await until_subscribed(client)
    await trial.wait()
    await client.close()
    say(trial.report(troubles.seen))


async def respond(job: Job) -> None:
    """Subscribe with a callback that decodes, and answers encoded."""
    trial, troubles = AnswerTrial(), Troubles()

    async def on_message(message: Msg) -> None:
        trial.handled += 1
        asked = decode_ask(message.data)
        await message.respond(encode(quote_for(asked.seq, asked.sku, asked.qty)))

    client = await nats.connect(job.url, error_cb=troubles.note)
    await client.subscribe(QUOTE, queue="echo", cb=on_message)
    await until_subscribed(client)
    await trial.wait()
    await client.close()
    say(trial.report(troubles.seen))


async def ask(job: Job) -> None:
    """Request, and decode what comes."""
    troubles = Troubles()
    client = await nats.connect(job.url, error_cb=troubles.note)

    async def quote(seq: int, sku: str, qty: int) -> Quote:
        reply = await client.request(QUOTE, encode(Ask(seq, sku, qty)), timeout=CALL_TIMEOUT)
        return decode_quote(reply.data)

    say(Report(stage="ready"))
    await asyncio.to_thread(hear)
    report = await time_quotes(quote, job)
    await client.close()
    say(structs.replace(report, problems=(*report.problems, *troubles.seen)))
