"""How many calls a second does one caller get answered by an actor in its own process?

Control: a deque that carries the number, an anyio.Event and a box for the answer, under the same deadline. Peer: pykka,
by `ask`, from thread to thread. The least that hands an answer back, an asyncio.Queue that carries a future and knows
no deadline, is held against us in a row of its own.

Asked twice. Where two cores are idle, pykka's two threads sit on both and hand the interpreter lock across, which costs
them more than half their rate; so they are asked again with everybody kept on one core, where pykka is at its best.
"""

import os

import pytest
from msgspec import structs

from benchmarks.conftest import Compare
from benchmarks.harness import run_local
from benchmarks.jobs import Loop
from benchmarks.questions import Contender, Floor, Question

OURS = Contender("cliffracer", "ours_local", 30_000)
QUESTION = Question(
    name="local call",
    role="local_call",
    ours=OURS,
    control=Contender("deque, Event", "control_event", 40_000),
    peer=Contender("pykka", "peer_pykka", 8_000),
    floors=(Floor("control", 0.7), Floor("peer", 7.0)),
)
ON_ONE_CORE = structs.replace(QUESTION, name="local call, one core", one_core=True)
BESIDE_A_QUEUE = Question(
    name="local call, queue",
    role="local_call",
    ours=OURS,
    control=Contender("asyncio.Queue", "control_queue", 80_000),
    rounds=3,
)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_local_call(compare: Compare, loop: Loop) -> None:
    compare(QUESTION, loop, run_local)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system keeps no process on a core")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_local_call_on_one_core(compare: Compare, loop: Loop) -> None:
    compare(ON_ONE_CORE, loop, run_local)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_local_call_beside_a_queue(compare: Compare, loop: Loop) -> None:
    compare(BESIDE_A_QUEUE, loop, run_local)
