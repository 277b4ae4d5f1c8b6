"""While a flood of events goes to one actor: how long does a call to another one take, and how late is a timer?

A bare socket sends events as fast as they are handled, and is at most 4,096 ahead, four times what a mailbox holds by
default: without a limit the server would hold the flood, a call would wait behind all of it, and the figure would be
the server's memory. The caller is bare nats-py in a process of its own, one call after the other; each answer says how
far the flood has come, and only those amid it count. The timer is a loop around `anyio.sleep(0.005)` in the process
that is flooded. Control: bare nats-py with the same two subscriptions.
"""

from collections.abc import Iterator
from functools import partial

import pytest

from benchmarks.conftest import Compare
from benchmarks.harness import run_flood
from benchmarks.jobs import Loop
from benchmarks.questions import Contender, Measure, Question, figure

COUNT = 500_000
FEWEST_CALLS = 50  # of which the worst is a 99th percentile


def _latencies() -> Iterator[Measure]:
    for key, name in (("call", "call under flood"), ("late", "5 ms timer under flood, late by")):
        for which, text in (("median", "median"), ("p99", "99th percentile"), ("worst", "worst")):
            yield Measure(f"{name}, {text}", "ms", figure(f"{key}_{which}_ms"))


QUESTION = Question(
    name="latency under flood",
    role="be_flooded",
    ours=Contender("cliffracer", "ours_pressure", COUNT),
    control=Contender("nats-py", "control_pressure", COUNT),
    warmup=10_000,
    rounds=3,
    smoke_count=20_000,
    measures=tuple(_latencies()),
    tells_rate=False,
)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_latency_under_flood(compare: Compare, nats_url: str, smoke: bool, loop: Loop) -> None:
    compare(QUESTION, loop, partial(run_flood, url=nats_url, fewest_calls=0 if smoke else FEWEST_CALLS))
