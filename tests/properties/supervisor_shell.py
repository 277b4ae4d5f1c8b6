"""Carries out what a machine decides, as `supervisor.py` does, with children and timers that are only written down."""

from collections import Counter, deque

from cliffracer.exits import Shutdown
from cliffracer.supervision.intensity import Intensity
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
from cliffracer.supervision.strategy import Machine
from tests.properties.supervisor_model import CHANCE, FAILED, MAX_SECONDS, Model

__all__ = ["SimulatedShell"]


class SimulatedShell:
    """Holds the machine to what the model says, and itself to what can be done: nobody is started twice, for one."""

    def __init__(self, strategy, specs, limit, outcomes, **options):
        self.model = Model(strategy, specs, limit, **options)
        intensity = Intensity(limit, MAX_SECONDS)
        self.machine = Machine(strategy, specs, intensity, chance=lambda: CHANCE, **options)
        self.alive = {}  # id -> incarnation of the process; its notice may be on the way
        self.queue = deque()
        self.timers = {}  # id -> when its note to try again comes up
        self.incarnations = Counter()
        self.starts = Counter()
        self.outcomes = deque(outcomes)  # of the starts to come; when they are used up, starts succeed

    def start(self):
        self.carry_out(self.machine.start(), [StartChild(id) for id in self.model.specs])
        if self.model.ended is None:
            self.model.is_started = True
            self.machine.all_started()

    def serve(self, kind, id, *facts):
        if kind == "retry":
            self.carry_out(self.machine.retry(id, self.model.now), self.model.after_retry(id))
        else:
            steps = self.machine.exited(id, *facts, self.model.now)
            self.carry_out(steps, self.model.after_exit(id, *facts))

    def let_time_pass(self, seconds):
        self.model.now += seconds
        for id in sorted(self.timers, key=self.timers.__getitem__):
            if self.timers[id] <= self.model.now:
                del self.timers[id]
                self.queue.append(("retry", id))

    def start_by_hand(self, id, outcome, on_failure):
        self.outcomes.appendleft(outcome)
        outcome = self._try_to_start(id)
        if outcome == "ignore":
            self.model.is_down_to_stay(id)
            self.carry_out(self.machine.ignored(id), [Dismiss(id)])
        elif outcome == "fail":
            self.model.awaited.discard(id)
            self.model.excused.add(id)
            self.carry_out(on_failure(id), [Dismiss(id)])

    def carry_out(self, steps, expected):
        assert steps == expected
        todo = deque(steps)
        while todo:
            match todo.popleft():
                case StartChild(id):
                    todo = self._start_next(id, todo)
                case StopChild(id):
                    self._stop(id)
                case StopAll(ids):
                    self._stop(*ids)
                case Dismiss(id):
                    self.model.is_dismissed(id)
                    self.timers.pop(id, None)
                case RetryLater(id, delay):
                    assert not todo
                    self._note(id, delay)
                case Restarting(id) | GiveUp(id) | GiveUpChild(id):
                    self.model.restart_is_told(id)
                case End(reason):
                    assert not todo
                    self.model.ended = reason
                case ShutDownByItself():
                    pass

    def _start_next(self, id, todo):
        match self._try_to_start(id):
            case "ignore":
                self.model.is_down_to_stay(id)
                steps, expected = self.machine.ignored(id), [Dismiss(id)]
                todo.extendleft(reversed(steps))
            case "fail":
                steps, expected = self.machine.start_failed(id, FAILED), self.model.after_failed_start(id)
                todo = deque(steps)
            case _:
                return todo
        assert steps == expected
        return todo

    def _try_to_start(self, id):
        assert id not in self.model.known, f"{id} runs already"
        assert not (self.model.specs[id].restart == "temporary" and self.starts[id]), f"{id} is temporary"
        self.timers.pop(id, None)
        self.starts[id] += 1
        self.incarnations[id] += 1
        outcome = self.outcomes.popleft() if self.outcomes else "ok"
        if outcome == "ok":
            self.alive[id] = self.incarnations[id]
            self.model.has_started(id, self.incarnations[id])
            self.machine.started(id, self.incarnations[id], self.model.now)
        return outcome

    def _stop(self, *ids):
        for id in ids:
            assert id in self.model.known, f"{id} does not run"
            self.model.has_run(id)
            self.model.last_reason[id] = Shutdown()
            self.alive.pop(id, None)
            self.machine.stopped(id)

    def _note(self, id, delay):
        if delay:
            self.timers[id] = self.model.now + delay
        else:
            self.queue.append(("retry", id))
