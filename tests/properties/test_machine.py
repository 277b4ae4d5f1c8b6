"""The decisions of a supervisor, under every history that hypothesis can think of.

A simulated shell carries the steps out: children end whenever they like, starts fail at random, notices wait in one
queue. What must hold is asserted where a step is carried out, and after each rule.
"""

from collections import Counter, deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cliffracer.exits import Crashed, Killed, Normal, Shutdown, is_clean
from cliffracer.supervision.intensity import Intensity
from cliffracer.supervision.spec import ChildSpec, FunctionStart
from cliffracer.supervision.strategy import (
    ChildState,
    Dismiss,
    End,
    GiveUp,
    Machine,
    Restarting,
    RetryLater,
    StartChild,
    StopChild,
)

MAX_SECONDS = 5.0
REASONS = st.sampled_from([Normal(), Shutdown(), Shutdown("drained"), Killed(), Crashed("KeyError", "1f0c")])
RESTARTS = st.sampled_from(["permanent", "permanent", "transient", "temporary"])
STRATEGIES = st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"])
# Outcomes of the starts to come; when they are used up, starts succeed.
OUTCOMES = st.just([]) | st.lists(st.booleans(), max_size=6)


async def work(): ...


class SimulatedSupervisor(RuleBasedStateMachine):
    @initialize(
        strategy=STRATEGIES, restarts=st.lists(RESTARTS, max_size=5), limit=st.integers(0, 8), outcomes=OUTCOMES
    )
    def start(self, strategy, restarts, limit, outcomes):
        self.strategy = strategy
        self.restart = {f"c{number}": restart for number, restart in enumerate(restarts)}
        self.limit = limit
        specs = [ChildSpec(id=id, start=FunctionStart(work), restart=kind) for id, kind in self.restart.items()]
        self.machine = Machine(strategy, specs, Intensity(limit, MAX_SECONDS))
        self.now = 0.0
        self.alive = {}  # id -> incarnation of the process
        self.known = {}  # the same, for those whose end the machine has not heard of yet, too
        self.queue = deque()
        self.incarnations = Counter()
        self.last_reason = {}
        self.dismissed = set()
        self.waiting = set()  # whose restart failed and is to be tried again
        self.stamps = []
        self.ended = None
        self.outcomes = deque(outcomes)
        self.carry_out(self.machine.start())
        if self.ended is None:
            self.machine.all_started()
            assert list(self.alive) == list(self.restart)

    # What happens

    @precondition(lambda self: self.alive)
    @rule(data=st.data(), reasons=st.lists(REASONS, min_size=1, max_size=3))
    def children_end(self, data, reasons):
        for reason in reasons[: len(self.alive)]:
            id = data.draw(st.sampled_from(sorted(self.alive)))
            self.queue.append(("exited", id, self.alive.pop(id), reason))

    @precondition(lambda self: self.queue and self.ended is None)
    @rule(outcomes=OUTCOMES)
    def notice_is_served(self, outcomes):
        self.outcomes.extend(outcomes)
        kind, id, *facts = self.queue.popleft()
        if kind == "retry":
            steps = self.machine.retry(id, self.now)
            self.check_restart(id, steps) if id in self.waiting else self.check_nothing(steps)
            return self.carry_out(steps)
        incarnation, reason = facts
        if self.known.get(id) != incarnation:  # stopped with its group meanwhile
            return self.check_nothing(self.machine.exited(id, incarnation, reason, self.now))
        del self.known[id]
        self.last_reason[id] = reason
        steps = self.machine.exited(id, incarnation, reason, self.now)
        if self.comes_back(id, reason):
            self.check_restart(id, steps)
        else:
            assert steps == [Dismiss(id)]
        return self.carry_out(steps)

    @rule(seconds=st.integers(1, 40))
    def time_passes(self, seconds):
        self.now += seconds / 4

    @precondition(lambda self: self.ended is None and self.restart)
    @rule(data=st.data(), reason=REASONS)
    def notice_of_an_earlier_incarnation_comes_late(self, data, reason):
        id = data.draw(st.sampled_from([*self.restart, "nobody"]))
        stale = [n for n in range(self.incarnations[id] + 1) if n != self.known.get(id)]
        if stale:
            self.check_nothing(self.machine.exited(id, data.draw(st.sampled_from(stale)), reason, self.now))

    @precondition(lambda self: self.ended is None)
    @rule(reason=REASONS, really=st.integers(0, 9))
    def supervisor_is_told_to_stop(self, reason, really):
        if not really:
            self.carry_out(self.machine.stop(reason))
            assert self.ended == reason

    # The shell

    def carry_out(self, steps):
        todo = deque(steps)
        self.check_order(steps)
        while todo:
            match todo.popleft():
                case StartChild(id):
                    assert id not in self.known, f"{id} runs already"
                    assert not (self.restart[id] == "temporary" and self.incarnations[id]), f"{id} is temporary"
                    self.incarnations[id] += 1
                    if self.outcomes.popleft() if self.outcomes else True:
                        self.alive[id] = self.known[id] = self.incarnations[id]
                        self.dismissed.discard(id)
                        self.machine.started(id, self.incarnations[id])
                    else:
                        reason = self.last_reason[id] = Crashed("OSError", "2e1d")
                        todo = deque(self.machine.start_failed(id, reason))
                        self.check_order(todo)
                case StopChild(id):
                    assert id in self.known, f"{id} does not run"
                    del self.known[id]
                    self.alive.pop(id, None)
                    self.last_reason[id] = Shutdown()
                    self.machine.stopped(id)
                case Dismiss(id):
                    assert id not in self.known
                    self.dismissed.add(id)
                case RetryLater(id):
                    assert not todo
                    self.waiting.add(id)
                    self.queue.append(("retry", id))
                case Restarting(id):
                    self.stamps.append(self.now)
                    self.waiting.difference_update(self.group_of(id))
                case GiveUp(id):
                    self.stamps.append(self.now)
                    self.waiting.discard(id)
                case End(reason):
                    assert not todo
                    self.ended = reason

    # What must hold

    def comes_back(self, id, reason):
        return self.restart[id] == "permanent" or (self.restart[id] == "transient" and not is_clean(reason))

    def group_of(self, id):
        ids = list(self.restart)
        return {"one_for_one": [id], "one_for_all": ids, "rest_for_one": ids[ids.index(id) :]}[self.strategy]

    def check_nothing(self, steps):
        assert steps == []

    def check_restart(self, id, steps):
        within = sum(stamp >= self.now - MAX_SECONDS for stamp in self.stamps) + 1
        stops = [step.id for step in steps if isinstance(step, StopChild)]
        starts = [step.id for step in steps if isinstance(step, StartChild)]
        if within > self.limit:
            assert steps[0] == GiveUp(id, self.last_reason[id])
            assert sorted(stops) == sorted(self.known)
            assert starts == []
            assert steps[-1] == End(Shutdown())
        else:
            group = self.group_of(id)
            assert steps[0] == Restarting(id, self.last_reason[id], within)
            assert sorted(stops) == sorted(member for member in group if member in self.known)
            assert starts == [member for member in group if self.restart[member] != "temporary"]

    def check_order(self, steps):
        """Stops in reverse, names set free, starts in order: each only when what comes before is done."""
        ids = list(self.restart)
        stops = [ids.index(step.id) for step in steps if isinstance(step, StopChild)]
        starts = [ids.index(step.id) for step in steps if isinstance(step, StartChild)]
        assert stops == sorted(stops, reverse=True)
        assert starts == sorted(starts)
        kinds = [type(step) for step in steps if isinstance(step, StopChild | Dismiss | StartChild)]
        assert kinds == sorted(kinds, key=[StopChild, Dismiss, StartChild].index)

    @invariant()
    def no_child_is_unaccounted_for(self):
        states = self.machine.states()
        assert {id for id, state in states.items() if state is ChildState.RUNNING} == set(self.known)
        assert {id for id, state in states.items() if state is ChildState.RESTARTING} == self.waiting
        known = [id for id, restart in self.restart.items() if restart != "temporary" or id in self.known]
        assert self.ended is not None or list(states) == known, "a temporary child is forgotten, the others keep order"

    @invariant()
    def nobody_is_left_behind_at_the_end(self):
        if self.ended is not None:
            assert self.known == {}
            assert self.alive == {}

    @invariant()
    def child_that_is_down_is_about_to_be_restarted_or_its_name_is_free(self):
        if self.ended is not None or self.queue:
            return
        assert self.waiting == set()
        for id, restart in self.restart.items():
            if id not in self.known:
                assert restart != "permanent"
                assert id in self.dismissed
                assert restart == "temporary" or is_clean(self.last_reason[id])

    @invariant()
    def restarts_beyond_the_intensity_end_the_supervisor(self):
        worst = max((sum(s - MAX_SECONDS <= t <= s for t in self.stamps) for s in self.stamps), default=0)
        assert worst <= self.limit + (self.ended is not None)


SimulatedSupervisor.TestCase.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
test_whatever_happens_no_child_is_lost_doubled_or_out_of_order = SimulatedSupervisor.TestCase
