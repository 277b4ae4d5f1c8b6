"""A thread that sees what the event loop cannot: that it is blocked, or that it does not come to an end."""

import os
import sys
import threading
import time
import traceback
from math import inf

import anyio

from cliffracer.observe.logs import Logger

__all__ = ["Watchdog"]

_BEAT = 0.25  # seconds between two signs of life of the loop
_BLOCKED = 1.0  # seconds without one after which it is said that the loop is blocked


class Watchdog:
    """Watches the event loop of a process that is a node; for a node inside another program that is not our business.

    Only this, and only after `must_end_within`, ends the process without asking anybody.
    """

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._loop_thread = threading.get_ident()
        self._last_beat = time.monotonic()
        self._ends_at = inf
        self._over = threading.Event()

    async def run(self) -> None:
        """Watch until cancelled."""
        thread = threading.Thread(target=self._watch, name="cliffracer watchdog", daemon=True)
        thread.start()
        try:
            while True:
                self._last_beat = time.monotonic()
                await anyio.sleep(_BEAT)
        finally:
            self._over.set()

    def must_end_within(self, seconds: float) -> None:
        """End the process the hard way, with exit code 1, if it is still there after so many seconds.

        The last word counts.
        """
        self._ends_at = time.monotonic() + seconds

    def _watch(self) -> None:
        report_at = _BLOCKED
        while not self._over.wait(_BEAT):
            silent = time.monotonic() - self._last_beat
            if silent < _BLOCKED:
                report_at = _BLOCKED
            elif silent >= report_at:
                # Again after twice the time, and so on.
                report_at = silent * 2
                self._log.error("loop_blocked", seconds=round(silent, 1), where=self._stack())
            if time.monotonic() >= self._ends_at:
                self._log.critical("node_unstoppable", where=self._stack())
                sys.stderr.flush()
                os._exit(1)

    def _stack(self) -> list[str]:
        """Return where the loop's thread is, the outermost call first."""
        frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001 - the documented way to see another thread  # pyright: ignore[reportPrivateUsage]
        if frame is None:
            return []
        frames = traceback.extract_stack(frame)
        return [f"{one.filename}:{one.lineno} in {one.name}" for one in frames]
