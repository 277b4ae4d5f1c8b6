"""Do 10,000 dynamic children start and stop in linear time, how many a second, and what does an idle one hold?

Ours: `start_child` under a dynamic supervisor, one after the other, the spec included; the supervisor is then stopped.
Control: bare tasks of an anyio task group by `start_soon`, until all have begun; then they are cancelled. In the peer's
place a second control: `tg.start`, which waits for each task, as a supervisor has to.

Each is asked again with ten times as many, so that the growth shows. 100,000 take a minute: one round, on one loop.
"""

from pathlib import Path

import pytest

from benchmarks.conftest import CompareLaps
from benchmarks.harness import run_many
from benchmarks.jobs import Loop
from benchmarks.questions import Contender, Floor, Measure, Question, figure

MOST_BYTES = 6_000


def _questions(children: int, rounds: int) -> tuple[Question, Question]:
    def question(name: str, *measures: Measure) -> Question:
        return Question(
            name=name,
            role="many",
            ours=Contender("cliffracer", "ours_children", children),
            control=Contender("start_soon", "control_tasks", children),
            peer=Contender("tg.start", "control_awaited_tasks", children),
            floors=(Floor("control", 0.4),),
            rounds=rounds,
            children=children,
            measures=measures,
        )

    memory = Measure(f"memory of an idle child, {children:,} children", "B", figure("bytes_each"), most=MOST_BYTES)
    return question("start", memory), question("stop")


QUESTIONS = {1_000: _questions(1_000, 7), 10_000: _questions(10_000, 5), 100_000: _questions(100_000, 1)}


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="this system does not say what memory a process has")
@pytest.mark.parametrize(
    ("children", "loop"),
    [(1_000, "asyncio"), (1_000, "uvloop"), (10_000, "asyncio"), (10_000, "uvloop"), (100_000, "asyncio")],
)
def test_many_children(compare_laps: CompareLaps, children: int, loop: Loop) -> None:
    compare_laps(QUESTIONS[children], loop, run_many)
