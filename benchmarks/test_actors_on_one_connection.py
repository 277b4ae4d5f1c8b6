"""What does a cast over NATS cost if 10, 100 or 1,000 actors share the connection, as a multiple of itself with one?

The casts go to one actor after the other. Control: bare nats-py with as many subscriptions, each with a callback; its
growth stands beside ours. In each round one and many run one after the other, and only then the next side.
"""

from collections.abc import Iterator
from functools import partial

import pytest

from benchmarks.conftest import Compare
from benchmarks.harness import run_crowds
from benchmarks.jobs import Loop, Report
from benchmarks.questions import Contender, Measure, Question, figure

CROWDS = (10, 100, 1_000)
AIM = 1.3


def _cpu_us(report: Report) -> float:
    return report.cpu_seconds / report.count * 1e6


def _growths() -> Iterator[Measure]:
    for actors in CROWDS:
        for what, key in (("time", "wall"), ("CPU", "cpu")):
            name = f"growth of a message's {what}, 1 to {actors:,} actors"
            yield Measure(name, "x", figure(f"{key}_{actors}"), most=AIM)


QUESTION = Question(
    name="actors on one connection",
    role="receive_casts",
    ours=Contender("cliffracer", "ours_nats", 80_000),
    control=Contender("nats-py", "control_nats", 80_000),
    rounds=5,
    measures=(Measure("a message's CPU, 1 actor", "us", _cpu_us), *_growths()),
    tells_rate=False,
)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_actors_on_one_connection(compare: Compare, nats_url: str, smoke: bool, loop: Loop) -> None:
    compare(QUESTION, loop, partial(run_crowds, crowds=CROWDS, url=nats_url, check_publisher=not smoke))
