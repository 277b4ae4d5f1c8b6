"""How long does it take from the message that an actor crashes on to the answer of the next incarnation?

Control: a bare task that reads a memory object stream, and a loop that spawns it anew after an exception.
"""

import pytest

from benchmarks.conftest import Compare
from benchmarks.figures import Contender, Floor, Question
from benchmarks.harness import run_local
from benchmarks.jobs import Loop

QUESTION = Question(
    name="crash to next answer",
    role="restart",
    ours=Contender("cliffracer", "ours", 5_000),
    control=Contender("respawned task", "control_tasks", 6_000),
    floor=Floor("control", 1 / 3),
    as_latency=True,
)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_restart(compare: Compare, loop: Loop) -> None:
    compare(QUESTION, loop, run_local)
