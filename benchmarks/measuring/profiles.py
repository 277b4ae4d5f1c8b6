"""A profile as a short text: the functions with the most time of their own, per message."""

import cProfile
import pstats
import re
import sysconfig
from pathlib import Path

from benchmarks.jobs import Job

__all__ = ["write_profile"]

_SHOWN = 25
_ROOTS = (
    sysconfig.get_path("purelib"),
    sysconfig.get_path("platlib"),
    sysconfig.get_path("stdlib"),
    str(Path(__file__).parents[2]),
)
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def write_profile(profiler: cProfile.Profile, job: Job, count: int) -> None:
    """Write what `profiler` saw to the file that the job names.

    Args:
        profiler: It has been stopped.
        job: Whose profile it is.
        count: Messages meanwhile.
    """
    # By function: calls that were not recursive, calls, own time, time with what it called, callers.
    functions: dict[tuple[str, int, str], tuple[int, int, float, float, object]] = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    total = sum(own for _, _, own, _, _ in functions.values())
    each = f"{count:,} messages, {total / count * 1e6:.2f} us each"
    lines = [
        f"{job.contender}.{job.role} on {job.loop}, under cProfile: {each}",
        f"{'own us':>8} {'calls':>8}  function; both per message",
    ]
    by_own_time = sorted(functions.items(), key=lambda item: -item[1][2])
    for (file, line, name), (_, calls, own, _, _) in by_own_time[:_SHOWN]:
        lines.append(f"{own / count * 1e6:8.3f} {calls / count:8.2f}  {_called(file, line, name)}")
    Path(job.profile).write_text("\n".join(lines) + "\n")


def _called(file: str, line: int, name: str) -> str:
    """Return how a function is called: no directory of this machine, and no address."""
    if file == "~":
        return _ADDRESS.sub("", name)
    for root in _ROOTS:
        file = file.removeprefix(f"{root}/")
    return f"{Path(file).name if Path(file).is_absolute() else file}:{line} {name}"
