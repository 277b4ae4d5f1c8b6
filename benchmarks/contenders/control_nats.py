"""The controls over NATS: bare nats-py, with the same codec."""

import asyncio
from functools import partial

import nats
from msgspec import structs
from nats.aio.msg import Msg

from benchmarks.contenders.client import CALL_TIMEOUT, Troubles, until_subscribed
from benchmarks.contenders.values import (
    DOUBLE,
    EVENT,
    NAP,
    QUOTE,
    Ask,
    Double,
    Order,
    Quote,
    decode_ask,
    decode_double,
    decode_number,
    decode_order,
    decode_quote,
    decode_take,
    encode,
    quote_for,
    take_subject,
)
from benchmarks.contenders.witness import wrong_headers
from benchmarks.jobs import Job, Report, hear, say
from benchmarks.measuring.timing import time_calls, time_publishes, time_quotes
from benchmarks.measuring.trials import AnswerTrial, CrowdTally, EventTrial

__all__ = [
    "ask",
    "ask_pool",
    "publish",
    "receive",
    "receive_casts",
    "receive_with_headers",
    "respond",
    "respond_from_pool",
]


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


async def receive_with_headers(job: Job) -> None:
    """Subscribe with a callback that decodes and has a look at the headers, which nats-py has parsed."""
    trial, troubles = EventTrial(job), Troubles()
    take = trial.tally.take
    headers: dict[str, str] | None = None

    async def on_message(message: Msg) -> None:
        nonlocal headers
        headers = message.headers
        take(decode_order(message.data).seq)

    client = await nats.connect(job.url, error_cb=troubles.note)
    await client.subscribe(EVENT, cb=on_message)
    await until_subscribed(client)
    await trial.wait()
    await client.close()
    say(trial.report([*troubles.seen, *wrong_headers(headers, job.warmup + job.count - 1)]))


async def receive_casts(job: Job) -> None:
    """Subscribe with many callbacks, each to a subject of its own."""
    tally, troubles = CrowdTally(job.actors), Troubles()
    trial = EventTrial(job, tally)
    client = await nats.connect(job.url, error_cb=troubles.note)

    async def on_message(number: int, message: Msg) -> None:
        tally.take_of(number, decode_take(message.data).seq)

    for number in range(job.actors):
        await client.subscribe(take_subject(number), cb=partial(on_message, number))
    await until_subscribed(client)
    await trial.wait()
    await client.close()
    say(trial.report(troubles.seen))


async def respond(job: Job) -> None:
    """Subscribe with a callback that decodes, and answers encoded."""
    trial, troubles = AnswerTrial(job), Troubles()

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


async def respond_from_pool(job: Job) -> None:
    """Subscribe with a callback that queues; several tasks await that, sleep and answer."""
    trial, troubles = AnswerTrial(job), Troubles()
    queue: asyncio.Queue[Msg] = asyncio.Queue()

    async def consume() -> None:
        while True:
            message = await queue.get()
            number = decode_double(message.data).number
            await asyncio.sleep(NAP)
            trial.handled += 1
            await message.respond(encode(number * 2))

    client = await nats.connect(job.url, error_cb=troubles.note)
    await client.subscribe(DOUBLE, queue="sleeper", cb=queue.put)
    await until_subscribed(client)
    consumers = [asyncio.create_task(consume()) for _ in range(job.actors)]
    await trial.wait()
    for consumer in consumers:
        consumer.cancel()
    await client.close()
    say(trial.report(troubles.seen))


async def ask_pool(job: Job) -> None:
    """Request of the pool, and decode what comes."""
    troubles = Troubles()
    client = await nats.connect(job.url, error_cb=troubles.note)

    async def ask_for(seq: int) -> bool:
        reply = await client.request(DOUBLE, encode(Double(seq)), timeout=CALL_TIMEOUT)
        return decode_number(reply.data) == seq * 2

    say(Report(stage="ready"))
    await asyncio.to_thread(hear)
    report = await time_calls(ask_for, job)
    await client.close()
    say(structs.replace(report, problems=(*report.problems, *troubles.seen)))


async def publish(job: Job) -> None:
    """Publish, encoded."""
    troubles = Troubles()
    client = await nats.connect(job.url, error_cb=troubles.note)

    async def send(order: Order) -> None:
        await client.publish(EVENT, encode(order))

    report = await time_publishes(send, job)
    await client.close()
    say(structs.replace(report, problems=(*report.problems, *troubles.seen)))
