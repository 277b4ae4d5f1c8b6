"""Processes that talk in lines, for tests and commands: told on stdin, heard on stdout; logs go to stderr."""

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import anyio
import msgspec
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

__all__ = ["PATIENCE", "Peer", "peer", "tell"]

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0  # seconds; a bound for a hang, not a measure
_LONGEST_LINE = 64 * 1024 * 1024


def tell(word: str, value: Any = None) -> None:
    """Say a line to whoever started this process."""
    sys.stdout.write(f"{word} {msgspec.json.encode(value).decode()}\n")
    sys.stdout.flush()


class Peer:
    """A process that was started as `python -m MODULE ARGUMENTS`."""

    def __init__(self, process: Process) -> None:
        assert process.stdout is not None
        self.process = process
        self._lines = BufferedByteReceiveStream(process.stdout)

    @property
    def pid(self) -> int:
        return self.process.pid

    async def hear(self, word: str, within: float = PATIENCE) -> Any:
        """Wait for the line that begins with `word`; return the value behind it."""
        with anyio.fail_after(within):
            while True:
                try:
                    line = (await self._lines.receive_until(b"\n", _LONGEST_LINE)).decode()
                except anyio.IncompleteRead:
                    code = await self.process.wait()
                    rest = bytes(self._lines.buffer)
                    raise RuntimeError(
                        f"process {self.pid} ended with {code} before it said {word!r}; "
                        f"its last line is cut off after {len(rest)} bytes: {rest[:80]!r}"
                    ) from None
                said, _, value = line.partition(" ")
                if said == word:
                    return msgspec.json.decode(value)
                sys.stderr.write(f"{self.pid}: {line}\n")

    async def say(self, line: str) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.send(f"{line}\n".encode())

    async def end(self, number: int | None = signal.SIGTERM) -> int:
        """Send a signal, if any, and wait for the end; return the exit code."""
        if number is not None:
            self.process.send_signal(number)
        with anyio.fail_after(PATIENCE):
            return await self.process.wait()

    def memory(self, field: str = "VmRSS") -> int:
        """Return bytes of memory that the process has, or had at most (`VmHWM`)."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
        raise LookupError(field)


@asynccontextmanager
async def peer(module: str, *arguments: object, log: Path | None = None) -> AsyncIterator[Peer]:
    """Run a module as a process of its own; whatever is left of it at the end of the block is killed.

    Args:
        module: The module.
        arguments: For its command line.
        log: Where its stderr goes, instead of to ours.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith("CLIFFRACER_")}
    command = [sys.executable, "-m", module, *map(str, arguments)]
    with log.open("wb") if log is not None else nullcontext() as stderr:
        process = await anyio.open_process(command, cwd=ROOT, env=environment, stderr=stderr)
    try:
        yield Peer(process)
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()
            await process.aclose()
