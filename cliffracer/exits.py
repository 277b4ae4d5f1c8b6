"""Why an actor, or any other child, ended.

    Normal      it was done
    Shutdown    it was told to stop, and did
    Killed      it was told to stop, and did not in time (or was to be killed at once)
    Crashed     an exception nobody declared

The first two are *clean*: a transient child is not restarted after them.
"""

from typing import TypeAlias, cast

from msgspec import Struct

__all__ = ["Crashed", "Exit", "Killed", "Normal", "Shutdown", "is_clean", "summary_of"]


class Normal(Struct, frozen=True, tag=True):
    """It was done: `self.stop()` was called, or the function returned."""

    def __str__(self) -> str:
        return "normal"


class Shutdown(Struct, frozen=True, tag=True):
    """It was told to stop, and stopped in order.

    Attributes:
        detail: What more is known, or an empty string.
    """

    detail: str = ""

    def __str__(self) -> str:
        return f"shutdown: {self.detail}" if self.detail else "shutdown"


class Killed(Struct, frozen=True, tag=True):
    """It was cancelled: at once (`brutal_kill`), or because it did not stop in time."""

    def __str__(self) -> str:
        return "killed"


class Crashed(Struct, frozen=True, tag=True):
    """It ended with an exception.

    Attributes:
        error: Type and text of the exception, in one line.
        incident: The id under which the traceback stands in the log.
    """

    error: str
    incident: str

    def __str__(self) -> str:
        return f"crashed: {self.error} (incident {self.incident})"


Exit: TypeAlias = Normal | Shutdown | Killed | Crashed


def is_clean(reason: Exit) -> bool:
    """Tell whether a child that ended so ended as it should."""
    return isinstance(reason, Normal | Shutdown)


def summary_of(error: BaseException) -> str:
    """Return type and text of `error` in one line; a group of one counts as what it holds."""
    inner = _members_of(error)
    if len(inner) == 1:
        return summary_of(inner[0])
    name = type(error).__name__
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - an exception that cannot tell its text must not hide that it happened
        return name
    return f"{name}: {text}" if text else name


def _members_of(error: BaseException) -> tuple[BaseException, ...]:
    if not isinstance(error, BaseExceptionGroup):
        return ()
    return cast("BaseExceptionGroup[BaseException]", error).exceptions
