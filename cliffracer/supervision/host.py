"""What a tree needs of the node it runs in."""

from typing import Any, Protocol

from cliffracer.actor.cell import Cell
from cliffracer.actor.host import Host
from cliffracer.supervision.process import ChildRecord, Process
from cliffracer.supervision.spec import ChildSpec

__all__ = ["TreeHost"]


class TreeHost(Host, Protocol):
    """The node, as supervisors and what they run see it."""

    def process_started(self, process: Process) -> None:
        """A child has started."""
        ...

    def claim(self, spec: ChildSpec[Any], path: str) -> Cell:
        """Return the cell of the actor that `spec` describes; the same one for each incarnation.

        Raises:
            AlreadyStarted: Another child has an actor of this name.
        """
        ...

    async def admit(self, cell: Cell) -> None:
        """Let messages come in: the actor has started. Called for each incarnation."""
        ...

    async def open_pool(self, spec: ChildSpec[Any], path: str) -> None:
        """Let messages come in to a pool, whose members have all started."""
        ...

    @property
    def kill_grace(self) -> float:
        """Seconds from the cancellation of a child until it is reported as unkillable."""
        ...

    def record_of(self, path: str) -> ChildRecord:
        """Return what is known of the child at `path`; the same for each incarnation."""
        ...

    def forget(self, spec: ChildSpec[Any], path: str) -> None:
        """Forget the child at `path`, and what was below it."""
        ...

    def supervisor_started(self, supervisor: Any) -> None:
        """A supervisor is about to start its children; it can be found by its path."""
        ...

    def supervisor_ended(self, supervisor: Any) -> None:
        """A supervisor is gone."""
        ...

    def process_ended(self, process: Process) -> None:
        """A child has ended."""
        ...

    def leave(self, error: BaseException) -> None:
        """The program is to end, in order, for SystemExit or KeyboardInterrupt."""
        ...

    def require_free(self, spec: ChildSpec[Any], path: str) -> None:
        """Check that no other child has an actor of a name in `spec`.

        Raises:
            AlreadyStarted: One has.
        """
        ...

    def before_stop(self, cell: Cell) -> None:
        """The actor is about to be stopped, perhaps to be started again."""
        ...

    async def dismiss(self, spec: ChildSpec[Any], path: str, *, forget: bool) -> None:
        """A child has ended and will not be started again by itself: the names in it are free.

        `forget` is whether nobody can start it again by hand, either.
        """
        ...
