"""Where a task stands that does not end: the stack of a suspended coroutine."""

from collections.abc import Iterator
from types import FrameType
from typing import Any

__all__ = ["stack_of"]


def stack_of(awaitable: Any) -> list[str]:
    """Return where `awaitable` is suspended, the outermost call first, each as `file:line in function`.

    Empty if it has not begun, or has ended. A task that is suspended by no coroutine, such as a thread it waits for,
    ends the list where it left Python.
    """
    return [
        f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}" for frame in _frames(awaitable)
    ]


def _frames(awaitable: Any) -> Iterator[FrameType]:
    while awaitable is not None:
        # Coroutines, async generators and plain generators: whichever it is has its own names for the same two things.
        for frame_name, next_name in (("cr_frame", "cr_await"), ("ag_frame", "ag_await"), ("gi_frame", "gi_yieldfrom")):
            frame = getattr(awaitable, frame_name, None)
            if frame is not None:
                yield frame
                awaitable = getattr(awaitable, next_name, None)
                break
        else:
            return
