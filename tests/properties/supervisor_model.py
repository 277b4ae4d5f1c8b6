"""What is known of the children of a supervisor, and what must follow from that."""

from collections import Counter

from cliffracer.errors import AlreadyPresent, AlreadyStarted, ChildRestarting, ChildRunning, NoChild, TooManyChildren
from cliffracer.exits import Crashed, NotStarted, Shutdown, is_clean
from cliffracer.supervision.steps import (
    Dismiss,
    End,
    GiveUp,
    GiveUpChild,
    Restarting,
    RetryLater,
    ShutDownByItself,
    StartChild,
    StopAll,
    StopChild,
)

__all__ = ["CHANCE", "FAILED", "MAX_SECONDS", "Model"]

MAX_SECONDS = 5.0
CHANCE = 0.5
FAILED = Crashed("OSError", "2e1d")


class Model:
    """Methods called `after_...` note what happened, and return the steps that must follow."""

    def __init__(self, strategy, specs, limit, *, auto_shutdown, is_dynamic, max_children):
        self.strategy, self.limit, self.auto_shutdown = strategy, limit, auto_shutdown
        self.is_dynamic, self.max_children = is_dynamic, max_children
        self.specs = {spec.id: spec for spec in specs}
        self.now = 0.0
        self.is_started = False
        self.ended = None
        self.known = {}  # who runs, as far as the machine has heard -> incarnation
        self.waiting = {}  # who is to be tried again -> whether that is counted already
        self.awaited = set()  # who is down with its group, and starts with it
        self.excused = set()  # who is down to stay, and nobody is to blame
        self.names = set(self.specs)
        self.free = set()
        self.failures, self.attempts = Counter(), Counter()
        self.started_at = {}
        self.last_reason = {}
        self.stamps = []
        self.spent = {id: [] for id in self.specs}

    # What happened

    def is_admitted(self, spec):
        id = spec.id
        self.specs[id] = spec
        self.names.add(id)
        self.spent[id] = []
        self.failures[id] = self.attempts[id] = 0

    def has_started(self, id, incarnation):
        self.known[id] = incarnation
        self.started_at[id] = self.now
        self.attempts[id] = 0
        for others in (self.awaited, self.excused, self.free):
            others.discard(id)

    def has_run(self, id):
        del self.known[id]
        backoff = self.specs[id].backoff
        if backoff is not None and self.now - self.started_at[id] >= backoff.maximum:
            self.failures[id] = 0

    def is_down_to_stay(self, id):
        self.awaited.discard(id)
        self.excused.add(id)

    def is_dismissed(self, id):
        assert id not in {*self.known, *self.waiting, *self.awaited}
        self.free.add(id)
        if id in self.specs and (self.is_dynamic or self.specs[id].restart == "temporary"):
            del self.specs[id]

    def restart_is_told(self, id):
        own = self.specs[id].budget is not None
        (self.spent[id] if own else self.stamps).append(self.now)

    # What must follow

    def after_exit(self, id, incarnation, reason):
        if self.known.get(id) != incarnation:  # stopped meanwhile
            return []
        spec = self.specs[id]
        self.has_run(id)
        self.last_reason[id] = reason
        if spec.restart == "permanent" or (spec.restart == "transient" and not is_clean(reason)):
            return self._restart_of(id, self._next_delay(id))
        return self._end_of(id)

    def after_failed_start(self, id):
        self.last_reason[id] = FAILED
        self.awaited.discard(id)
        if not self.is_started:
            return [*self.stops_of_all(), End(NotStarted(id, FAILED))]
        self.waiting[id] = False
        self.attempts[id] += 1
        return [RetryLater(id, self._next_delay(id))]

    def after_retry(self, id):
        if id not in self.waiting:  # started, stopped, or given up meanwhile
            return []
        return self._group_restart_of(id) if self.waiting.pop(id) else self._restart_of(id)

    def after_termination(self, id):
        """Return those that are given up with it."""
        self.waiting.pop(id, None)
        abandoned = self.awaited - {id}.union(*map(self.group_of, self.waiting))
        for other in {id, *abandoned}:
            self.is_down_to_stay(other)
        self.failures[id] = self.attempts[id] = 0
        return abandoned

    def stops_of_all(self):
        running = [id for id in reversed(self.specs) if id in self.known]
        if self.is_dynamic:
            return [StopAll(tuple(running))] if running else []
        return [StopChild(id) for id in running]

    @property
    def has_room(self):
        return len(self.known) + len(self.waiting) != self.max_children

    @property
    def stopped(self):
        return [id for id in self.specs if id not in self.known and id not in self.waiting]

    def why_not_admitted(self, id):
        if id in self.specs:
            return AlreadyStarted if id in self.known else AlreadyPresent
        return None if self.has_room else TooManyChildren

    def why_not_stopped(self, id):
        if id not in self.specs:
            return NoChild
        return ChildRunning if id in self.known else ChildRestarting if id in self.waiting else None

    def group_of(self, id):
        ids = list(self.specs)
        return {"one_for_one": [id], "one_for_all": ids, "rest_for_one": ids[ids.index(id) :]}[self.strategy]

    def _end_of(self, id):
        self.is_down_to_stay(id)
        left = any(self.specs[other].significant for other in [*self.known, *self.waiting])
        is_last = self.auto_shutdown == "any_significant" or (self.auto_shutdown == "all_significant" and not left)
        if not self.specs[id].significant or not is_last:
            return [Dismiss(id)]
        return [Dismiss(id), ShutDownByItself(id), *self.stops_of_all(), End(Shutdown())]

    def _restart_of(self, id, delay=0.0):
        self.waiting.pop(id, None)
        stamps, limit, seconds = self.stamps, self.limit, MAX_SECONDS
        budget = self.specs[id].budget
        if budget is not None:
            stamps, limit, seconds = self.spent[id], budget.max_restarts, budget.max_seconds
        within = sum(stamp >= self.now - seconds for stamp in stamps) + 1
        reason, attempt = self.last_reason[id], self.attempts[id]
        if within <= limit:
            return [Restarting(id, reason, within, attempt, delay), *self._group_restart_of(id, delay)]
        if budget is not None:
            return [GiveUpChild(id, reason, attempt), *self._end_of(id)]
        return [GiveUp(id, reason, attempt), *self.stops_of_all(), End(Shutdown())]

    def _group_restart_of(self, id, delay=0.0):
        group = self.group_of(id)
        passing = [member for member in group if self.specs[member].restart == "temporary"]
        lasting = [member for member in group if member not in passing]
        for member in group:
            self.waiting.pop(member, None)
        self.awaited.update(lasting)
        stops = [StopChild(member) for member in reversed(group) if member in self.known]
        steps = [*stops, *map(Dismiss, passing)]
        if not delay:
            return [*steps, *map(StartChild, lasting)]
        self.waiting[id] = True
        self.awaited.discard(id)
        return [*steps, RetryLater(id, delay)]

    def _next_delay(self, id):
        backoff = self.specs[id].backoff
        if backoff is None:
            return 0.0
        wait = min(backoff.initial * backoff.factor ** self.failures[id], backoff.maximum)
        self.failures[id] += 1
        return wait * (1 - backoff.jitter * CHANCE)
