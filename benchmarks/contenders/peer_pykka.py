"""Pykka: actors on threads. `tell` and `ask` with `on_receive` are its fastest way; proxies cost more."""

import threading
from typing import Any

from pykka import ThreadingActor

from benchmarks.jobs import Job, say
from benchmarks.measuring.timing import time_blocking_calls
from benchmarks.measuring.trials import CastTrial

__all__ = ["local_call", "local_cast"]


class Counter(ThreadingActor):
    """Takes casts."""

    def __init__(self, trial: CastTrial) -> None:
        super().__init__()
        self._take = trial.tally.take

    def on_receive(self, message: int) -> None:
        self._take(message)


class Doubler(ThreadingActor):
    """Answers calls."""

    def on_receive(self, message: int) -> Any:
        return message * 2


def local_cast(job: Job) -> None:
    """Tell from the main thread."""
    warm, done = threading.Event(), threading.Event()
    trial = CastTrial(job, warm.set, done.set)
    counter = Counter.start(trial)
    for seq in trial.warmup:
        counter.tell(seq)
    warm.wait()
    trial.begin()
    for seq in trial.timed:
        counter.tell(seq)
    done.wait()
    counter.stop()
    say(trial.report([]))


def local_call(job: Job) -> None:
    """Ask from the main thread."""
    doubler = Doubler.start()
    say(time_blocking_calls(lambda seq: doubler.ask(seq, timeout=5.0) == seq * 2, job))
    doubler.stop()
