"""A shell around the machine: it carries steps out as `supervisor.py` does, without running anything."""

from collections import Counter, deque

from cliffracer.exits import Crashed
from cliffracer.supervision.intensity import Intensity
from cliffracer.supervision.spec import ChildSpec, FunctionStart
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
from cliffracer.supervision.strategy import ChildState, Machine

__all__ = ["CRASH", "STRATEGIES", "Shell", "shell_of"]

CRASH = Crashed("KeyError: 'A1'", "1f0c")
MANY = 1000
STRATEGIES = ["one_for_one", "one_for_all", "rest_for_one"]


async def work(): ...


def spec_of(item, **options):
    """Make a spec from a few letters: "a", "b:temporary", "c:transient!" (which is significant)."""
    id, _, restart = item.rstrip("!").partition(":")
    restart = restart or "permanent"
    return ChildSpec(id=id, start=FunctionStart(work), restart=restart, significant=item.endswith("!"), **options)


class Shell:
    """Writes down what it did.

    `failing` and `ignoring` map a child to the numbers of its start attempts that fail, or are declined.
    """

    def __init__(self, machine, specs, failing, ignoring):
        self.machine = machine
        self.specs = {spec.id: spec for spec in specs}
        self.failing, self.ignoring = failing, ignoring
        self.now = 0.0
        self.attempts = Counter()
        self.processes = {}
        self.trace = []
        self.told = []
        self.free = []  # names, in the order in which they were set free
        self.notes = deque()
        self.timers = {}
        self.ended = None

    def start(self):
        self.carry_out(self.machine.start())
        if self.ended is None:
            self.machine.all_started()
        return self.trace

    def exits(self, id, reason=None, *, serve_notes=True):
        """Let a child end, and everything follow from it; return the trace."""
        self.trace.clear()
        steps = self.machine.exited(id, self.processes[id], reason or CRASH, self.now)
        if steps:
            del self.processes[id]
        self.carry_out(steps)
        if serve_notes:
            self.serve_notes()
        return self.trace

    def serve_notes(self):
        while self.notes and self.ended is None:
            self.carry_out(self.machine.retry(self.notes.popleft(), self.now))

    def wait(self, seconds):
        """Let time pass, and everything follow from it; return the trace."""
        self.trace.clear()
        end = self.now + seconds
        while self.timers and min(self.timers.values()) <= end:
            id = min(self.timers, key=self.timers.__getitem__)
            self.now = self.timers.pop(id)
            self.carry_out(self.machine.retry(id, self.now))
        self.now = end
        return self.trace

    def start_child(self, item, **options):
        """Start a new child, and return whether it runs."""
        spec = spec_of(item, **options)
        (start,) = self.machine.admit(spec)
        self.specs[spec.id] = spec
        return self.start_by_hand(start.id, self.machine.withdraw)

    def restart_child(self, id):
        """Start a stopped child, and return whether it runs."""
        (start,) = self.machine.restart_by_hand(id)
        return self.start_by_hand(start.id, lambda failed: [Dismiss(failed)])

    def terminate_child(self, id):
        self.trace.clear()
        self.carry_out(self.machine.terminate(id))
        return self.trace

    def delete_child(self, id):
        self.carry_out(self.machine.delete(id))

    def start_by_hand(self, id, on_failure):
        self.trace.clear()
        outcome = self.attempt(id)
        if outcome == "ignore":
            self.carry_out(self.machine.ignored(id))
        elif outcome == "FAIL":
            self.carry_out(on_failure(id))
        return outcome == "start"

    def carry_out(self, steps):
        todo = deque(steps)
        while todo:
            assert self.ended is None
            match todo.popleft():
                case StartChild(id):
                    todo = self.start_next(id, todo)
                case StopChild(id):
                    self.trace.append(f"stop {id}")
                    self.stop(id)
                case StopAll(ids):
                    self.trace.append(f"stop all of {' '.join(ids)}")
                    self.stop(*ids)
                case Dismiss(id):
                    self.dismiss(id)
                case RetryLater(id, 0):
                    self.notes.append(id)
                case RetryLater(id, delay):
                    self.timers[id] = self.now + delay
                case End(reason):
                    self.ended = reason
                case (Restarting() | GiveUp() | GiveUpChild() | ShutDownByItself()) as notice:
                    self.told.append(notice)

    def start_next(self, id, todo):
        match self.attempt(id):
            case "ignore":
                return deque([*self.machine.ignored(id), *todo])
            case "FAIL":
                return deque(self.machine.start_failed(id, CRASH))
        return todo

    def attempt(self, id):
        assert id not in self.processes
        self.timers.pop(id, None)
        self.attempts[id] += 1
        number = self.attempts[id]
        fails, ignores = number in self.failing.get(id, ()), number in self.ignoring.get(id, ())
        outcome = "FAIL" if fails else "ignore" if ignores else "start"
        self.trace.append(f"{outcome} {id}")
        if outcome == "start":
            self.processes[id] = number
            if id in self.free:
                self.free.remove(id)
            self.machine.started(id, number, self.now)
        return outcome

    def stop(self, *ids):
        for id in ids:
            del self.processes[id]
            self.machine.stopped(id)

    def dismiss(self, id):
        self.timers.pop(id, None)
        if id not in self.machine:
            del self.specs[id]
        if id not in self.free:
            self.free.append(id)

    @property
    def running(self):
        return [id for id, state in self.machine.states().items() if state is ChildState.RUNNING]

    @property
    def states(self):
        """The state of each child, in start order: "a running, b stopped"."""
        return ", ".join(f"{id} {state.value}" for id, state in self.machine.states().items())


def shell_of(
    children="",
    *,
    strategy="one_for_one",
    intensity=MANY,
    options=None,
    failing=None,
    ignoring=None,
    start=True,
    **more,
):
    """Make a shell: `shell_of("a b:temporary c:transient!", strategy="one_for_all")`."""
    specs = [spec_of(item) for item in children.split()]
    specs = [spec.replace(**(options or {}).get(spec.id, {})) for spec in specs]
    machine = Machine(strategy, specs, Intensity(intensity, 5.0), **more)
    shell = Shell(machine, specs, failing or {}, ignoring or {})
    if start:
        shell.start()
        shell.trace.clear()
    return shell
