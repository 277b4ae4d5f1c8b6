"""How long does it take from the message that an actor crashes on to the answer of the next incarnation?

Control: a bare task that reads a memory object stream, and a loop that spawns it anew after an exception.
"""

import pytest

from benchmarks.conftest import Compare
from benchmarks.harness import run_local
from benchmarks.jobs import Loop, Report
from benchmarks.questions import Contender, Measure, Question


def _microseconds(report: Report) -> float:
    return report.seconds / report.count * 1e6


QUESTION = Question(
    name="crash to next answer",
    role="restart",
    ours=Contender("cliffracer", "ours_children", 5_000),
    control=Contender("respawned task", "control_tasks", 6_000),
    measures=(Measure("crash to next answer", "us", _microseconds, most_of_control=3.0),),
    tells_rate=False,
)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_restart(compare: Compare, loop: Loop) -> None:
    compare(QUESTION, loop, run_local)
