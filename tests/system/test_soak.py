"""Many messages while connections break; `python -m tests.system.soak` does the same with millions."""

import pytest

from tests.system.soak.run import BREAKS, problems_of, run

pytestmark = [pytest.mark.system, pytest.mark.anyio]


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request):
    return request.param


@pytest.fixture
def anyio_backend(loop):
    return "asyncio", {"use_uvloop": loop == "uvloop"}


async def test_what_arrives_is_whole_and_in_order_and_never_twice_whatever_happens_to_the_connection(make_server, loop):
    report = await run(make_server(), messages=30_000, reconnects=6, loop=loop)
    assert problems_of(report) == []
    assert set(report.breaks) == set(BREAKS)
    # What was sent while a connection was away is gone; most was not.
    assert report.arrived["soak.>"].count > report.messages // 10
