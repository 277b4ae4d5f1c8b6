"""A replica stops under load; `python -m tests.system.drain` does the same with large numbers."""

import pytest

from tests.system.drain.run import How, run

pytestmark = [pytest.mark.system, pytest.mark.anyio]


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.mark.parametrize("handler_ms", [0, 20])
@pytest.mark.parametrize("how", ["block", "signal"])
async def test_replica_that_stops_under_load_leaves_no_call_unanswered_and_loses_no_event(
    nats_url, how: How, handler_ms: int
):
    counts = await run(nats_url, calls=3000, handler_ms=handler_ms, how=how, leave_at=1000)
    assert counts.sent >= 3000
    assert counts.events >= 500
    assert (counts.answered, counts.refusals) == (counts.sent, {})
    assert (counts.lost, counts.heard_twice, counts.handled_twice) == (0, 0, 0)
    assert 0 < counts.share < counts.sent
