"""For trees that run."""

import anyio
import pytest


@pytest.fixture
async def no_task_is_left(anyio_backend):
    """Whatever a test does to a tree: when its node has ended, no task of it runs on."""
    before = anyio.get_running_tasks()
    yield
    await anyio.wait_all_tasks_blocked()
    after = anyio.get_running_tasks()
    assert len(after) == len(before), after  # on asyncio, one is the fixture's own, another one each time
