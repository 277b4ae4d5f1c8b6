"""The controls under pressure: bare nats-py with more than can be handled, and amid a flood."""

import asyncio

import nats
from nats.aio.msg import Msg
from nats.errors import SlowConsumerError

from benchmarks.contenders.client import Troubles, until_subscribed
from benchmarks.contenders.publisher import CREDIT_EVERY
from benchmarks.contenders.values import (
    CREDIT,
    EVENT,
    GAUGE,
    HANDLER_TAKES,
    Progress,
    decode_order,
    decode_read,
    encode,
)
from benchmarks.jobs import Job, say
from benchmarks.measuring.pressure import FloodTrial, WaitingTrial

__all__ = ["be_flooded", "let_wait"]


async def let_wait(job: Job) -> None:
    """Subscribe with a slow callback: what waits is in nats-py's queue, of 524,288 messages, which then drops."""
    trial, troubles = WaitingTrial(job), Troubles()
    dropped = 0

    async def on_error(error: Exception) -> None:
        nonlocal dropped
        if isinstance(error, SlowConsumerError):
            dropped += 1
        else:
            await troubles.note(error)

    async def on_message(message: Msg) -> None:
        order = decode_order(message.data)
        await asyncio.sleep(HANDLER_TAKES)
        trial.take(order.seq)

    client = await nats.connect(job.url, error_cb=on_error)
    subscription = await client.subscribe(EVENT, cb=on_message)
    await until_subscribed(client)
    # What waits would take minutes: that it has come is enough.
    await trial.wait(lambda: client.stats["in_msgs"])
    in_hand = client.stats["in_msgs"] - trial.handled - subscription.pending_msgs - dropped
    problems = [] if in_hand in (0, 1) else [f"{in_hand} events are nowhere"]
    where = {"dropped": dropped, "waiting": subscription.pending_msgs, "in_hand": in_hand}
    say(trial.report(where, [*troubles.seen, *problems]))
    await client.close()


async def be_flooded(job: Job) -> None:
    """Hear a flood with one callback, and answer with another one meanwhile."""
    troubles = Troubles()
    client = await nats.connect(job.url, error_cb=troubles.note)
    async with asyncio.TaskGroup() as tasks:

        def give_credit(handled: int) -> None:
            tasks.create_task(client.publish(CREDIT, encode(handled)))

        trial = FloodTrial(job, CREDIT_EVERY, give_credit)
        take = trial.tally.take

        async def on_message(message: Msg) -> None:
            take(decode_order(message.data).seq)

        async def on_read(message: Msg) -> None:
            await message.respond(encode(Progress(decode_read(message.data).seq, trial.progress())))

        await client.subscribe(EVENT, cb=on_message)
        await client.subscribe(GAUGE, queue="gauge", cb=on_read)
        await until_subscribed(client)
        await trial.wait()
    await client.close()
    say(trial.report(troubles.seen))
