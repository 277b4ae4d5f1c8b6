"""Real processes: `cliffracer ...` as a user types it."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.servers import Server

ROOT = Path(__file__).parents[2]
COMMAND = str(Path(sys.executable).with_name("cliffracer"))
PATIENCE = 20.0  # seconds; a bound for a hang, not a measure


class Running:
    """A process that runs, and what it has written so far."""

    def __init__(self, *arguments: str, env: dict[str, str] | None = None, cwd: Path = ROOT) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("CLIFFRACER_")}
        self.process = subprocess.Popen(
            arguments, cwd=cwd, env={**environment, **(env or {})}, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            for line in stream:
                self.lines.append(line.rstrip("\n"))

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The log lines, in JSON form."""
        return [json.loads(line) for line in list(self.lines) if line.startswith("{")]

    def wait_for(self, text: str, count: int = 1) -> None:
        """Wait until `text` stands in so many lines."""
        deadline = time.monotonic() + PATIENCE
        while sum(text in line for line in list(self.lines)) < count:
            if time.monotonic() > deadline or (self.process.poll() is not None and not self._reader.is_alive()):
                pytest.fail(f"{text!r} did not appear {count} times in:\n{self.text}")
            time.sleep(0.01)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code


@pytest.fixture
def run_python(start) -> Callable[..., Running]:
    """Run a Python script."""
    return lambda *arguments, **options: start(*arguments, command=sys.executable, **options)


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    """Start `cliffracer ARGUMENTS...`; whatever still runs at the end is killed."""
    started: list[Running] = []

    def run(*arguments: str, command: str = COMMAND, **options: Any) -> Running:
        started.append(Running(command, *arguments, **options))
        return started[-1]

    yield run
    for running in started:
        if running.process.poll() is None:
            running.process.kill()
            running.wait()


@pytest.fixture
def cliffracer() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `cliffracer ARGUMENTS...` to its end."""

    def run(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("CLIFFRACER_")}
        return subprocess.run(
            [COMMAND, *arguments], cwd=ROOT, env={**environment, **(env or {})}, text=True, capture_output=True,
            timeout=PATIENCE, check=False,
        )  # fmt: skip

    return run


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def make_server(tmp_path) -> Iterator[Callable[..., Server]]:
    """Describe a nats-server of one's own, with this in its configuration; whatever still runs at the end is killed."""
    made: list[Server] = []

    def make(config: str = "") -> Server:
        made.append(Server(tmp_path, config, f"server-{len(made)}"))
        return made[-1]

    yield make
    for server in made:
        server.close()
