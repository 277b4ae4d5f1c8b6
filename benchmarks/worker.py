"""The process of one contender: `python -m benchmarks.worker JOB`, the job as JSON."""

import asyncio
import gc
import importlib
import inspect
import os
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from benchmarks.jobs import Job, Loop


def loop_factory(loop: Loop) -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes the event loop; it is the same for all contenders."""
    if loop == "asyncio":
        return asyncio.new_event_loop
    return importlib.import_module("uvloop").new_event_loop


def main() -> None:
    """Play the role that the job names."""
    job = msgspec.json.decode(sys.argv[1], type=Job)
    if job.one_core:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    role: Callable[[Job], Any] = getattr(importlib.import_module(f"benchmarks.contenders.{job.contender}"), job.role)
    gc.collect()
    gc.freeze()  # as `Node.run` does: the collector need not go through what is loaded
    if inspect.iscoroutinefunction(role):
        with asyncio.Runner(loop_factory=loop_factory(job.loop)) as runner:
            runner.run(role(job))
    else:
        role(job)


if __name__ == "__main__":
    main()
