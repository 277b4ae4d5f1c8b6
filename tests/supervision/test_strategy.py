"""The decisions of a supervisor, without running anything.

The traces of a group are those that Erlang/OTP's own supervisor produced for the same tree and the same failures.
"""

import pytest

from cliffracer.exits import Killed, LinkLost, Normal, NotStarted, Shutdown, is_clean
from cliffracer.supervision.steps import Dismiss, End, Restarting, RetryLater, StartChild, StopAll, StopChild
from tests.supervision.shell import CRASH, STRATEGIES, shell_of

CLEAN = [Normal(), Shutdown(), Shutdown("drained"), NotStarted("x", CRASH), LinkLost("x", Normal())]
UNCLEAN = [Killed(), CRASH, LinkLost("x", CRASH), LinkLost("x", None)]


# Start and stop


def test_children_start_in_order():
    shell = shell_of("a b c d", start=False)
    assert shell.start() == ["start a", "start b", "start c", "start d"]
    assert shell.running == ["a", "b", "c", "d"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_child_that_does_not_start_at_first_rolls_everything_back_in_reverse(strategy):
    shell = shell_of("a b c d", strategy=strategy, failing={"c": [1]}, start=False)
    assert shell.start() == ["start a", "start b", "FAIL c", "stop b", "stop a"]
    assert shell.ended == NotStarted("c", CRASH)
    assert shell.running == []


def test_first_start_that_fails_is_a_clean_end_to_the_supervisor_above():
    assert is_clean(shell_of("a", failing={"a": [1]}).ended)


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
def test_failure_at_first_start_is_not_tried_again_and_nobody_is_told_of_a_restart(restart):
    shell = shell_of(f"a:{restart}", failing={"a": [1]}, start=False)
    assert shell.start() == ["FAIL a"]
    assert not shell.notes
    assert shell.told == []


@pytest.mark.parametrize("restart", ["permanent", "transient"])
def test_child_that_declines_to_start_is_kept_and_the_others_start(restart):
    shell = shell_of(f"a b:{restart} c", ignoring={"b": [1]}, start=False)
    assert shell.start() == ["start a", "ignore b", "start c"]
    assert shell.states == "a running, b stopped, c running"
    assert shell.free == ["b"]


def test_temporary_child_that_declines_to_start_is_forgotten():
    shell = shell_of("a b:temporary c", ignoring={"b": [1]})
    assert shell.states == "a running, c running"
    assert shell.free == ["b"]


@pytest.mark.parametrize("reason", [Shutdown(), CRASH])
def test_stopping_stops_all_in_reverse_and_ends_for_the_reason_given(reason):
    shell = shell_of("a b c")
    shell.carry_out(shell.machine.stop(reason))
    assert shell.trace == ["stop c", "stop b", "stop a"]
    assert shell.ended == reason


def test_supervisor_without_children_starts_and_stops():
    machine = shell_of().machine
    assert machine.start() == []
    assert machine.stop(Shutdown()) == [End(Shutdown())]


def test_stopping_skips_who_is_not_running():
    shell = shell_of("a b:transient c d:temporary", failing={"c": [2]})
    shell.exits("b", Normal())
    shell.exits("d")
    shell.exits("c", serve_notes=False)  # it waits for its next attempt
    assert shell.states == "a running, b stopped, c restarting"
    assert shell.machine.stop(Shutdown()) == [StopChild("a"), End(Shutdown())]


def test_children_of_a_dynamic_supervisor_are_stopped_all_at_once():
    machine = shell_of("a b c", is_dynamic=True).machine
    assert machine.stop(CRASH) == [StopAll(("c", "b", "a")), End(CRASH)]


def test_dynamic_supervisor_without_children_has_nobody_to_stop():
    assert shell_of(is_dynamic=True).machine.stop(Shutdown()) == [End(Shutdown())]


# Who is restarted


@pytest.mark.parametrize("reason", CLEAN + UNCLEAN)
def test_permanent_child_is_restarted_whatever_the_reason(reason):
    machine = shell_of("a b").machine
    assert machine.exited("a", 1, reason, 0.0) == [Restarting("a", reason, 1), StartChild("a")]


@pytest.mark.parametrize("reason", UNCLEAN)
def test_transient_child_is_restarted_when_it_did_not_end_cleanly(reason):
    machine = shell_of("a:transient b").machine
    assert machine.exited("a", 1, reason, 0.0) == [Restarting("a", reason, 1), StartChild("a")]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("reason", CLEAN)
def test_transient_child_that_ends_cleanly_is_kept_but_not_restarted_and_siblings_do_not_notice(strategy, reason):
    shell = shell_of("a:transient b", strategy=strategy)
    assert shell.machine.exited("a", 1, reason, 0.0) == [Dismiss("a")]
    assert shell.states == "a stopped, b running"


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("reason", CLEAN + UNCLEAN)
def test_temporary_child_is_never_restarted_but_forgotten_and_siblings_do_not_notice(strategy, reason):
    shell = shell_of("a:temporary b", strategy=strategy)
    assert shell.machine.exited("a", 1, reason, 0.0) == [Dismiss("a")]
    assert shell.states == "b running"


def test_who_is_not_restarted_costs_nothing_of_the_intensity():
    shell = shell_of("a:temporary b:transient c", intensity=0)
    shell.exits("a")
    shell.exits("b", Normal())
    assert shell.ended is None
    assert shell.machine.window(0.0) == 0


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
    shell = shell_of("a b c d", strategy=strategy)
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
    shell = shell_of("a b c d", strategy=strategy, failing=failing)
    assert ", ".join(shell.exits("b")) == trace
    assert shell.running == ["a", "b", "c", "d"]


def test_child_that_declines_to_be_restarted_is_kept_and_not_tried_again():
    shell = shell_of("a b", ignoring={"a": [2]})
    assert shell.exits("a") == ["ignore a"]
    assert shell.states == "a stopped, b running"
    assert shell.free == ["a"]


def test_group_goes_on_without_the_member_that_declines_to_be_restarted():
    shell = shell_of("a b c", strategy="one_for_all", ignoring={"b": [2]})
    assert shell.exits("a") == ["stop c", "stop b", "start a", "ignore b", "start c"]
    assert shell.states == "a running, b stopped, c running"


def test_temporary_sibling_goes_with_the_group_and_does_not_come_back():
    shell = shell_of("a t:temporary c", strategy="one_for_all")
    assert shell.exits("c") == ["stop t", "stop a", "start a", "start c"]
    assert shell.states == "a running, c running"


def test_name_of_the_temporary_sibling_is_free_before_anybody_starts():
    machine = shell_of("a b t:temporary c", strategy="rest_for_one").machine
    assert machine.exited("b", 1, CRASH, 0.0) == [
        Restarting("b", CRASH, 1),
        StopChild("c"),
        StopChild("t"),
        Dismiss("t"),
        StartChild("b"),
        StartChild("c"),
    ]


def test_names_of_the_others_in_the_group_are_kept():
    shell = shell_of("a t:temporary c d", strategy="one_for_all", failing={"c": [2]})
    shell.exits("d", serve_notes=False)
    assert shell.states == "a running, c restarting, d stopped"
    assert shell.free == ["t"]


def test_temporary_sibling_before_the_crashed_one_is_left_alone_by_rest_for_one():
    shell = shell_of("t:temporary b c", strategy="rest_for_one")
    assert shell.exits("b") == ["stop c", "start b", "start c"]
    assert shell.running == ["t", "b", "c"]


def test_normal_end_of_a_permanent_child_takes_the_group_along():
    shell = shell_of("a b", strategy="one_for_all")
    assert shell.exits("a", Normal()) == ["stop b", "start a", "start b"]


def test_transient_child_that_had_ended_is_started_again_by_a_group_restart():
    shell = shell_of("a b:transient c d:temporary", strategy="one_for_all")
    shell.exits("b", Normal())
    shell.exits("d", Normal())
    assert shell.exits("a") == ["stop c", "start a", "start b", "start c"]


def test_child_that_had_declined_to_start_is_asked_again_by_a_group_restart():
    shell = shell_of("a b", strategy="one_for_all", ignoring={"b": [1]})
    assert shell.exits("a") == ["start a", "start b"]
    assert shell.free == []


def test_group_restart_is_told_once_with_the_reason_of_the_child_that_fell():
    shell = shell_of("a b c", strategy="one_for_all")
    shell.exits("b")
    assert shell.told == [Restarting("b", CRASH, 1)]


# While a restart is being tried again


def test_child_whose_restart_failed_is_restarting_and_those_after_it_stay_stopped():
    shell = shell_of("a b c d", strategy="rest_for_one", failing={"c": [2]})
    shell.exits("b", serve_notes=False)
    assert shell.states == "a running, b running, c restarting, d stopped"
    assert list(shell.notes) == ["c"]


def test_note_to_try_again_is_put_behind_what_waits_already_and_nothing_else_is_done():
    machine = shell_of("a b c", strategy="one_for_all").machine
    machine.exited("a", 1, CRASH, 0.0)
    assert machine.start_failed("a", CRASH) == [RetryLater("a")]


def test_next_attempt_is_told_with_the_reason_why_the_last_one_failed_and_its_number():
    shell = shell_of("a", failing={"a": [2, 3]})
    shell.exits("a", Normal())
    assert shell.told == [Restarting("a", Normal(), 1), Restarting("a", CRASH, 2, 1), Restarting("a", CRASH, 3, 2)]


def test_attempts_are_those_in_vain_since_the_child_ran_last():
    shell = shell_of("a b", strategy="one_for_all", failing={"b": [2, 4]})
    shell.exits("a")
    shell.exits("a")
    told = [(notice.id, notice.attempt) for notice in shell.told]
    assert told == [("a", 0), ("b", 1), ("a", 0), ("b", 1)]


def test_note_to_try_again_is_void_once_the_child_runs():
    shell = shell_of("a")
    assert shell.machine.retry("a", 0.0) == []
    assert shell.running == ["a"]


def test_note_to_try_again_is_void_for_a_child_that_is_stopped_or_gone():
    shell = shell_of("a b:transient t:temporary", strategy="one_for_all")
    shell.exits("b", Normal())
    shell.exits("t")
    assert shell.machine.retry("b", 0.0) == []
    assert shell.machine.retry("t", 0.0) == []
    assert shell.machine.retry("nobody", 0.0) == []


def test_group_restart_that_comes_first_makes_the_waiting_note_void():
    shell = shell_of("a b c", strategy="rest_for_one", failing={"b": [2]})
    shell.exits("b", serve_notes=False)
    assert list(shell.notes) == ["b"]
    assert shell.exits("a", serve_notes=False) == ["start a", "start b", "start c"]
    shell.trace.clear()
    shell.serve_notes()
    assert shell.trace == []
    assert shell.running == ["a", "b", "c"]


def test_siblings_go_on_being_served_between_two_attempts():
    shell = shell_of("a b", failing={"b": [2]})
    shell.exits("b", serve_notes=False)
    assert shell.exits("a") == ["start a", "start b"]


# Stale notices


def test_notice_of_an_earlier_incarnation_changes_nothing():
    shell = shell_of("a b")
    shell.exits("a")
    assert shell.machine.exited("a", 1, CRASH, 0.0) == []
    assert shell.running == ["a", "b"]


def test_second_notice_of_the_same_incarnation_changes_nothing():
    machine = shell_of("a:transient").machine
    assert machine.exited("a", 1, Normal(), 0.0) == [Dismiss("a")]
    assert machine.exited("a", 1, Normal(), 0.0) == []


def test_notice_of_somebody_unknown_changes_nothing():
    assert shell_of("a").machine.exited("nobody", 1, CRASH, 0.0) == []


def test_crash_of_a_member_that_the_group_restart_stops_anyway_is_absorbed():
    shell = shell_of("a b c", strategy="one_for_all", intensity=1)
    shell.exits("a")  # b crashed in the same moment; its notice comes after
    assert shell.machine.exited("b", 1, CRASH, 0.0) == []
    assert shell.ended is None


def test_rest_for_one_absorbs_only_the_crashes_of_those_after_the_child_that_was_heard_first():
    shell = shell_of("a b c", strategy="rest_for_one")
    shell.exits("b")  # all crashed in the same moment; the other notices come after
    assert shell.machine.exited("c", 1, CRASH, 0.0) == []
    assert shell.exits("a") == ["stop c", "stop b", "start a", "start b", "start c"]
    assert shell.machine.window(0.0) == 2


def test_two_simultaneous_crashes_are_two_restarts_under_one_for_one():
    shell = shell_of("a b", intensity=1)
    shell.exits("a")
    shell.exits("b")
    assert shell.ended == Shutdown()
