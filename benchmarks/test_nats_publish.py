"""How many events a second does a node publish over NATS, one `await node.publish(...)` after the other?

Control: bare nats-py's `publish`, with the same codec. Peer: FastStream's `broker.publish`. The watch runs until a bare
socket in a process of its own has counted all of them.
"""

from functools import partial

import pytest

from benchmarks.conftest import Compare
from benchmarks.harness import run_publish
from benchmarks.jobs import Loop
from benchmarks.questions import Contender, Floor, Question

QUESTION = Question(
    name="NATS publish",
    role="publish",
    ours=Contender("cliffracer", "ours_nats", 150_000),
    control=Contender("nats-py", "control_nats", 200_000),
    peer=Contender("FastStream", "peer_faststream", 20_000),
    floors=(Floor("control", 1.3),),
    rounds=5,
)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_nats_publish(compare: Compare, nats_url: str, loop: Loop) -> None:
    compare(QUESTION, loop, partial(run_publish, url=nats_url))
