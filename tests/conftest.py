"""Backends, a real server, and a logger that remembers: for all tests."""

import os
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from hypothesis import settings as hypothesis_settings

from cliffracer import Node, Settings, Supervisor
from cliffracer.observe.logs import Logger
from cliffracer.testing import virtual_time
from cliffracer.testing.logs import LogLine, logger_into
from cliffracer.transport.server import run_server

# A busy machine is no reason to fail.
hypothesis_settings.register_profile("cliffracer", deadline=None)
hypothesis_settings.load_profile("cliffracer")

LogLines = list[LogLine]


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run the whole suite in several processes, a file each: most of the system tests wait. Single files run in one."""
    option = config.option
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS and not option.usepdb and not option.collectonly
    # pytest-xdist is there, this is not one of its workers, and nobody has said how many there are to be.
    if whole and not hasattr(config, "workerinput") and getattr(option, "numprocesses", 0) is None:
        option.numprocesses, option.dist = min(2 * (os.cpu_count() or 1), 4), "loadfile"


@pytest.fixture(params=["trio", "asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Trio and asyncio, each with a clock that jumps over every wait."""
    return virtual_time(request.param)


@pytest.fixture(scope="session")
def nats_url() -> Iterator[str]:
    """A real nats-server on a free port, for the whole session."""
    with anyio.from_thread.start_blocking_portal() as portal:
        with portal.wrap_async_context_manager(run_server(port=0)) as url:
            yield url


@pytest.fixture
def lines() -> LogLines:
    """What `log` has logged: one dictionary a line."""
    return []


@pytest.fixture
def log(lines: LogLines) -> Logger:
    """A logger that keeps its lines in `lines`."""
    return logger_into(lines)


RunNode = Callable[..., Any]


@pytest.fixture
def run_node(log: Logger) -> RunNode:
    """Run a tree of the given children in this process, without a server."""

    @asynccontextmanager
    async def run(*children: Any, settings: Settings | None = None, **options: Any) -> AsyncGenerator[Node, None]:
        tree = Supervisor("root", *children, **options)
        async with Node(tree, settings=settings or Settings(node_name="test"), log=log) as node:
            yield node

    return run
