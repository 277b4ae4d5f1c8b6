"""How much memory the process holds."""

import gc
import os
import threading
from pathlib import Path

__all__ = ["HighWater", "resident_bytes"]

_STATM = Path("/proc/self/statm")
_EVERY = 0.05  # seconds


def resident_bytes() -> int:
    """Return the resident set, garbage excepted."""
    gc.collect()
    return _resident()


def _resident() -> int:
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class HighWater:
    """By how much the resident set grows at most: a thread looks every 50 ms."""

    def __init__(self) -> None:
        """Prepare; nobody looks."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_often, daemon=True)
        self._before = self._highest = 0

    def begin(self) -> None:
        """Look from now on."""
        self._before = self._highest = resident_bytes()
        self._thread.start()

    def end(self) -> int:
        """Look once more, and no more; return the growth in bytes."""
        self._over.set()
        self._thread.join()
        self._look()
        return self._highest - self._before

    def _look_often(self) -> None:
        while not self._over.wait(_EVERY):
            self._look()

    def _look(self) -> None:
        self._highest = max(self._highest, _resident())
