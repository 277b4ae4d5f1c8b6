"""The restart window: how often is too often. Pure: `now` is an argument."""

from collections import deque

__all__ = ["Intensity"]


class Intensity:
    """Counts the restarts of one supervisor within a sliding window, as OTP's supervisor does.

    One window for all its children; a group restart counts once; a failed attempt counts as one more; success
    resets nothing. Differs from OTP in one thing: seconds are not rounded, so the window is `max_seconds` long and
    not up to one longer.
    """

    __slots__ = ("_stamps", "max_restarts", "max_seconds")

    def __init__(self, max_restarts: int, max_seconds: float) -> None:
        self.max_restarts = max_restarts
        self.max_seconds = max_seconds
        self._stamps: deque[float] = deque()

    def add(self, now: float) -> bool:
        """Count a restart at `now`; return whether it is allowed.

        False for the first one over `max_restarts` in the window.
        """
        self._stamps.append(now)
        return self.count(now) <= self.max_restarts

    def count(self, now: float) -> int:
        """Return how many restarts the window that ends at `now` holds; one exactly `max_seconds` ago is in it."""
        while self._stamps and self._stamps[0] < now - self.max_seconds:
            self._stamps.popleft()
        return len(self._stamps)
