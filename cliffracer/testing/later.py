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

    def call(self, seconds: float, action: Callable[[], None]) -> None:
        """Run `action` after so many seconds, and never within this call.

        It cannot be called off: let it look whether there is still something to do. It must neither wait nor raise.
        """
        call_later = getattr(self._loop, "call_later", None)
        if call_later is not None:  # asyncio
            # In a context of its own: whose message is in hand here is no business of what comes later.
            call_later(seconds, action, context=Context())
            return
        import trio  # noqa: PLC0415 - it runs, so it is there

        async def wait() -> None:
            await anyio.sleep(seconds)
            action()

        trio.lowlevel.spawn_system_task(wait, name="cliffracer.testing")
