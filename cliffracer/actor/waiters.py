"""What one task waits for and another one sets: a bare signal, or the answer to a call."""

from collections.abc import Awaitable, Generator
from typing import Any, Protocol

import anyio

__all__ = ["CallReply", "EventWaiter", "LoopReply", "Reply", "Waiter", "wake"]


class Waiter(Protocol):
    """Lets one task wait until somebody wakes it: `await waiter`. A bare future of asyncio's loop is one."""

    def __await__(self) -> Generator[Any, None, Any]:
        """Wait."""
        ...

    def done(self) -> bool:
        """Return whether it was woken, or whether who waited for it was cancelled."""
        ...

    def set_result(self, result: None, /) -> None:
        """Wake it, now or as soon as it waits; once, and only if it is not `done`."""
        ...


class EventWaiter:
    """A waiter on any event loop. Meets `Waiter`."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = anyio.Event()

    def __await__(self) -> Generator[Any, None, None]:
        return self._event.wait().__await__()

    def done(self) -> bool:
        """Return whether it was woken."""
        return self._event.is_set()

    def set_result(self, result: None, /) -> None:
        """Wake it, now or as soon as it waits."""
        del result
        self._event.set()


def wake(waiter: Waiter) -> None:
    """Wake who waits, unless that is done."""
    if not waiter.done():
        waiter.set_result(None)


class Reply:
    """An answer that somebody in this process waits for. Meets `ReplyTo`."""

    __slots__ = ("_error", "_value", "_waiter", "is_settled")

    def __init__(self, waiter: Waiter) -> None:
        self._waiter = waiter
        self.is_settled = False
        """Whether there is an answer."""
        self._value: Any = None
        self._error: BaseException | None = None

    def answer(self, value: Any) -> None:
        """Hand over the result."""
        if not self.is_settled:
            self.is_settled = True
            self._value = value
            wake(self._waiter)

    def fail(self, error: BaseException) -> None:
        """Hand over the reason why there is no result."""
        if not self.is_settled:
            self.is_settled = True
            self._error = error
            wake(self._waiter)

    async def wait(self) -> Any:
        """Return the result, or raise what it failed with."""
        await self._waiter
        if self._error is not None:
            raise self._error
        return self._value


class LoopReply:
    """The same for one task, by a bare future of asyncio's loop."""

    __slots__ = ("_future",)

    def __init__(self, future: Any) -> None:
        self._future = future

    def answer(self, value: Any) -> None:
        """Hand over the result."""
        if not self._future.done():
            self._future.set_result(value)

    def fail(self, error: BaseException) -> None:
        """Hand over the reason why there is no result."""
        if not self._future.done():
            self._future.set_exception(error)
            self._future.exception()  # whoever waits may be cancelled in this turn: then nobody looks, and nobody minds

    def wait(self) -> Awaitable[Any]:
        """Return what to await: it returns the result, or raises what it failed with."""
        return self._future  # type: ignore[no-any-return]


class CallReply(Protocol):
    """The answer to a call, for who calls; for who answers it is a `ReplyTo`."""

    def answer(self, value: Any) -> None:
        """Hand over the result."""
        ...

    def fail(self, error: BaseException) -> None:
        """Hand over the reason why there is no result."""
        ...

    def wait(self) -> Awaitable[Any]:
        """Return what to await: it returns the result, or raises what it failed with."""
        ...
