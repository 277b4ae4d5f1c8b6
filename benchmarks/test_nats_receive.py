"""How many events a second, each a msgspec Struct, does an actor hear over NATS?

Control: the callback of a bare nats-py subscription with the same decoder. Peer: FastStream, with the same decoder.
The publisher is a bare socket in a process of its own.

Asked twice: the events come as they are, and each with our packed header and a W3C trace, no two with the same ones.
"""

from functools import partial

import pytest
from msgspec import structs

from benchmarks.conftest import Compare
from benchmarks.harness import run_receive
from benchmarks.jobs import Loop
from benchmarks.questions import Contender, Floor, Question

QUESTION = Question(
    name="NATS receive",
    role="receive",
    ours=Contender("cliffracer", "ours_nats", 200_000),
    control=Contender("nats-py", "control_nats", 200_000),
    peer=Contender("FastStream", "peer_faststream", 15_000),
    floors=(Floor("control", 2.5), Floor("peer", 20.0)),
)
WITH_HEADERS = structs.replace(
    QUESTION,
    name="NATS receive, headers",
    role="receive_with_headers",
    peer=Contender("FastStream", "peer_faststream", 10_000),
    floors=(Floor("control", 2.5),),
    rounds=5,
)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_nats_receive(compare: Compare, nats_url: str, smoke: bool, loop: Loop) -> None:
    # So few messages are published no faster than they are handled.
    compare(QUESTION, loop, partial(run_receive, url=nats_url, check_publisher=not smoke))


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_nats_receive_with_headers(compare: Compare, nats_url: str, smoke: bool, loop: Loop) -> None:
    run = partial(run_receive, url=nats_url, check_publisher=not smoke, publisher="publish_with_headers")
    compare(WITH_HEADERS, loop, run)
