"""How many calls a second does one caller get answered by an actor in its own process?

Control: an asyncio.Queue that carries the number and a future. Peer: pykka, by `ask`, from thread to thread.

Asked twice. Where two cores are idle, pykka's two threads sit on both and hand the interpreter lock across, which costs
them more than half their rate; so they are asked again with everybody kept on one core, where pykka is at its best.
"""

import os

import pytest
from msgspec import structs

from benchmarks.conftest import Compare
from benchmarks.figures import Contender, Floor, Question
from benchmarks.harness import run_local
from benchmarks.jobs import Loop

QUESTION = Question(
    name="local call",
    role="local_call",
    ours=Contender("cliffracer", "ours", 30_000),
    control=Contender("asyncio.Queue", "control", 80_000),
    peer=Contender("pykka", "peer_pykka", 8_000),
    floor=Floor("peer", 3.0),
)
ON_ONE_CORE = structs.replace(QUESTION, name="local call, one core", one_core=True)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_local_call(compare: Compare, loop: Loop) -> None:
    compare(QUESTION, loop, run_local)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system keeps no process on a core")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_local_call_on_one_core(compare: Compare, loop: Loop) -> None:
    compare(ON_ONE_CORE, loop, run_local)
