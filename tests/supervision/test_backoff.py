"""A wait before a restart, for those who do not want OTP's restart at once."""

import pytest

from cliffracer.actor.options import Backoff
from cliffracer.exits import Killed, Normal, Shutdown
from cliffracer.supervision.spec import Budget
from cliffracer.supervision.steps import Dismiss, End, GiveUp, GiveUpChild, Restarting, RetryLater, StopAll, StopChild
from tests.supervision.shell import CRASH, STRATEGIES, shell_of

# 1, 2, 4, 8, 10, 10, ... seconds
BACKOFF = {"backoff": Backoff(initial=1.0, maximum=10.0, factor=2.0, jitter=0.0)}


def delays(shell):
    return [notice.delay for notice in shell.told]


# How long


def test_wait_begins_with_initial_and_grows_by_the_factor_up_to_the_maximum():
    backoff = Backoff(initial=0.5, maximum=10.0, factor=3.0, jitter=0.0)
    assert [backoff.seconds(failures, 0.9) for failures in range(5)] == [0.5, 1.5, 4.5, 10.0, 10.0]


def test_factor_of_one_keeps_the_wait_as_it_is():
    backoff = Backoff(initial=2.0, maximum=10.0, factor=1.0, jitter=0.0)
    assert [backoff.seconds(failures, 0.0) for failures in range(3)] == [2.0, 2.0, 2.0]


def test_jitter_takes_away_up_to_its_part_of_the_wait_and_adds_nothing():
    backoff = Backoff(initial=8.0, maximum=8.0, jitter=0.25)
    assert [backoff.seconds(0, chance) for chance in (0.0, 0.5, 1.0)] == [8.0, 7.0, 6.0]


def test_wait_is_found_at_once_however_many_failures_there_were():
    assert Backoff(initial=0.1, maximum=30.0, jitter=0.0).seconds(10**9, 0.0) == 30.0


# Before a restart


@pytest.mark.parametrize(
    ("restart", "reason"), [("permanent", Normal()), ("permanent", CRASH), ("transient", Killed())]
)
def test_restart_waits_and_the_child_is_restarting_meanwhile(restart, reason):
    shell = shell_of(f"a:{restart} b", options={"a": BACKOFF})
    assert shell.machine.exited("a", 1, reason, 0.0) == [
        Restarting("a", reason, 1, delay=1.0),
        RetryLater("a", 1.0),
    ]
    assert shell.states == "a restarting, b running"


def test_child_without_backoff_is_restarted_at_once_beside_one_that_has_it():
    shell = shell_of("a b", options={"a": BACKOFF})
    shell.exits("a")
    assert shell.exits("b") == ["start b"]
    assert shell.states == "a restarting, b running"


def test_child_that_is_not_restarted_waits_for_nothing():
    shell = shell_of("a:transient t:temporary", options={"a": BACKOFF, "t": BACKOFF})
    assert shell.machine.exited("a", 1, Normal(), 0.0) == [Dismiss("a")]
    assert shell.machine.exited("t", 1, CRASH, 0.0) == [Dismiss("t")]


def test_child_starts_when_its_time_has_come():
    shell = shell_of("a", options={"a": BACKOFF})
    shell.exits("a")
    assert shell.wait(0.75) == []
    assert shell.wait(0.25) == ["start a"]


def test_waits_grow_with_each_crash_up_to_the_maximum():
    shell = shell_of("a", options={"a": BACKOFF})
    expected = [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    for delay in expected:
        shell.exits("a")
        assert shell.wait(delay) == ["start a"]
    assert delays(shell) == expected


def test_waits_grow_with_each_failed_start_as_well():
    shell = shell_of("a", options={"a": BACKOFF}, failing={"a": [2, 3]})
    shell.exits("a")
    assert shell.wait(1.0) == ["FAIL a"]
    assert shell.timers == {"a": 1.0 + 2.0}
    assert shell.wait(2.0) == ["FAIL a"]
    assert shell.timers == {"a": 3.0 + 4.0}
    assert shell.wait(4.0) == ["start a"]
    shell.exits("a")
    assert shell.timers == {"a": 7.0 + 8.0}


def test_first_failed_start_of_a_member_waits_for_initial():
    shell = shell_of("a b", strategy="rest_for_one", options={"b": BACKOFF}, failing={"b": [2]})
    assert shell.exits("a") == ["stop b", "start a", "FAIL b"]
    assert shell.timers == {"b": 1.0}


def test_jitter_is_drawn_anew_for_each_wait():
    chances = iter([0.0, 0.5, 0.25])
    backoff = {"backoff": Backoff(initial=8.0, maximum=8.0, jitter=0.5)}
    shell = shell_of("a", options={"a": backoff}, chance=lambda: next(chances))
    for _ in range(3):
        shell.exits("a")
        shell.wait(8.0)
    assert delays(shell) == [8.0, 6.0, 7.0]


# Anew


@pytest.mark.parametrize(("seconds", "delay"), [(9.75, 2.0), (10.0, 1.0), (10.25, 1.0)])
def test_incarnation_that_ran_for_the_maximum_begins_anew(seconds, delay):
    shell = shell_of("a", options={"a": BACKOFF})
    shell.exits("a")
    shell.wait(1.0)
    shell.wait(seconds)
    shell.exits("a")
    assert delays(shell) == [1.0, delay]


@pytest.mark.parametrize(("seconds", "wait"), [(9.75, 2.0), (10.0, 1.0)])
def test_incarnation_that_ran_for_the_maximum_and_is_stopped_with_its_group_begins_anew(seconds, wait):
    shell = shell_of("a b", strategy="one_for_all", options={"b": BACKOFF}, failing={"b": [3]})
    shell.exits("b")
    shell.wait(1.0)
    shell.wait(seconds)
    assert shell.exits("a") == ["stop b", "start a", "FAIL b"]
    assert shell.timers == {"b": shell.now + wait}


def test_incarnation_that_ran_for_the_maximum_and_ended_cleanly_begins_anew():
    shell = shell_of("a:transient", options={"a": BACKOFF})
    shell.exits("a")
    shell.wait(1.0 + 10.0)
    shell.exits("a", Normal())
    shell.restart_child("a")
    shell.exits("a")
    assert delays(shell) == [1.0, 1.0]


def test_child_that_was_terminated_begins_anew():
    shell = shell_of("a", options={"a": BACKOFF})
    shell.exits("a")
    shell.terminate_child("a")
    shell.restart_child("a")
    shell.exits("a")
    assert delays(shell) == [1.0, 1.0]


def test_children_wait_each_for_its_own_failures():
    shell = shell_of("a b", options={"a": BACKOFF, "b": BACKOFF})
    shell.exits("a")
    shell.wait(1.0)
    shell.exits("a")
    shell.exits("b")
    assert delays(shell) == [1.0, 2.0, 1.0]


# Groups


def test_group_stays_down_during_the_wait_and_only_its_temporary_members_lose_their_names():
    shell = shell_of("a b t:temporary c", strategy="rest_for_one", options={"b": BACKOFF})
    assert shell.machine.exited("b", 1, CRASH, 0.0) == [
        Restarting("b", CRASH, 1, delay=1.0),
        StopChild("c"),
        StopChild("t"),
        Dismiss("t"),
        RetryLater("b", 1.0),
    ]
    for id in "ct":
        shell.machine.stopped(id)
    assert shell.states == "a running, b restarting, c stopped"


def test_group_starts_in_order_when_the_wait_is_over():
    shell = shell_of("a b c", strategy="one_for_all", options={"b": BACKOFF})
    assert shell.exits("b") == ["stop c", "stop a"]
    assert shell.wait(1.0) == ["start a", "start b", "start c"]


def test_member_that_was_started_by_hand_during_the_wait_is_started_again_with_the_group():
    shell = shell_of("a b c", strategy="one_for_all", options={"b": BACKOFF})
    shell.exits("b")
    shell.restart_child("c")
    assert shell.wait(1.0) == ["stop c", "start a", "start b", "start c"]


def test_group_restart_during_the_wait_of_a_member_makes_its_wait_void():
    shell = shell_of("a b", strategy="rest_for_one", options={"b": BACKOFF})
    shell.exits("b")
    assert shell.exits("a") == ["start a", "start b"]
    assert shell.wait(10.0) == []


def test_member_that_waits_is_down_with_its_group_once_another_of_it_waits():
    shell = shell_of("a b", strategy="rest_for_one", options={"a": BACKOFF, "b": BACKOFF})
    shell.exits("b")
    shell.exits("a")
    assert shell.states == "a restarting, b stopped"
    assert shell.free == []
    assert shell.wait(10.0) == ["start a", "start b"]


# Terminate, and stop


@pytest.mark.parametrize("is_dynamic", [True, False])
def test_terminating_during_the_wait_calls_the_restart_off(is_dynamic):
    shell = shell_of("a b", is_dynamic=is_dynamic, options={"a": BACKOFF})
    shell.exits("a")
    assert shell.machine.terminate("a") == [Dismiss("a")]
    assert shell.states == ("b running" if is_dynamic else "a stopped, b running")
    assert shell.machine.retry("a", 1.0) == []


def test_terminating_during_the_wait_frees_the_names_of_the_whole_group():
    shell = shell_of("a b c", strategy="one_for_all", options={"b": BACKOFF})
    shell.exits("b")
    assert shell.free == []
    shell.terminate_child("b")
    assert shell.states == "a stopped, b stopped, c stopped"
    assert sorted(shell.free) == ["a", "b", "c"]
    assert shell.wait(10.0) == []


@pytest.mark.parametrize("is_dynamic", [True, False])
def test_terminating_during_the_wait_leaves_another_that_waits_alone(is_dynamic):
    shell = shell_of("a b", is_dynamic=is_dynamic, options={"a": BACKOFF, "b": BACKOFF})
    shell.exits("a")
    shell.exits("b")
    shell.terminate_child("a")
    assert shell.free == ["a"]
    assert shell.wait(1.0) == ["start b"]


def test_stopping_during_the_wait_stops_only_those_that_run():
    shell = shell_of("a b c", strategy="rest_for_one", options={"b": BACKOFF})
    shell.exits("b")
    assert shell.machine.stop(Shutdown()) == [StopChild("a"), End(Shutdown())]


def test_child_that_waits_keeps_all_significant_from_ending_and_the_members_of_its_group_do_not():
    shell = shell_of(
        "a:transient! b:transient! c:transient!",
        strategy="rest_for_one",
        auto_shutdown="all_significant",
        options={"b": BACKOFF},
    )
    shell.exits("b")
    shell.exits("a", Normal())
    assert shell.ended is None
    shell.terminate_child("b")
    shell.restart_child("a")
    shell.exits("a", Normal())
    assert shell.ended == Shutdown()


# Counted


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_restart_that_waited_is_counted_once_and_told_once(strategy):
    shell = shell_of("a b", strategy=strategy, intensity=1, options={"a": BACKOFF})
    shell.exits("a")
    shell.wait(1.0)
    assert shell.running == ["a", "b"]
    assert shell.told == [Restarting("a", CRASH, 1, delay=1.0)]
    assert shell.machine.window(1.0) == 1


def test_failed_attempt_after_the_wait_is_counted_again_and_told_with_its_number():
    shell = shell_of("a", options={"a": BACKOFF}, failing={"a": [2, 3]})
    shell.exits("a")
    shell.wait(1.0)
    shell.wait(2.0)
    assert shell.machine.window(shell.now) == 2
    shell.wait(4.0)
    assert shell.told == [
        Restarting("a", CRASH, 1, delay=1.0),
        Restarting("a", CRASH, 2, 1),
        Restarting("a", CRASH, 2, 2),  # the window is 5 s
    ]


def test_start_that_fails_in_the_group_restart_of_another_is_counted_although_the_child_had_waited():
    shell = shell_of("a b", strategy="rest_for_one", intensity=2, options={"b": BACKOFF}, failing={"b": [2]})
    shell.exits("b")
    assert shell.exits("a") == ["start a", "FAIL b"]
    assert shell.wait(2.0) == ["stop a"]
    assert shell.told[-1] == GiveUp("b", CRASH, 1)


def test_crash_over_the_intensity_ends_the_supervisor_without_a_wait():
    machine = shell_of("a b c", intensity=0, options={"b": BACKOFF}).machine
    assert machine.exited("b", 1, CRASH, 0.0) == [GiveUp("b", CRASH), StopChild("c"), StopChild("a"), End(Shutdown())]


def test_crash_over_its_budget_drops_the_child_without_a_wait():
    options = {"a": {**BACKOFF, "budget": Budget(0, 60.0)}}
    machine = shell_of("a b", is_dynamic=True, options=options).machine
    assert machine.exited("a", 1, CRASH, 0.0) == [GiveUpChild("a", CRASH), Dismiss("a")]


def test_failed_start_over_its_budget_drops_the_child_when_its_wait_is_over():
    options = {"a": {**BACKOFF, "budget": Budget(1, 60.0)}}
    shell = shell_of("a b", is_dynamic=True, intensity=0, options=options, failing={"a": [2]})
    shell.exits("a")
    shell.wait(1.0)
    shell.wait(2.0)
    assert shell.told[-1] == GiveUpChild("a", CRASH, 1)
    assert shell.states == "b running"


def test_stopping_a_dynamic_supervisor_skips_who_waits():
    shell = shell_of("a b c", is_dynamic=True, options={"b": BACKOFF})
    shell.exits("b")
    assert shell.machine.stop(Shutdown()) == [StopAll(("c", "a")), End(Shutdown())]
