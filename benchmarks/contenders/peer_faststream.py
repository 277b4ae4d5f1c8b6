"""FastStream, at its fastest as far as its documentation goes.

Its default decodes JSON to a dict and has pydantic make the value of it; its msgspec serializer converts the dict.
Here instead a decoder of the subscriber makes the Struct in one step and dependency injection is off, which is about
half as fast again on receive.
"""

import asyncio

from fast_depends.msgspec import MsgSpecSerializer
from faststream.nats import NatsBroker, NatsMessage
from msgspec import structs

from benchmarks.contenders.client import CALL_TIMEOUT, Troubles, until_subscribed
from benchmarks.contenders.values import (
    EVENT,
    QUOTE,
    Ask,
    Order,
    Quote,
    decode_ask,
    decode_order,
    decode_quote,
    quote_for,
)
from benchmarks.contenders.witness import wrong_headers
from benchmarks.jobs import Job, Report, hear, say
from benchmarks.measuring.timing import time_publishes, time_quotes
from benchmarks.measuring.trials import AnswerTrial, EventTrial

__all__ = ["ask", "publish", "receive", "receive_with_headers", "respond"]


def _broker(job: Job, troubles: Troubles) -> NatsBroker:
    return NatsBroker(job.url, logger=None, apply_types=False, serializer=MsgSpecSerializer(), error_cb=troubles.note)


async def receive(job: Job) -> None:
    """Hear events."""
    trial, troubles = EventTrial(job), Troubles()
    broker = _broker(job, troubles)
    take = trial.tally.take

    async def decode(message: NatsMessage) -> Order:
        return decode_order(message.body)

    @broker.subscriber(EVENT, decoder=decode)
    async def on_placed(order: Order) -> None:
        take(order.seq)

    await broker.start()
    await until_subscribed(await broker.connect())
    await trial.wait()
    await broker.stop()
    say(trial.report(troubles.seen))


async def receive_with_headers(job: Job) -> None:
    """Hear events, and have a look at the headers, which nats-py has parsed."""
    trial, troubles = EventTrial(job), Troubles()
    broker = _broker(job, troubles)
    take = trial.tally.take
    headers: dict[str, str] = {}

    async def decode(message: NatsMessage) -> Order:
        nonlocal headers
        headers = message.headers
        return decode_order(message.body)

    @broker.subscriber(EVENT, decoder=decode)
    async def on_placed(order: Order) -> None:
        take(order.seq)

    await broker.start()
    await until_subscribed(await broker.connect())
    await trial.wait()
    await broker.stop()
    say(trial.report([*troubles.seen, *wrong_headers(headers, job.warmup + job.count - 1)]))


async def respond(job: Job) -> None:
    """Answer requests until told to stop."""
    trial, troubles = AnswerTrial(job), Troubles()
    broker = _broker(job, troubles)

    async def decode(message: NatsMessage) -> Ask:
        return decode_ask(message.body)

    @broker.subscriber(QUOTE, queue="echo", decoder=decode)
    async def on_ask(request: Ask) -> Quote:
        trial.handled += 1
        return quote_for(request.seq, request.sku, request.qty)

    await broker.start()
    await until_subscribed(await broker.connect())
    await trial.wait()
    await broker.stop()
    say(trial.report(troubles.seen))


async def ask(job: Job) -> None:
    """Request, and decode what comes."""
    troubles = Troubles()
    broker = _broker(job, troubles)
    await broker.start()

    async def quote(seq: int, sku: str, qty: int) -> Quote:
        reply = await broker.request(Ask(seq, sku, qty), QUOTE, timeout=CALL_TIMEOUT)
        return decode_quote(reply.body)

    say(Report(stage="ready"))
    await asyncio.to_thread(hear)
    report = await time_quotes(quote, job)
    await broker.stop()
    say(structs.replace(report, problems=(*report.problems, *troubles.seen)))


async def publish(job: Job) -> None:
    """Publish; the headers that tell its own subscribers what comes are FastStream's."""
    troubles = Troubles()
    broker = _broker(job, troubles)
    await broker.start()

    async def send(order: Order) -> None:
        await broker.publish(order, EVENT)

    report = await time_publishes(send, job)
    await broker.stop()
    say(structs.replace(report, problems=(*report.problems, *troubles.seen)))
