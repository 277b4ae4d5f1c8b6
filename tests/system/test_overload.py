"""100,000 messages at a mailbox of 100; `python -m tests.system.overload` does the same and prints the figures."""

import statistics

import pytest

from tests.system.overload.run import LOCAL, run

pytestmark = [pytest.mark.system, pytest.mark.anyio]


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def test_flood_at_a_small_mailbox_is_handled_or_dropped_and_counted_to_the_last_message(nats_url):
    counts = await run(nats_url, messages=100_000)
    assert counts.sent == 100_000
    assert counts.dropped > 50_000
    assert counts.unaccounted == 0
    # Calls hear at once that there is no room: a bound for a hang, the command prints the figure.
    assert counts.refusals
    assert statistics.median(counts.refusals) < 1.0
    assert counts.other == []
    # A sender on the same node waits for room, and loses nothing.
    assert counts.local == LOCAL
    # What waits, waits in the mailbox and nowhere else.
    assert counts.in_nats_py == 0
    before, _, most = counts.memory
    assert most < before * 1.5
