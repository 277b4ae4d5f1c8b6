"""A token bucket: many at once now and then, but not all the time."""

from cliffracer.actor.timers import Clock

__all__ = ["Bucket"]


class Bucket:
    """Begins full; what is taken comes back with time."""

    __slots__ = ("_at", "_clock", "_left", "_rate", "_size")

    def __init__(self, size: int, rate: float, clock: Clock) -> None:
        """Make a full one.

        Args:
            size: How many can be taken at once.
            rate: How many come back per second.
            clock: The node's.
        """
        self._size = size
        self._rate = rate
        self._clock = clock
        self._left = float(size)
        self._at = clock()

    def take(self) -> bool:
        """Take one, and return True; return False if none is left."""
        now = self._clock()
        self._left = min(self._size, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
