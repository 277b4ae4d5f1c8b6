"""Something to do later, on whichever event loop runs, without a task that somebody would have to own."""

from collections.abc import Callable
from contextvars import Context
from typing import Any

import anyio
import anyio.lowlevel

from cliffracer.actor.timers import running_clock

__all__ = ["Later"]


class Later:
    """The running event loop's clock, and its timers. Made inside the loop; usable from its callbacks, too."""

    def __init__(self) -> None:
        self.clock = running_clock()
        """Seconds; virtual under a virtual clock."""
        self._loop: Any = anyio.lowlevel.current_token().native_token
        self._tasks: set[Any] = set()  # asyncio itself would forget them

    def call(self, seconds: float, action: Callable[[], None]) -> None:
        """Run `action` after so many seconds, and never within this call.

        It cannot be called off: let it look whether there is still something to do. It must neither wait nor raise.
        """
        if hasattr(self._loop, "call_later"):  # asyncio
            self._loop.call_later(seconds, self._run_in_task, action)
            return
        import trio  # noqa: PLC0415 - it runs, so it is there

        async def wait() -> None:
            await anyio.sleep(seconds)
            action()

        trio.lowlevel.spawn_system_task(wait, name="cliffracer.testing")

    def _run_in_task(self, action: Callable[[], None]) -> None:
        # What is called may use anyio, and that needs a task to be in.
        async def run() -> None:
            action()

        # In a context of its own: whose message is in hand here is no business of what comes later.
        task = self._loop.create_task(run(), name="cliffracer.testing", context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
