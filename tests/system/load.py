"""Calls and events from a process of their own: `python -m tests.system.load URL`, and `Load`, which runs it.

It calls the actors `counter-0`, `counter-1`... in turn, and publishes an event beside each call, until its standard
input ends; then it prints what became of each call.
"""

import json
import subprocess
import sys
import time
from contextlib import suppress
from itertools import count
from types import TracebackType
from typing import NamedTuple, Self

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from cliffracer import Actor, CallError, Node, Settings, Supervisor, call, event

__all__ = ["COUNTERS", "Call", "Counter", "Load"]

COUNTERS = 8
_CALLERS = 8
_PAUSE = 0.01  # seconds between two calls of one caller
_PATIENCE = 30.0  # seconds; a bound for a hang, not a measure


class Counter(Actor):
    """Counts its calls and what it hears; a restart would begin at zero."""

    def __init__(self) -> None:
        self.calls = 0
        self.heard = 0

    @call
    async def add(self) -> int:
        self.calls += 1
        return self.calls

    @call
    async def heard_so_far(self) -> int:
        return self.heard

    @event("load.{number}", to="all")
    async def on_load(self, number: int) -> None:
        self.heard += 1


class Call(NamedTuple):
    """What became of one call.

    Attributes:
        sent: When, in seconds of the machine's clock.
        took: Seconds until it ended.
        outcome: "answered", or the class of the error.
    """

    sent: float
    took: float
    outcome: str


class Load:
    """The process; use it as an async context manager."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._process: Process

    async def __aenter__(self) -> Self:
        self._process = await anyio.open_process([sys.executable, "-m", __name__, self._url], stderr=subprocess.DEVNULL)
        assert self._process.stdout is not None
        self._lines = BufferedByteReceiveStream(self._process.stdout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.returncode is None:
            self._process.kill()
        with anyio.CancelScope(shield=True):
            await self._process.aclose()

    async def wait_until_answered(self) -> None:
        """Wait for the first answer that it got."""
        with anyio.fail_after(_PATIENCE):
            assert await self._lines.receive_until(b"\n", 100) == b"answered"

    async def finish(self) -> list[Call]:
        """End it, and return what became of each call, in the order of their ends."""
        assert self._process.stdin is not None
        await self._process.stdin.aclose()
        with anyio.fail_after(_PATIENCE):
            text = await self._lines.receive_until(b"\n", 100_000_000)
            await self._process.wait()
        return [Call(*row) for row in json.loads(text)]


async def _run(url: str) -> None:
    calls: list[Call] = []
    answered = anyio.Event()
    numbers = count()
    settings = Settings(nats_url=url, node_name="load", log_level="critical", nats_connect_timeout=_PATIENCE)
    async with Node(Supervisor("load"), settings=settings) as node:

        async def keep_calling() -> None:
            while True:
                number = next(numbers)
                counter = node.ref(Counter, f"counter-{number % COUNTERS}")
                calls.append(await _make(counter))
                if calls[-1].outcome == "answered" and not answered.is_set():
                    answered.set()
                    _say("answered")
                with suppress(CallError):  # the calls beside it tell why
                    await node.publish(f"load.{number}", None)
                await anyio.sleep(_PAUSE)

        async with anyio.create_task_group() as tasks:
            for _ in range(_CALLERS):
                tasks.start_soon(keep_calling)
            await anyio.to_thread.run_sync(sys.stdin.read)
            tasks.cancel_scope.cancel()
    _say(json.dumps(calls))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def _make(counter: Counter) -> Call:
    sent = time.monotonic()
    try:
        await counter.add()
        outcome = "answered"
    except CallError as error:
        outcome = type(error).__name__
    return Call(sent, time.monotonic() - sent, outcome)


if __name__ == "__main__":
    anyio.run(_run, sys.argv[1])
