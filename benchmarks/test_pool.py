"""Does a pool of 20, whose handler sleeps for 10 ms, answer 2,000 calls a second?

There are 100 callers, so that all 20 members always have something to do. Control: 20 bare tasks that take from an
asyncio.Queue, sleep and answer. Asked in one process, and again over NATS, where bare nats-py is the control.
"""

from functools import partial

import pytest

from benchmarks.conftest import Compare
from benchmarks.contenders.values import NAP
from benchmarks.harness import run_call, run_local
from benchmarks.jobs import Loop
from benchmarks.questions import Contender, Floor, Question

SIZE = 20


def _question(name: str, role: str, ours: str, control: Contender) -> Question:
    return Question(
        name=name,
        role=role,
        ours=Contender("cliffracer", ours, 2_000),
        control=control,
        floors=(Floor("ideal", 0.95, ideal=SIZE / NAP),),
        callers=100,
        actors=SIZE,
        rounds=3,
    )


LOCAL = _question(
    "10 ms handler, pool of 20", "pooled_call", "ours_local", Contender("20 tasks", "control_queue", 2_000)
)
OVER_NATS = _question(
    "10 ms handler, pool of 20, NATS", "ask_pool", "ours_nats", Contender("nats-py, 20 tasks", "control_nats", 2_000)
)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_pool(compare: Compare, loop: Loop) -> None:
    compare(LOCAL, loop, run_local)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_pool_over_nats(compare: Compare, nats_url: str, loop: Loop) -> None:
    compare(OVER_NATS, loop, partial(run_call, url=nats_url, responder="respond_from_pool"))
