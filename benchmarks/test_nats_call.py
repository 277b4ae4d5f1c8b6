"""How many calls a second do 1, 10 and 100 callers in one process get answered by a process at the other end of NATS?

Control: bare nats-py, `request` on one side, a callback that responds on the other, with the same codec. Peer:
FastStream's `request` and a subscriber that returns, with the same codec.
"""

from functools import partial

import pytest

from benchmarks.conftest import Compare
from benchmarks.harness import run_call
from benchmarks.jobs import Loop
from benchmarks.questions import Contender, Floor, Question


def _question(callers: int, counts: tuple[int, int, int], *floors: Floor) -> Question:
    ours, control, peer = counts
    return Question(
        name=f"NATS call, {callers} caller{'s' if callers > 1 else ''}",
        role="ask",
        ours=Contender("cliffracer", "ours_nats", ours),
        control=Contender("nats-py", "control_nats", control),
        peer=Contender("FastStream", "peer_faststream", peer),
        floors=floors,
        callers=callers,
    )


QUESTIONS = {
    1: _question(1, (1_500, 1_500, 1_200), Floor("control", 1.0)),
    10: _question(10, (6_000, 8_000, 4_000), Floor("control", 1.2)),
    100: _question(100, (12_000, 16_000, 5_000), Floor("control", 1.5), Floor("peer", 5.0)),
}


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("callers", QUESTIONS)
def test_nats_call(compare: Compare, nats_url: str, callers: int, loop: Loop) -> None:
    compare(QUESTIONS[callers], loop, partial(run_call, url=nats_url))
