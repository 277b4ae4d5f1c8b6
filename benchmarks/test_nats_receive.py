"""How many events a second, each a msgspec Struct, does an actor hear over NATS?

Control: the callback of a bare nats-py subscription with the same decoder. Peer: FastStream, with the same decoder.
The publisher is a bare socket in a process of its own.
"""

from functools import partial

import pytest

from benchmarks.conftest import Compare
from benchmarks.figures import Contender, Floor, Question
from benchmarks.harness import run_receive
from benchmarks.jobs import Loop

QUESTION = Question(
    name="NATS receive",
    role="receive",
    ours=Contender("cliffracer", "ours", 200_000),
    control=Contender("nats-py", "control", 200_000),
    peer=Contender("FastStream", "peer_faststream", 15_000),
    floor=Floor("control", 0.8),
)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_nats_receive(compare: Compare, nats_url: str, smoke: bool, loop: Loop) -> None:
    # So few messages are published no faster than they are handled.
    compare(QUESTION, loop, partial(run_receive, url=nats_url, check_publisher=not smoke))
