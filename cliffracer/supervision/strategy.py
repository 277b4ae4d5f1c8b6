"""What happened -> what to do.

The machine of a supervisor: it knows the children and their states, is told what happened, and returns steps for
the shell in `supervisor.py` to carry out one by one. It never waits and never reads a clock. When a start among the
steps fails, the shell drops the rest of them and asks again: that is how OTP's supervisor behaves, too.
"""

from collections.abc import Iterable
from enum import Enum
from typing import TypeAlias

from msgspec import Struct

from cliffracer.exits import Exit, Shutdown, is_clean
from cliffracer.supervision.intensity import Intensity
from cliffracer.supervision.spec import ChildSpec, Strategy

__all__ = [
    "ChildState",
    "Dismiss",
    "End",
    "GiveUp",
    "Machine",
    "Restarting",
    "RetryLater",
    "StartChild",
    "Step",
    "StopChild",
]


class ChildState(Enum):
    """Where a child stands."""

    STOPPED = "stopped"  # known, not running; OTP's `undefined`
    RUNNING = "running"
    RESTARTING = "restarting"  # a restart failed and will be tried again


class StartChild(Struct, frozen=True):
    """Start this child; report back with `started` or `start_failed`."""

    id: str


class StopChild(Struct, frozen=True):
    """Stop this child, wait until it is gone, and report back with `stopped`."""

    id: str


class Dismiss(Struct, frozen=True):
    """This child has ended and will not be started again by itself: its name is free, what waits for it is refused."""

    id: str


class Restarting(Struct, frozen=True):
    """Tell the operator that a restart follows."""

    id: str
    reason: Exit
    restarts: int


class RetryLater(Struct, frozen=True):
    """Put a note to try again into the supervisor's own queue, behind what waits there; report it with `retry`."""

    id: str


class GiveUp(Struct, frozen=True):
    """Tell the operator that the restart intensity is exceeded."""

    id: str
    reason: Exit


class End(Struct, frozen=True):
    """The supervisor ends, for this reason."""

    reason: Exit


Step: TypeAlias = StartChild | StopChild | Dismiss | Restarting | RetryLater | GiveUp | End


class _Child:
    __slots__ = ("incarnation", "reason", "spec", "state")

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.state = ChildState.STOPPED
        self.incarnation = 0
        self.reason: Exit = Shutdown()  # why it ended last


class Machine:
    """The decisions of one supervisor."""

    def __init__(self, strategy: Strategy, specs: Iterable[ChildSpec], intensity: Intensity) -> None:
        self._strategy = strategy
        self._intensity = intensity
        # In start order, always: dictionaries keep it.
        self._children = {spec.id: _Child(spec) for spec in specs}
        self._started = False

    # What happened

    def start(self) -> list[Step]:
        """The supervisor starts: all children, in order."""
        return [StartChild(id) for id in self._children]

    def all_started(self) -> None:
        """The children of `start` run; from now on a start that fails is a restart that fails."""
        self._started = True

    def started(self, id: str, incarnation: int) -> None:
        """A start succeeded."""
        child = self._children[id]
        child.state, child.incarnation = ChildState.RUNNING, incarnation

    def start_failed(self, id: str, reason: Exit) -> list[Step]:
        """A start failed; the steps that were to follow it are void."""
        child = self._children[id]
        child.reason = reason
        if not self._started:
            return [*self._stop_all(), End(Shutdown(f"failed_to_start_child({id}, {reason})"))]
        child.state = ChildState.RESTARTING
        return [RetryLater(id)]

    def stopped(self, id: str) -> None:
        """A child that was to be stopped is gone, however it ended."""
        child = self._children.get(id)
        if child is not None:
            child.state = ChildState.STOPPED

    def exited(self, id: str, incarnation: int, reason: Exit, now: float) -> list[Step]:
        """A child ended by itself. A notice of an incarnation that is no longer the running one changes nothing."""
        child = self._children.get(id)
        if child is None or child.state is not ChildState.RUNNING or child.incarnation != incarnation:
            return []
        child.reason = reason
        if self.restarts(id, reason):
            return self._restart(child, now)
        self._forget(child)
        return [Dismiss(id)]

    def retry(self, id: str, now: float) -> list[Step]:
        """The note of a `RetryLater` came up. It is void if the child is not waiting for it any more."""
        child = self._children.get(id)
        if child is None or child.state is not ChildState.RESTARTING:
            return []
        return self._restart(child, now)

    def stop(self, reason: Exit) -> list[Step]:
        """The supervisor is told to stop: all children in reverse order, then itself."""
        return [*self._stop_all(), End(reason)]

    # What is asked

    def restarts(self, id: str, reason: Exit) -> bool:
        """Tell whether a child that ended so is restarted."""
        match self._children[id].spec.restart:
            case "permanent":
                return True
            case "transient":
                return not is_clean(reason)
            case "temporary":
                return False

    def states(self) -> dict[str, ChildState]:
        """Return the state of each child, in start order."""
        return {id: child.state for id, child in self._children.items()}

    # Decisions

    def _restart(self, child: _Child, now: float) -> list[Step]:
        id = child.spec.id
        if not self._intensity.add(now):
            child.state = ChildState.STOPPED
            return [GiveUp(id, child.reason), *self._stop_all(), End(Shutdown())]
        notice = Restarting(id, child.reason, self._intensity.count(now))
        child.state = ChildState.STOPPED
        group = self._group(child)
        stops: list[Step] = []
        for member in reversed(group):
            if member.state is ChildState.RUNNING:
                stops.append(StopChild(member.spec.id))
            elif member is not child:
                member.state = ChildState.STOPPED
        starts: list[Step] = []
        for member in group:
            # A temporary sibling that has to go with the group does not come back.
            if member.spec.restart == "temporary":
                self._forget(member)
                starts.insert(0, Dismiss(member.spec.id))
            else:
                starts.append(StartChild(member.spec.id))
        return [notice, *stops, *starts]

    def _group(self, child: _Child) -> list[_Child]:
        """Return who is restarted together with `child`, in start order."""
        children = list(self._children.values())
        if self._strategy == "one_for_one":
            return [child]
        if self._strategy == "one_for_all":
            return children
        return children[children.index(child) :]

    def _stop_all(self) -> list[Step]:
        return [StopChild(id) for id, child in reversed(self._children.items()) if child.state is ChildState.RUNNING]

    def _forget(self, child: _Child) -> None:
        child.state = ChildState.STOPPED
        if child.spec.restart == "temporary":
            del self._children[child.spec.id]
