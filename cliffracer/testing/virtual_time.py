"""A clock that jumps: an hour of back-off takes no time, and nothing depends on how fast the machine is.

For anyio's plugin for pytest:

    @pytest.fixture(params=["asyncio", "trio"])
    def anyio_backend(request):
        return virtual_time(request.param)

Without pytest: `backend, options = virtual_time(); anyio.run(main, backend=backend, backend_options=options)`.
"""

# asyncio offers no public way to do what is done with its private names here; they have been stable since its 3.4.
# ruff: noqa: SLF001

import asyncio
from typing import Any, Literal

__all__ = ["JumpingLoop", "virtual_time"]


class JumpingLoop(asyncio.SelectorEventLoop):
    """asyncio's loop with a clock like trio's `MockClock`: it stands still, and jumps where only timers are waited for.

    With a socket open, the other end may have something to say, and time is real. The same while a thread works: its
    end is not foreseen, so do not wait for threads on this loop.
    """

    _virtual = 0.0
    _last_look = 0.0

    def time(self) -> float:
        """Return the virtual time, in seconds."""
        now = super().time()
        if self._has_sockets():
            self._virtual += now - self._last_look
        self._last_look = now
        return self._virtual

    def _run_once(self) -> None:
        loop: Any = self  # these names are asyncio's own
        if not loop._ready and not self._has_sockets():
            # Cancelled timers stay in the list for a while: a jump to one of them would end short of the next.
            due = min((timer.when() for timer in loop._scheduled if not timer.cancelled()), default=self._virtual)
            self._virtual = max(self._virtual, due)
        super()._run_once()  # type: ignore[misc]

    def _has_sockets(self) -> bool:
        loop: Any = self
        return len(loop._selector.get_map()) > 1  # one is the loop's own, to be woken by


def virtual_time(backend: Literal["asyncio", "trio"] = "asyncio") -> tuple[str, dict[str, Any]]:
    """Return what the fixture `anyio_backend` is to return, or `anyio.run` is to be given, for a clock that jumps.

    Args:
        backend: "trio" needs trio to be installed.
    """
    if backend == "asyncio":
        return "asyncio", {"loop_factory": JumpingLoop}
    import trio.testing  # noqa: PLC0415 - not among the base packages

    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}
