"""How children are stopped: asked, given their time, cancelled, and waited for."""

from collections.abc import Iterable

import anyio

from cliffracer.exits import Shutdown
from cliffracer.observe.logs import Logger
from cliffracer.supervision.process import Process

__all__ = ["stop_all", "stop_one", "wait_gone"]

_REPORT_AGAIN = 60.0  # seconds between two reports of the same child that does not end, at most


async def stop_one(process: Process, grace: float, log: Logger) -> None:
    """Stop `process` as its spec says, and return when it is gone; see `stop_all`."""
    await stop_all([process], grace, log)


async def stop_all(processes: Iterable[Process], grace: float, log: Logger) -> None:
    """Ask all of `processes` to stop at once, cancel each when its time is over, and return when all are gone.

    OTP waits without limit after the kill. So must we: nothing can end a task that swallows its cancellation, or
    shields itself from it. But it is said, with the place where it hangs.

    Args:
        processes: What to stop.
        grace: Seconds from the cancellation of one until it is reported as `child_unkillable`.
        log: Where to.
    """
    left = [process for process in processes if not process.has_ended]
    if not left:
        return
    began = anyio.current_time()
    for process in left:
        if process.spec.shutdown == "brutal_kill":
            process.kill()
        else:
            process.request_stop(Shutdown())
    patience = {process.spec.shutdown for process in left if not isinstance(process.spec.shutdown, str)}
    # One timer for each distinct time, the shortest first.
    for seconds in sorted(patience):
        due = [process for process in left if process.spec.shutdown == seconds]
        with anyio.move_on_after(began + seconds - anyio.current_time()):
            for process in due:
                await process.wait_ended()
        for process in due:
            if not process.has_ended:
                process.kill()
    for process in left:
        if process.spec.shutdown == "infinity":
            await process.wait_ended()
        else:
            await wait_gone(process, grace, log)


async def wait_gone(process: Process, grace: float, log: Logger) -> None:
    """Wait until a cancelled process is gone, and report it if that takes longer than `grace` seconds."""
    if process.spec.is_supervisor:
        await process.wait_ended()  # what hangs is below, and is reported there
        return
    began, wait = anyio.current_time(), grace
    with anyio.move_on_after(grace):
        await process.wait_ended()
    while not process.has_ended:
        log.error(
            "child_unkillable",
            child=process.id,
            incarnation=process.record.incarnation,
            seconds=round(anyio.current_time() - began, 3),
            stack=process.stack(),
        )
        wait = min(max(wait, 1.0) * 2, _REPORT_AGAIN)
        with anyio.move_on_after(wait):
            await process.wait_ended()
