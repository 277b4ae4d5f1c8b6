"""By how much does a process grow while 1,000,000 events come for an actor whose handler takes 1 ms?

The mailbox is the default one, of 1,000. Control: a bare nats-py callback that takes as long; its queue holds 524,288
before it drops. The growth is that from before the flood to the highest after it, looked at every 50 ms.
"""

from functools import partial
from pathlib import Path

import pytest

from benchmarks.conftest import Compare
from benchmarks.harness import run_receive
from benchmarks.jobs import Loop
from benchmarks.questions import Contender, Measure, Question, figure

COUNT = 1_000_000
MOST_MIB = 8.0


QUESTION = Question(
    name="waiting events",
    role="let_wait",
    ours=Contender("cliffracer", "ours_pressure", COUNT),
    control=Contender("nats-py", "control_pressure", COUNT),
    warmup=100,
    rounds=2,
    measures=(
        Measure(f"memory while {COUNT:,} events wait", "MiB", figure("grown_mib"), most=MOST_MIB),
        Measure(f"dropped of {COUNT:,} events", "messages", figure("dropped")),
    ),
    tells_rate=False,
)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="this system does not say what memory a process has")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_waiting_events(compare: Compare, nats_url: str, loop: Loop) -> None:
    # The publisher need not be faster than a receiver that drops.
    compare(QUESTION, loop, partial(run_receive, url=nats_url, check_publisher=False))
