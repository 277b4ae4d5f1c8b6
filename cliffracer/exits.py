"""Why an actor, or any other child, ended.

    Normal      it was done
    Shutdown    it was told to stop, and did
    Killed      it was told to stop, and did not in time (or was to be killed at once)
    Crashed     an exception nobody declared
    LinkLost    something it was linked to ended
    NotStarted  a supervisor: one of its children did not start

Normal, Shutdown and NotStarted are *clean*, and so is a LinkLost that has a clean reason: a transient child is not
restarted after them.
"""

from typing import TypeAlias, cast

from msgspec import Struct

__all__ = [
    "Crashed",
    "Exit",
    "Killed",
    "LinkLost",
    "Normal",
    "NotStarted",
    "Shutdown",
    "incident_of",
    "is_clean",
    "summary_of",
]


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


class LinkLost(Struct, frozen=True, tag=True):
    """Something that it was linked to ended, so it ended, too.

    Attributes:
        who: What it was linked to.
        reason: Why that ended; None if it was gone already.
    """

    who: str
    reason: "Exit | None"

    def __str__(self) -> str:
        return f"link lost: {self.who} {'was gone' if self.reason is None else f'ended, {self.reason}'}"


class NotStarted(Struct, frozen=True, tag=True):
    """A supervisor ended because one of its children did not start; OTP's `{shutdown, {failed_to_start_child, ...}}`.

    Attributes:
        child: The id of that child.
        reason: Why it did not start.
    """

    child: str
    reason: "Exit"

    def __str__(self) -> str:
        return f"shutdown: child {self.child!r} did not start, {self.reason}"


Exit: TypeAlias = Normal | Shutdown | Killed | Crashed | LinkLost | NotStarted


def is_clean(reason: Exit) -> bool:
    """Tell whether a child that ended so ended as it should."""
    if isinstance(reason, LinkLost):
        return reason.reason is not None and is_clean(reason.reason)
    return isinstance(reason, Normal | Shutdown | NotStarted)


def incident_of(reason: Exit) -> str:
    """Return the id under which the crash behind `reason` stands in the log, or an empty string."""
    if isinstance(reason, Crashed):
        return reason.incident
    if isinstance(reason, LinkLost | NotStarted) and reason.reason is not None:
        return incident_of(reason.reason)
    return ""


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
