"""Time, and where it went."""

import asyncio
import cProfile
from time import perf_counter, process_time

from benchmarks.jobs import Job, Report
from benchmarks.measuring.profiles import write_profile

__all__ = ["Stopwatch"]


class Stopwatch:
    """Time on the wall, and time on a processor; where it went, too, if the job asks for a profile."""

    def __init__(self, job: Job) -> None:
        """Prepare; nothing runs."""
        self._job = job
        self._profiler = cProfile.Profile() if job.profile else None
        self._began = self._ended = (0.0, 0.0)

    def begin(self) -> None:
        """Start it."""
        if self._profiler is not None:
            self._profiler.enable()
        self._began = (perf_counter(), process_time())

    def end(self) -> None:
        """Stop it."""
        self._ended = (perf_counter(), process_time())
        if self._profiler is not None:
            self._profiler.disable()

    def report(self, count: int, handled: int, problems: list[str]) -> Report:
        """Return the figures, and write the profile down.

        Args:
            count: Messages while it ran.
            handled: Messages since the process began.
            problems: What went wrong.
        """
        if self._profiler is not None:
            write_profile(self._profiler, self._job, count)
        return Report(
            stage="done",
            loop=_current_loop(),
            handled=handled,
            count=count,
            seconds=self._ended[0] - self._began[0],
            cpu_seconds=self._ended[1] - self._began[1],
            problems=tuple(problems),
        )


def _current_loop() -> str:
    """Return where the running event loop comes from; nothing if none runs."""
    try:
        return type(asyncio.get_running_loop()).__module__.partition(".")[0]
    except RuntimeError:
        return ""
