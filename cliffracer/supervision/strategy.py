"""What happened -> what to do.

The machine of a supervisor: it knows the children and their states, is told what happened, and returns steps for
the shell in `supervisor.py` to carry out one by one. It never waits and never reads a clock. When a start among the
steps fails, the shell drops the rest of them and asks again: that is how OTP's supervisor behaves, too.
"""

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any

from cliffracer.errors import AlreadyPresent, AlreadyStarted, ChildRestarting, ChildRunning, NoChild, TooManyChildren
from cliffracer.exits import Exit, NotStarted, Shutdown, is_clean
from cliffracer.supervision.intensity import Intensity
from cliffracer.supervision.spec import AutoShutdown, ChildSpec, Strategy
from cliffracer.supervision.steps import (
    Dismiss,
    End,
    GiveUp,
    GiveUpChild,
    Restarting,
    RetryLater,
    ShutDownByItself,
    StartChild,
    Step,
    StopAll,
    StopChild,
)

__all__ = ["ChildState", "Machine"]


class ChildState(Enum):
    """Where a child stands."""

    STOPPED = "stopped"  # known, not running; OTP's `undefined`
    RUNNING = "running"
    RESTARTING = "restarting"  # a restart failed, or waits for its back-off, and will be tried again


class _Child:
    __slots__ = (
        "attempts",
        "awaited",
        "budget",
        "counted",
        "failures",
        "incarnation",
        "reason",
        "spec",
        "started_at",
        "state",
    )

    def __init__(self, spec: ChildSpec[Any]) -> None:
        self.spec = spec
        self.state = ChildState.STOPPED
        self.incarnation = 0
        self.reason: Exit | None = None  # why it ended last
        self.started_at = 0.0
        self.attempts = 0  # failed starts since it ran last
        self.failures = 0  # crashes and failed starts in a row, for the back-off
        self.counted = False  # the restart it waits for is in the window already
        self.awaited = False  # stopped with its group, which is to be started again: its name is kept
        self.budget = None if spec.budget is None else Intensity(spec.budget.max_restarts, spec.budget.max_seconds)


class Machine:
    """The decisions of one supervisor."""

    def __init__(
        self,
        strategy: Strategy,
        specs: Iterable[ChildSpec[Any]],
        intensity: Intensity,
        *,
        auto_shutdown: AutoShutdown = "never",
        is_dynamic: bool = False,
        max_children: int | None = None,
        chance: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """Describe a supervisor that has not started.

        Args:
            strategy: Who is restarted with a child that ended.
            specs: The children, in start order.
            intensity: The restart window.
            auto_shutdown: Whether the end of significant children ends the supervisor.
            is_dynamic: Children come while it runs, are forgotten when they have ended, and are stopped all at once.
            max_children: How many there may be, those that are `restarting` included; None for no limit.
            chance: Returns numbers from 0 up to 1, for the jitter of a back-off.
        """
        self._strategy = strategy
        self._intensity = intensity
        self.auto_shutdown = auto_shutdown
        self._is_dynamic = is_dynamic
        self._max_children = max_children
        self._chance = chance
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

    def started(self, id: str, incarnation: int, now: float) -> None:
        """A start succeeded."""
        child = self._children[id]
        child.state, child.incarnation, child.started_at = ChildState.RUNNING, incarnation, now
        child.counted = child.awaited = False
        child.attempts = 0

    def ignored(self, id: str) -> list[Step]:
        """The child declined to start; that is no failure, and what was to follow goes on."""
        self._forget(self._children[id])
        return [Dismiss(id)]

    def start_failed(self, id: str, reason: Exit) -> list[Step]:
        """A start failed; the steps that were to follow it are void."""
        child = self._children[id]
        child.reason = reason
        if not self._started:
            return [*self._stop_all(), End(NotStarted(id, reason))]
        child.state, child.counted = ChildState.RESTARTING, False
        child.attempts += 1
        return [RetryLater(id, self._next_delay(child))]

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
        self._note_run(child, now)
        if not self.restarts(id, reason):
            return self._end_for_good(child)
        return self._restart(child, now, self._next_delay(child))

    def retry(self, id: str, now: float) -> list[Step]:
        """The note of a `RetryLater` came up. It is void if the child is not waiting for it any more."""
        child = self._children.get(id)
        if child is None or child.state is not ChildState.RESTARTING:
            return []
        if child.counted:
            child.counted = False  # should this attempt fail, the next one counts
            return self._bring_up(child, now)
        return self._restart(child, now)

    def stop(self, reason: Exit) -> list[Step]:
        """The supervisor is told to stop: all children in reverse order, then itself."""
        return [*self._stop_all(), End(reason)]

    # What somebody asks for

    def admit(self, spec: ChildSpec[Any]) -> list[Step]:
        """A new child is to be started: the last in start order, or the supervisor refuses.

        If its start fails, or is ignored, `withdraw` it.

        Raises:
            AlreadyStarted: A child of this id runs.
            AlreadyPresent: A child of this id is known, and does not run.
            TooManyChildren: There are `max_children` already.
        """
        child = self._children.get(spec.id)
        if child is not None and child.state is ChildState.RUNNING:
            raise AlreadyStarted(f"a child {spec.id!r} runs already; terminate it first, or give this one another id.")
        if child is not None:
            fix = "start that with restart_child, or take it out with delete_child."
            if child.state is ChildState.RESTARTING:
                fix = "wait for that, or call it off with terminate_child."
            raise AlreadyPresent(f"a child {spec.id!r} is known already, and {child.state.value}; {fix}")
        if self._max_children is not None and len(self._children) >= self._max_children:
            raise TooManyChildren(f"there are {len(self._children)} of max_children={self._max_children} already.")
        self._children[spec.id] = _Child(spec)
        return [StartChild(spec.id)]

    def withdraw(self, id: str) -> list[Step]:
        """A child that was just admitted did not start: nothing is known of it any more."""
        del self._children[id]
        return [Dismiss(id)]

    def terminate(self, id: str) -> list[Step]:
        """A child is to be stopped; siblings are not touched, and a retry it waits for is off.

        Raises:
            NoChild: There is none of this id.
        """
        child = self._known(id)
        steps: list[Step] = []
        if child.state is ChildState.RUNNING:
            steps.append(StopChild(id))
        if child.state is ChildState.RESTARTING:
            # The rest of its group is given up with it, until somebody starts it, or the next group restart.
            for other in self._abandoned_with(child):
                other.awaited = False
                steps.append(Dismiss(other.spec.id))
        child.failures = child.attempts = 0
        self._forget(child)
        return [*steps, Dismiss(id)]

    def restart_by_hand(self, id: str) -> list[Step]:
        """A stopped child is to be started; its siblings are not touched.

        Raises:
            NoChild: There is none of this id.
            ChildRunning: It runs.
            ChildRestarting: It is about to be tried again.
        """
        self._require_stopped(id, "restart_child")
        return [StartChild(id)]

    def delete(self, id: str) -> list[Step]:
        """The spec of a stopped child is to be forgotten.

        Raises:
            NoChild: There is none of this id.
            ChildRunning: It runs.
            ChildRestarting: It is about to be tried again.
        """
        self._require_stopped(id, "delete_child")
        del self._children[id]
        return [Dismiss(id)]

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

    def spec_of(self, id: str) -> ChildSpec[Any]:
        """Return the spec of a child.

        Raises:
            NoChild: There is none of this id.
        """
        return self._known(id).spec

    def replace_spec(self, spec: ChildSpec[Any]) -> None:
        """Exchange the spec of a child that runs for one that decides the same."""
        self._children[spec.id].spec = spec

    def __contains__(self, id: str) -> bool:
        return id in self._children

    def __len__(self) -> int:
        return len(self._children)

    def window(self, now: float) -> int:
        """Return how many restarts the window that ends at `now` holds."""
        return self._intensity.count(now)

    # Decisions

    def _restart(self, child: _Child, now: float, delay: float = 0.0) -> list[Step]:
        id, window = child.spec.id, child.budget or self._intensity
        reason = child.reason or Shutdown()
        attempt = child.attempts
        if not window.add(now):
            child.state = ChildState.STOPPED
            if child.budget is None:
                return [GiveUp(id, reason, attempt), *self._stop_all(), End(Shutdown())]
            return [GiveUpChild(id, reason, attempt), *self._end_for_good(child)]
        notice = Restarting(id, reason, window.count(now), attempt, delay)
        if not delay:
            return [notice, *self._bring_up(child, now)]
        stops = self._take_down(child, now)
        child.state, child.counted = ChildState.RESTARTING, True
        return [notice, *stops, RetryLater(id, delay)]

    def _bring_up(self, child: _Child, now: float) -> list[Step]:
        """Stop what runs of the group, and start all of it."""
        stops = self._take_down(child, now)
        starts: list[Step] = [StartChild(member.spec.id) for member in self._group(child)]
        return [*stops, *starts]

    def _take_down(self, child: _Child, now: float) -> list[Step]:
        """Stop what runs of the group, which is to be started again."""
        stops: list[Step] = []
        dismissals: list[Step] = []
        child.state = ChildState.STOPPED
        for member in reversed(self._group(child)):
            if member.state is ChildState.RUNNING:
                self._note_run(member, now)
                stops.append(StopChild(member.spec.id))
            else:
                member.state = ChildState.STOPPED
            if member.spec.restart == "temporary":
                # A temporary sibling that has to go with the group does not come back.
                self._forget(member)
                dismissals.insert(0, Dismiss(member.spec.id))
            else:
                member.awaited = True
        return [*stops, *dismissals]

    def _note_run(self, child: _Child, now: float) -> None:
        """Note that an incarnation has come to its end: if it was long enough, the back-off begins anew."""
        backoff = child.spec.backoff
        if backoff is None or now - child.started_at >= backoff.maximum:
            child.failures = 0

    def _next_delay(self, child: _Child) -> float:
        """Return how long to wait for the next start, and count this failure."""
        backoff = child.spec.backoff
        if backoff is None:
            return 0.0
        delay = backoff.seconds(child.failures, self._chance())
        child.failures += 1
        return delay

    def _abandoned_with(self, child: _Child) -> list[_Child]:
        """Return who waits only for the restart of `child`."""
        for_others = [
            member
            for other in self._children.values()
            if other is not child and other.state is ChildState.RESTARTING
            for member in self._group(other)
        ]
        return [
            member
            for member in self._group(child)
            if member is not child
            and member.awaited
            and member.state is ChildState.STOPPED
            and member not in for_others
        ]

    def _group(self, child: _Child) -> list[_Child]:
        """Return who is restarted together with `child`, in start order."""
        if self._strategy == "one_for_one":
            return [child]
        children = list(self._children.values())
        if self._strategy == "one_for_all":
            return children
        return children[children.index(child) :]

    def _end_for_good(self, child: _Child) -> list[Step]:
        """The child ended by itself and is not restarted: that may end the supervisor, too."""
        self._forget(child)
        steps: list[Step] = [Dismiss(child.spec.id)]
        if not child.spec.significant or self.auto_shutdown == "never":
            return steps
        if self.auto_shutdown == "all_significant" and any(
            other.spec.significant and other.state is not ChildState.STOPPED
            for other in self._children.values()
            if other is not child
        ):
            return steps
        return [*steps, ShutDownByItself(child.spec.id), *self._stop_all(), End(Shutdown())]

    def _stop_all(self) -> list[Step]:
        running = [id for id, child in reversed(self._children.items()) if child.state is ChildState.RUNNING]
        if self._is_dynamic:
            return [StopAll(tuple(running))] if running else []
        return [StopChild(id) for id in running]

    def _forget(self, child: _Child) -> None:
        """Note that a child is down to stay; only static supervisors remember those that are not temporary."""
        child.state, child.awaited = ChildState.STOPPED, False
        if self._is_dynamic or child.spec.restart == "temporary":
            del self._children[child.spec.id]

    def _known(self, id: str) -> _Child:
        child = self._children.get(id)
        if child is None:
            known = ", ".join(self._children) if len(self._children) <= _MANY else f"{len(self._children)} children"
            raise NoChild(f"there is no child {id!r}; there is {known or 'none at all'}.")
        return child

    def _require_stopped(self, id: str, order: str) -> None:
        match self._known(id).state:
            case ChildState.RUNNING:
                raise ChildRunning(f"{order}({id!r}): it runs. Stop it with terminate_child first.")
            case ChildState.RESTARTING:
                raise ChildRestarting(f"{order}({id!r}): it is restarting. Stop that with terminate_child first.")
            case ChildState.STOPPED:
                pass


_MANY = 20
