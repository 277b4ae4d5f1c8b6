"""A clock for asyncio that jumps, as trio's MockClock does."""

import asyncio

__all__ = ["JumpingLoop"]


class JumpingLoop(asyncio.SelectorEventLoop):
    """asyncio's loop with a clock like trio's MockClock: it stands still, and jumps where only timers are waited for.

    With a socket open, the other end may have something to say, and time is real.
    """

    _virtual = 0.0
    _last_look = 0.0

    def time(self) -> float:
        now = super().time()
        if self._has_sockets():
            self._virtual += now - self._last_look
        self._last_look = now
        return self._virtual

    def _run_once(self) -> None:
        if not self._ready and not self._has_sockets():
            # Cancelled timers stay in the list for a while: a jump to one of them would end short of the next.
            due = min((timer.when() for timer in self._scheduled if not timer.cancelled()), default=self._virtual)
            self._virtual = max(self._virtual, due)
        super()._run_once()

    def _has_sockets(self) -> bool:
        return len(self._selector.get_map()) > 1  # one is the loop's own, to be woken by
