"""What the machine of a supervisor tells its shell to do."""

from typing import TypeAlias

from msgspec import Struct

from cliffracer.exits import Exit

__all__ = [
    "Dismiss",
    "End",
    "GiveUp",
    "GiveUpChild",
    "Restarting",
    "RetryLater",
    "ShutDownByItself",
    "StartChild",
    "Step",
    "StopAll",
    "StopChild",
]


class StartChild(Struct, frozen=True):
    """Start this child; report back with `started`, `ignored` or `start_failed`."""

    id: str


class StopChild(Struct, frozen=True):
    """Stop this child, wait until it is gone, and report back with `stopped`."""

    id: str


class StopAll(Struct, frozen=True):
    """Stop these children all at once, wait until they are gone, and report each with `stopped`."""

    ids: tuple[str, ...]


class Dismiss(Struct, frozen=True):
    """This child has ended and will not be started again by itself: its name is free, what waits for it is refused."""

    id: str


class Restarting(Struct, frozen=True):
    """Tell the operator that a restart follows, `delay` seconds from now.

    `restarts` is how many the window holds, this one included; `attempt` how often it has been tried in vain.
    """

    id: str
    reason: Exit
    restarts: int
    attempt: int = 0
    delay: float = 0.0


class RetryLater(Struct, frozen=True):
    """Put a note to try again into the supervisor's own queue, `delay` seconds from now.

    Without delay it goes behind what waits there already. Report it with `retry`.
    """

    id: str
    delay: float = 0.0


class GiveUp(Struct, frozen=True):
    """Tell the operator that the restart intensity is exceeded."""

    id: str
    reason: Exit
    attempt: int = 0


class GiveUpChild(Struct, frozen=True):
    """Tell the operator that this child has used up its own budget, and is not restarted; the supervisor lives on."""

    id: str
    reason: Exit
    attempt: int = 0


class ShutDownByItself(Struct, frozen=True):
    """Tell the operator that the end of this significant child ends the supervisor."""

    id: str


class End(Struct, frozen=True):
    """The supervisor ends, for this reason."""

    reason: Exit


Step: TypeAlias = (
    StartChild | StopChild | StopAll | Dismiss | Restarting | RetryLater | GiveUp | GiveUpChild | ShutDownByItself | End
)
