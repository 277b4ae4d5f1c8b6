"""Trio and asyncio, each with a clock that jumps over every wait."""

from typing import Any, Literal, TypeAlias

import anyio
import trio.testing

from tests.supervision.replay.scenario import Json, Record
from tests.supervision.replay.trees import Workers
from tests.supervision.replay.world import play
from tests.virtual_time import JumpingLoop

__all__ = ["Backend", "replay"]

Backend: TypeAlias = Literal["trio", "asyncio"]


def replay(record: Record, backend: Backend = "trio", workers: Workers = "actors") -> list[Json]:
    """Play a scenario in an event loop of its own, and return its trace."""
    options: dict[str, Any] = {"loop_factory": JumpingLoop}
    if backend == "trio":
        options = {"clock": trio.testing.MockClock(autojump_threshold=0)}
    return anyio.run(play, record, workers, backend=backend, backend_options=options)
