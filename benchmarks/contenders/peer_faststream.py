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
from benchmarks.contenders.measure import AnswerTrial, EventTrial, time_quotes
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
from benchmarks.jobs import Job, Report, hear, say

__all__ = ["ask", "receive", "respond"]


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


async def respond(job: Job) -> None:
    """Answer requests until told to stop."""
    trial, troubles = AnswerTrial(), Troubles()
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
