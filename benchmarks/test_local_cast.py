"""How many casts a second does an actor take from one sender in its own process?

Control: an asyncio.Queue as large as the mailbox, with a task that awaits it. Peer: pykka, by `tell`, on threads.
"""

import pytest

from benchmarks.conftest import Compare
from benchmarks.harness import run_local
from benchmarks.jobs import Loop
from benchmarks.questions import Contender, Floor, Question

QUESTION = Question(
    name="local cast",
    role="local_cast",
    ours=Contender("cliffracer", "ours_local", 60_000),
    control=Contender("asyncio.Queue", "control_queue", 400_000),
    peer=Contender("pykka", "peer_pykka", 100_000),
    floors=(Floor("control", 0.7), Floor("peer", 5.0)),
)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_local_cast(compare: Compare, loop: Loop) -> None:
    compare(QUESTION, loop, run_local)
