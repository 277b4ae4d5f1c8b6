"""Who calls while a flood goes on: bare nats-py on either side, so that only what is called differs."""

import asyncio
from time import perf_counter

import nats

from benchmarks.contenders.client import CALL_TIMEOUT, Troubles
from benchmarks.contenders.values import GAUGE, Read, decode_progress, encode
from benchmarks.jobs import Job, Report, hear, say
from benchmarks.measuring.pressure import milliseconds

__all__ = ["call_during_flood"]


async def call_during_flood(job: Job) -> None:
    """Call one time after the other; each answer says how far the flood has come, and only those amid it count."""
    troubles = Troubles()
    client = await nats.connect(job.url, error_cb=troubles.note)
    calls = wrong = 0

    async def read() -> int:
        """Return how many events of the flood had been handled when this was answered."""
        nonlocal calls, wrong
        reply = await client.request(GAUGE, encode(Read(calls)), timeout=CALL_TIMEOUT)
        progress = decode_progress(reply.data)
        wrong += progress.seq != calls
        calls += 1
        return progress.handled

    say(Report(stage="ready"))
    await asyncio.to_thread(hear)
    while await read() <= job.warmup:
        pass  # it has not begun
    took: list[float] = []
    is_over = False
    while not is_over:
        began = perf_counter()
        is_over = await read() >= job.warmup + job.count
        if not is_over:
            took.append(perf_counter() - began)
    await client.close()
    figures = {"calls": len(took), **milliseconds("call", took)}
    problems = (*troubles.seen, *([f"{wrong} wrong answers"] if wrong else []))
    say(Report(stage="done", handled=calls, figures=figures, problems=problems))
