"""The decisions of a supervisor, without running anything.

The traces of a group are those that Erlang/OTP's own supervisor produced for the same tree and the same failures.
"""

from collections import Counter, deque

import pytest

from cliffracer.exits import Crashed, Killed, Normal, Shutdown
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

CRASH = Crashed("KeyError: 'A1'", "1f0c")
MANY = 1000


async def work(): ...


def machine_of(strategy, children, *, intensity=MANY):
    """Make a machine; `children` like "a b:temporary c:transient"."""
    specs = []
    for item in children.split():
        id, _, restart = item.partition(":")
        specs.append(ChildSpec(id=id, start=FunctionStart(work), restart=restart or "permanent"))
    return Machine(strategy, specs, Intensity(intensity, 5.0))


class Shell:
    """Carries steps out as `supervisor.py` does, and writes down what it did.

    `failing` maps a child to the numbers of its start attempts that fail.
    """

    def __init__(self, machine, failing=None, *, start=True):
        self.machine = machine
        self.failing = failing or {}
        self.attempts = Counter()
        self.incarnations = {}
        self.trace = []
        self.notes = deque()
        self.ended = None
        if start:
            self.carry_out(machine.start())
            if self.ended is None:
                machine.all_started()
                self.trace.clear()

    def carry_out(self, steps):
        todo = deque(steps)
        while todo:
            match todo.popleft():
                case StartChild(id):
                    self.attempts[id] += 1
                    if self.attempts[id] in self.failing.get(id, ()):
                        self.trace.append(f"FAIL {id}")
                        todo = deque(self.machine.start_failed(id, CRASH))
                    else:
                        self.trace.append(f"start {id}")
                        self.incarnations[id] = self.attempts[id]
                        self.machine.started(id, self.attempts[id])
                case StopChild(id):
                    self.trace.append(f"stop {id}")
                    self.machine.stopped(id)
                case RetryLater(id):
                    self.notes.append(id)
                case End(reason):
                    self.ended = reason
                case Dismiss() | Restarting() | GiveUp():
                    pass

    def exits(self, id, reason=CRASH, now=0.0):
        """Let a child end, and everything follow from it; return the trace."""
        self.trace.clear()
        self.carry_out(self.machine.exited(id, self.incarnations[id], reason, now))
        self.serve_notes(now)
        return self.trace

    def serve_notes(self, now=0.0):
        while self.notes:
            self.carry_out(self.machine.retry(self.notes.popleft(), now))

    @property
    def running(self):
        return [id for id, state in self.machine.states().items() if state is ChildState.RUNNING]


# Start and stop


def test_children_start_in_order():
    shell = Shell(machine_of("one_for_one", "a b c d"), start=False)
    shell.carry_out(shell.machine.start())
    assert shell.trace == ["start a", "start b", "start c", "start d"]
    assert shell.running == ["a", "b", "c", "d"]


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
def test_child_that_does_not_start_at_first_rolls_everything_back_in_reverse(strategy):
    shell = Shell(machine_of(strategy, "a b c d"), {"c": [1]})
    assert shell.trace == ["start a", "start b", "FAIL c", "stop b", "stop a"]
    assert shell.ended == Shutdown(f"failed_to_start_child(c, {CRASH})")
    assert shell.running == []


def test_failure_at_first_start_is_not_tried_again_even_by_a_permanent_child():
    shell = Shell(machine_of("one_for_one", "a"), {"a": [1]})
    assert shell.trace == ["FAIL a"]
    assert not shell.notes


@pytest.mark.parametrize("reason", [Shutdown(), CRASH])
def test_stopping_stops_all_in_reverse_and_ends_for_the_reason_given(reason):
    shell = Shell(machine_of("one_for_one", "a b c"))
    shell.carry_out(shell.machine.stop(reason))
    assert shell.trace == ["stop c", "stop b", "stop a"]
    assert shell.ended == reason


def test_supervisor_without_children_starts_and_stops():
    machine = machine_of("one_for_one", "")
    assert machine.start() == []
    assert machine.stop(Shutdown()) == [End(Shutdown())]


def test_stopping_skips_who_is_not_running():
    shell = Shell(machine_of("one_for_one", "a b:transient c d:temporary"))
    shell.exits("b", Normal())
    shell.exits("d")
    shell.machine.exited("c", 1, CRASH, 0.0)
    shell.machine.start_failed("c", CRASH)  # and waits for its next attempt
    assert shell.machine.stop(Shutdown()) == [StopChild("a"), End(Shutdown())]


# Who is restarted


@pytest.mark.parametrize("reason", [Normal(), Shutdown(), Shutdown("drained"), Killed(), CRASH])
def test_permanent_child_is_restarted_whatever_the_reason(reason):
    machine = Shell(machine_of("one_for_one", "a b")).machine
    assert machine.exited("a", 1, reason, 0.0) == [Restarting("a", reason, 1), StartChild("a")]


@pytest.mark.parametrize("reason", [Killed(), CRASH])
def test_transient_child_is_restarted_when_it_did_not_end_cleanly(reason):
    machine = Shell(machine_of("one_for_one", "a:transient b")).machine
    assert machine.exited("a", 1, reason, 0.0) == [Restarting("a", reason, 1), StartChild("a")]


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
@pytest.mark.parametrize("reason", [Normal(), Shutdown(), Shutdown("drained")])
def test_transient_child_that_ends_cleanly_is_kept_but_not_restarted_and_siblings_do_not_notice(strategy, reason):
    machine = Shell(machine_of(strategy, "a:transient b")).machine
    assert machine.exited("a", 1, reason, 0.0) == [Dismiss("a")]
    assert machine.states() == {"a": ChildState.STOPPED, "b": ChildState.RUNNING}


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
@pytest.mark.parametrize("reason", [Normal(), Shutdown(), Killed(), CRASH])
def test_temporary_child_is_never_restarted_but_forgotten_and_siblings_do_not_notice(strategy, reason):
    machine = Shell(machine_of(strategy, "a:temporary b")).machine
    assert machine.exited("a", 1, reason, 0.0) == [Dismiss("a")]
    assert machine.states() == {"b": ChildState.RUNNING}


def test_who_is_not_restarted_costs_nothing_of_the_intensity():
    shell = Shell(machine_of("one_for_one", "a:temporary b:transient c", intensity=0))
    shell.exits("a")
    shell.exits("b", Normal())
    assert shell.ended is None


# With whom: traces of OTP


@pytest.mark.parametrize(
    ("strategy", "trace"),
    [
        ("one_for_one", "start b"),
        ("one_for_all", "stop d, stop c, stop a, start a, start b, start c, start d"),
        ("rest_for_one", "stop d, stop c, start b, start c, start d"),
    ],
)
def test_crash_restarts_whom_the_strategy_says(strategy, trace):
    shell = Shell(machine_of(strategy, "a b c d"))
    assert ", ".join(shell.exits("b")) == trace
    assert shell.running == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("strategy", "failing", "trace"),
    [
        ("one_for_one", {"b": [2]}, "FAIL b, start b"),
        (
            "one_for_all",
            {"c": [2]},
            "stop d, stop c, stop a, start a, start b, FAIL c, stop b, stop a, start a, start b, start c, start d",
        ),
        ("one_for_all", {"a": [2]}, "stop d, stop c, stop a, FAIL a, start a, start b, start c, start d"),
        ("rest_for_one", {"c": [2]}, "stop d, stop c, start b, FAIL c, start c, start d"),
        ("rest_for_one", {"b": [2, 3]}, "stop d, stop c, FAIL b, FAIL b, start b, start c, start d"),
        ("rest_for_one", {"d": [2]}, "stop d, stop c, start b, start c, FAIL d, start d"),
    ],
)
def test_restart_that_fails_is_tried_again(strategy, failing, trace):
    shell = Shell(machine_of(strategy, "a b c d"), failing)
    assert ", ".join(shell.exits("b")) == trace
    assert shell.running == ["a", "b", "c", "d"]


def test_temporary_sibling_goes_with_the_group_and_does_not_come_back():
    shell = Shell(machine_of("one_for_all", "a t:temporary c"))
    assert shell.exits("c") == ["stop t", "stop a", "start a", "start c"]
    assert shell.machine.states() == {"a": ChildState.RUNNING, "c": ChildState.RUNNING}


def test_name_of_the_temporary_sibling_is_free_before_anybody_starts():
    machine = Shell(machine_of("rest_for_one", "a b t:temporary c")).machine
    assert machine.exited("b", 1, CRASH, 0.0) == [
        Restarting("b", CRASH, 1),
        StopChild("c"),
        StopChild("t"),
        Dismiss("t"),
        StartChild("b"),
        StartChild("c"),
    ]


def test_temporary_sibling_before_the_crashed_one_is_left_alone_by_rest_for_one():
    shell = Shell(machine_of("rest_for_one", "t:temporary b c"))
    assert shell.exits("b") == ["stop c", "start b", "start c"]
    assert shell.running == ["t", "b", "c"]


def test_normal_end_of_a_permanent_child_takes_the_group_along():
    shell = Shell(machine_of("one_for_all", "a b"))
    assert shell.exits("a", Normal()) == ["stop b", "start a", "start b"]


def test_transient_child_that_had_ended_is_started_again_by_a_group_restart():
    shell = Shell(machine_of("one_for_all", "a b:transient c d:temporary"))
    shell.exits("b", Normal())
    shell.exits("d", Normal())
    assert shell.exits("a") == ["stop c", "start a", "start b", "start c"]


def test_group_restart_is_told_once_with_the_reason_of_the_child_that_fell():
    machine = Shell(machine_of("one_for_all", "a b c")).machine
    notices = [step for step in machine.exited("b", 1, CRASH, 0.0) if isinstance(step, Restarting)]
    assert notices == [Restarting("b", CRASH, 1)]


# While a restart is being tried again


def test_child_whose_restart_failed_is_restarting_and_those_after_it_stay_stopped():
    shell = Shell(machine_of("rest_for_one", "a b c d"), {"c": [2]})
    shell.carry_out(shell.machine.exited("b", 1, CRASH, 0.0))
    assert list(shell.machine.states().values()) == [
        ChildState.RUNNING,
        ChildState.RUNNING,
        ChildState.RESTARTING,
        ChildState.STOPPED,
    ]
    assert list(shell.notes) == ["c"]


def test_next_attempt_is_told_with_the_reason_why_the_last_one_failed():
    machine = Shell(machine_of("one_for_one", "a")).machine
    machine.exited("a", 1, Normal(), 0.0)
    machine.start_failed("a", CRASH)
    assert machine.retry("a", 0.0)[0] == Restarting("a", CRASH, 2)


def test_note_to_try_again_is_void_once_the_child_runs():
    shell = Shell(machine_of("one_for_one", "a"))
    assert shell.machine.retry("a", 0.0) == []
    assert shell.running == ["a"]


def test_note_to_try_again_is_void_for_a_child_that_is_gone():
    shell = Shell(machine_of("one_for_all", "a t:temporary"))
    shell.exits("t")
    assert shell.machine.retry("t", 0.0) == []
    assert shell.machine.retry("nobody", 0.0) == []


def test_group_restart_that_comes_first_makes_the_waiting_note_void():
    shell = Shell(machine_of("rest_for_one", "a b c"), {"b": [2]})
    shell.carry_out(shell.machine.exited("b", 1, CRASH, 0.0))
    assert list(shell.notes) == ["b"]
    shell.trace.clear()
    shell.carry_out(shell.machine.exited("a", 1, CRASH, 0.0))
    assert shell.trace == ["start a", "start b", "start c"]
    shell.trace.clear()
    shell.serve_notes()
    assert shell.trace == []
    assert shell.running == ["a", "b", "c"]


def test_siblings_go_on_being_served_between_two_attempts():
    shell = Shell(machine_of("one_for_one", "a b"), {"b": [2]})
    shell.carry_out(shell.machine.exited("b", 1, CRASH, 0.0))
    shell.trace.clear()
    shell.carry_out(shell.machine.exited("a", 1, CRASH, 0.0))
    shell.serve_notes()
    assert shell.trace == ["start a", "start b"]


# Stale notices


def test_notice_of_an_earlier_incarnation_changes_nothing():
    shell = Shell(machine_of("one_for_one", "a b"))
    shell.exits("a")
    assert shell.machine.exited("a", 1, CRASH, 0.0) == []
    assert shell.running == ["a", "b"]


def test_second_notice_of_the_same_incarnation_changes_nothing():
    shell = Shell(machine_of("one_for_one", "a:transient"))
    assert shell.machine.exited("a", 1, Normal(), 0.0) == [Dismiss("a")]
    assert shell.machine.exited("a", 1, Normal(), 0.0) == []


def test_notice_of_somebody_unknown_changes_nothing():
    assert Shell(machine_of("one_for_one", "a")).machine.exited("nobody", 1, CRASH, 0.0) == []


def test_crash_of_a_member_that_the_group_restart_stops_anyway_is_absorbed():
    shell = Shell(machine_of("one_for_all", "a b c", intensity=1))
    shell.exits("a")  # b crashed in the same moment; its notice comes after
    assert shell.machine.exited("b", 1, CRASH, 0.0) == []
    assert shell.ended is None


def test_two_simultaneous_crashes_are_two_restarts_under_one_for_one():
    shell = Shell(machine_of("one_for_one", "a b", intensity=1))
    shell.carry_out(shell.machine.exited("a", 1, CRASH, 0.0))
    shell.carry_out(shell.machine.exited("b", 1, CRASH, 0.0))
    assert shell.ended == Shutdown()


# Too often


def test_one_restart_over_the_intensity_stops_the_others_in_reverse_and_ends_with_shutdown():
    machine = Shell(machine_of("one_for_all", "a b c", intensity=0)).machine
    assert machine.exited("b", 1, CRASH, 0.0) == [GiveUp("b", CRASH), StopChild("c"), StopChild("a"), End(Shutdown())]


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
def test_group_restart_counts_once(strategy):
    shell = Shell(machine_of(strategy, "a b c d", intensity=2))
    shell.exits("a")
    shell.exits("b")
    assert shell.ended is None
    shell.exits("c")
    assert shell.ended == Shutdown()
    assert shell.running == []


def test_each_failed_attempt_counts_as_one_more():
    shell = Shell(machine_of("one_for_one", "a b", intensity=3), {"b": range(2, MANY)})
    assert shell.exits("b") == ["FAIL b", "FAIL b", "FAIL b", "stop a"]
    assert shell.ended == Shutdown()


def test_all_children_share_one_window_that_slides():
    shell = Shell(machine_of("one_for_one", "a b", intensity=1))
    for number in range(10):
        shell.exits("ab"[number % 2], now=5.25 * number)
    assert shell.ended is None
    shell.exits("a", now=5.25 * 9 + 5.0)
    assert shell.ended == Shutdown()


def test_operator_is_told_how_many_restarts_the_window_holds():
    shell = Shell(machine_of("one_for_one", "a"))
    told = [shell.machine.exited("a", 1, CRASH, 0.0)[0]]
    shell.machine.started("a", 2)
    told.append(shell.machine.exited("a", 2, CRASH, 1.0)[0])
    shell.machine.started("a", 3)
    told.append(shell.machine.exited("a", 3, Normal(), 5.5)[0])
    assert told == [Restarting("a", CRASH, 1), Restarting("a", CRASH, 2), Restarting("a", Normal(), 2)]
