"""How children are stopped: asked, given their time, cancelled, and waited for."""

import heapq
from collections.abc import Iterable
from math import inf

import anyio

from cliffracer.exits import Exit, Killed, Shutdown
from cliffracer.observe.logs import Logger
from cliffracer.supervision.process import Process

__all__ = ["kill_all", "stop_all", "wait_gone"]

_REPORT_AGAIN = 60.0  # seconds between two reports of the same child that does not end, at most


async def stop_all(processes: Iterable[Process], grace: float, log: Logger) -> None:
    """Ask all of `processes` to stop at once, cancel each when its time is over, and return when all are gone.

    OTP waits without limit after the kill. So must we: nothing can end a task that swallows its cancellation, or
    shields itself from it. But it is said, with the place where it hangs.

    Args:
        processes: What to stop.
        grace: Seconds from the cancellation of one until it is reported as `child_unkillable`.
        log: Where to.
    """
    countdown = _Countdown(grace, log)
    for process in processes:
        if process.has_ended:
            continue
        countdown.add(process)
        if process.spec.shutdown == "brutal_kill":
            countdown.kill(process)
        else:
            process.request_stop(Shutdown())
            if not isinstance(process.spec.shutdown, str):
                countdown.kill_in(process, process.spec.shutdown)
    await countdown.run()


async def kill_all(processes: Iterable[Process], grace: float, log: Logger) -> None:
    """End all of `processes` because their supervisor was killed, and return when all are gone; see `stop_all`.

    Workers are cancelled. Supervisors hear that their parent has gone, and stop their own children in order.
    """
    countdown = _Countdown(grace, log)
    for process in processes:
        if process.has_ended:
            continue
        countdown.add(process)
        if process.spec.is_supervisor:
            process.request_stop(Killed())
        else:
            countdown.kill(process)
    await countdown.run()


async def wait_gone(process: Process, grace: float, log: Logger) -> None:
    """Wait until a cancelled process is gone, and report it if that takes longer than `grace` seconds."""
    countdown = _Countdown(grace, log)
    if not process.has_ended:
        countdown.add(process)
        countdown.killed(process)
    await countdown.run()


class _Countdown:
    """Waits for processes, and does what is due to each meanwhile. Meets `Watcher`."""

    def __init__(self, grace: float, log: Logger) -> None:
        self._grace = grace
        self._log = log
        self._left = 0
        self._all_gone = anyio.Event()
        # When, a number, of which, for how long it has been cancelled then, and how long the wait until then is; no
        # time at all means that it is to be cancelled.
        self._due: list[tuple[float, int, Process, float, float]] = []
        self._number = 0

    def add(self, process: Process) -> None:
        """Wait for `process`, too."""
        self._left += 1
        process.watch(self)

    def tell(self, reason: Exit, incarnation: int) -> None:
        """Hear that one of them has ended."""
        del reason, incarnation
        self._left -= 1
        if not self._left:
            self._all_gone.set()

    def kill(self, process: Process) -> None:
        """Cancel `process`."""
        process.kill()
        self.killed(process)

    def kill_in(self, process: Process, seconds: float) -> None:
        """Cancel `process`, if it is still there after so many seconds."""
        self._schedule(seconds, process, 0.0)

    def killed(self, process: Process) -> None:
        """Note that `process` was cancelled just now."""
        if not process.spec.is_supervisor:  # what hangs is below that, and is reported there
            self._schedule(self._grace, process, self._grace)

    async def run(self) -> None:
        """Return when all are gone."""
        while self._left:
            with anyio.CancelScope(deadline=self._due[0][0] if self._due else inf):
                await self._all_gone.wait()
            now = anyio.current_time()
            while self._left and self._due and self._due[0][0] <= now:
                _, _, process, cancelled_for, waited = heapq.heappop(self._due)
                if process.has_ended:
                    continue
                if not cancelled_for:
                    self.kill(process)
                else:
                    self._report(process, cancelled_for, waited)

    def _report(self, process: Process, cancelled_for: float, waited: float) -> None:
        self._log.error(
            "child_unkillable",
            child=process.id,
            incarnation=process.record.incarnation,
            seconds=round(cancelled_for, 3),
            where=process.stack(),
        )
        wait = min(max(waited, 1.0) * 2, _REPORT_AGAIN)
        self._schedule(wait, process, cancelled_for + wait)

    def _schedule(self, seconds: float, process: Process, cancelled_for: float) -> None:
        self._number += 1
        heapq.heappush(self._due, (anyio.current_time() + seconds, self._number, process, cancelled_for, seconds))
