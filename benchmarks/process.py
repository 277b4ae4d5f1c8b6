"""One contender's process, as the test process sees it."""

import selectors
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self

import msgspec

from benchmarks.jobs import Job, Report, Stage

__all__ = ["BrokenFigure", "Worker"]

_ROOT = Path(__file__).parent.parent
_PATIENCE = 180.0  # seconds until the next word of a process
_PARTING = 10.0  # seconds until a process that has said all is gone


class BrokenFigure(AssertionError):
    """A contender failed, or lost something: there is no figure."""


class Worker:
    """One contender's process, fresh, and gone when the block ends."""

    def __init__(self, job: Job) -> None:
        """Describe the process; `with` starts it."""
        self._job = job
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._rest = b""

    def __enter__(self) -> Self:
        """Start it."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", msgspec.json.encode(self._job).decode()],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it: it must end by itself if all went well."""
        try:
            if kind is None:
                self._expect_end()
        finally:
            self._process.kill()
            self._process.wait()
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.close()
            self._process.stdout.close()
            self._errors.close()

    def tell(self, word: str) -> None:
        """Send a word to the process."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(word.encode() + b"\n")
        except BrokenPipeError:
            raise self._broken(f"is gone before it could be told {word!r}") from None

    def expect(self, stage: Stage) -> Report:
        """Wait for the process to come to `stage`, and return what it says.

        Raises:
            BrokenFigure: It died, is late, says something else, or knows of a problem.
        """
        line = self._next_line(stage)
        try:
            report = msgspec.json.decode(line, type=Report)
        except msgspec.DecodeError:
            raise self._broken(f"said {line!r} instead of {stage!r}") from None
        if report.problems:
            raise self._broken("has no figure: " + "; ".join(report.problems))
        if report.stage != stage:
            raise self._broken(f"said {report.stage!r} instead of {stage!r}")
        return report

    def _next_line(self, stage: Stage) -> bytes:
        stdout = self._process.stdout
        assert stdout is not None
        deadline = monotonic() + _PATIENCE
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while b"\n" not in self._rest:
                if not selector.select(max(0.0, deadline - monotonic())):
                    raise self._broken(f"did not say {stage!r} within {_PATIENCE:g} s")
                part = stdout.read(65536)
                if not part:
                    raise self._broken(f"ended with code {self._process.wait(_PARTING)} before it said {stage!r}")
                self._rest += part
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def _expect_end(self) -> None:
        try:
            code = self._process.wait(_PARTING)
        except subprocess.TimeoutExpired:
            raise self._broken(f"does not end, {_PARTING:g} s after its last word") from None
        if code:
            raise self._broken(f"ended with code {code}")

    def _broken(self, what: str) -> BrokenFigure:
        self._errors.seek(0)
        written = self._errors.read().decode(errors="replace").strip()
        who = f"{self._job.contender}.{self._job.role} on {self._job.loop}"
        return BrokenFigure(
            f"{who} {what}" + (f"\nIts standard error ends with:\n{written[-3000:]}" if written else "")
        )
