"""Trio and asyncio, each with a clock that jumps over every wait."""

from typing import Literal, TypeAlias

import anyio

from cliffracer.testing import virtual_time
from tests.supervision.replay.scenario import Json, Record
from tests.supervision.replay.trees import Workers
from tests.supervision.replay.world import play

__all__ = ["Backend", "replay"]

Backend: TypeAlias = Literal["trio", "asyncio"]


def replay(record: Record, backend: Backend = "trio", workers: Workers = "actors") -> list[Json]:
    """Play a scenario in an event loop of its own, and return its trace."""
    name, options = virtual_time(backend)
    return anyio.run(play, record, workers, backend=name, backend_options=options)
