"""How often is too often: the intensity of a supervisor, and the budget of a single child."""

import pytest

from cliffracer.exits import Normal, Shutdown
from cliffracer.supervision.spec import Budget
from cliffracer.supervision.steps import Dismiss, End, GiveUp, GiveUpChild, Restarting, StopAll, StopChild
from tests.supervision.shell import CRASH, STRATEGIES, shell_of

BUDGET = {"budget": Budget(max_restarts=2, max_seconds=60.0)}


# The supervisor gives up


def test_one_restart_over_the_intensity_stops_the_others_in_reverse_and_ends_with_shutdown():
    machine = shell_of("a b c", strategy="one_for_all", intensity=0).machine
    assert machine.exited("b", 1, CRASH, 0.0) == [GiveUp("b", CRASH), StopChild("c"), StopChild("a"), End(Shutdown())]


def test_end_of_a_supervisor_that_gave_up_is_clean_so_a_transient_one_is_not_restarted():
    below = shell_of("a", intensity=0)
    below.exits("a")
    above = shell_of("below:transient other")
    assert above.machine.exited("below", 1, below.ended, 0.0) == [Dismiss("below")]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("limit", [0, 1, 2, 3])
def test_as_many_restarts_as_the_intensity_says_pass_and_a_group_restart_counts_once(strategy, limit):
    shell = shell_of("a b c d", strategy=strategy, intensity=limit)
    for id in "abcd"[:limit]:
        shell.exits(id)
    assert shell.ended is None
    shell.exits("a")
    assert shell.ended == Shutdown()
    assert shell.running == []


def test_each_failed_attempt_counts_as_one_more():
    shell = shell_of("a b", intensity=3, failing={"b": range(2, 100)})
    assert shell.exits("b") == ["FAIL b", "FAIL b", "FAIL b", "stop a"]
    assert shell.ended == Shutdown()
    assert shell.told[-1] == GiveUp("b", CRASH, 3)


def test_all_children_share_one_window_that_slides_and_that_no_success_resets():
    shell = shell_of("a b", intensity=1)
    for number in range(10):
        shell.now = 5.25 * number
        shell.exits("ab"[number % 2])
    assert shell.ended is None
    shell.now += 5.0
    shell.exits("a")
    assert shell.ended == Shutdown()


def test_operator_is_told_how_many_restarts_the_window_holds():
    shell = shell_of("a")
    for now, reason in [(0.0, CRASH), (1.0, CRASH), (5.5, Normal())]:
        shell.now = now
        shell.exits("a", reason)
    assert shell.told == [Restarting("a", CRASH, 1), Restarting("a", CRASH, 2), Restarting("a", Normal(), 2)]


def test_dynamic_supervisor_that_gives_up_stops_the_others_all_at_once():
    machine = shell_of("a b c", is_dynamic=True, intensity=0).machine
    assert machine.exited("b", 1, CRASH, 0.0) == [GiveUp("b", CRASH), StopAll(("c", "a")), End(Shutdown())]


def test_starts_that_somebody_asked_for_do_not_count():
    shell = shell_of("a", intensity=0, failing={"a": [3], "b": range(1, 51)})
    for _ in range(3):
        shell.terminate_child("a")
        shell.restart_child("a")
    assert not any(shell.start_child("b") for _ in range(50))
    assert shell.machine.window(0.0) == 0
    assert shell.ended is None


# The supervisor gives up on one child


def test_child_over_its_own_budget_is_dropped_and_the_supervisor_and_the_others_live_on():
    shell = shell_of("a b", is_dynamic=True, intensity=0, options={"a": BUDGET})
    assert shell.exits("a") == ["start a"]
    assert shell.exits("a") == ["start a"]
    assert shell.machine.exited("a", 3, CRASH, 0.0) == [GiveUpChild("a", CRASH), Dismiss("a")]
    assert shell.states == "b running"


def test_restarts_of_a_child_with_a_budget_do_not_count_for_the_supervisor():
    shell = shell_of("a b", is_dynamic=True, intensity=1, options={"a": BUDGET})
    shell.exits("a")
    shell.exits("a")
    assert shell.machine.window(0.0) == 0
    shell.exits("b")
    assert shell.ended is None
    assert shell.machine.window(0.0) == 1


def test_restarts_of_the_others_do_not_count_for_a_child_with_a_budget():
    shell = shell_of("a b c", is_dynamic=True, options={"a": BUDGET, "b": BUDGET})
    for id in "bbcccc":
        shell.exits(id)
    assert shell.exits("a") == ["start a"]
    assert shell.exits("a") == ["start a"]


def test_operator_is_told_how_many_restarts_the_budget_has_seen():
    shell = shell_of("a b", is_dynamic=True, options={"a": BUDGET})
    for id in "bbba":
        shell.exits(id)
    assert shell.told[-1] == Restarting("a", CRASH, 1)


def test_budget_slides_as_the_window_of_the_supervisor_does():
    shell = shell_of("a", is_dynamic=True, options={"a": BUDGET})
    for number in range(10):
        shell.now = 30.25 * number
        assert shell.exits("a") == ["start a"]
    shell.now += 29.0
    shell.exits("a")
    assert shell.told[-1] == GiveUpChild("a", CRASH)


def test_each_failed_attempt_uses_up_one_more_of_the_budget():
    shell = shell_of("a", is_dynamic=True, options={"a": BUDGET}, failing={"a": range(2, 100)})
    assert shell.exits("a") == ["FAIL a", "FAIL a"]
    assert shell.told[-1] == GiveUpChild("a", CRASH, 2)
    assert shell.free == ["a"]
    assert shell.ended is None


def test_child_that_is_started_anew_under_the_old_id_has_all_of_its_budget():
    shell = shell_of(is_dynamic=True)
    for _ in range(2):
        assert shell.start_child("a", **BUDGET)
        assert shell.exits("a") == ["start a"]
        assert shell.exits("a") == ["start a"]
        assert shell.exits("a") == []
        assert shell.states == ""


def test_budget_of_zero_allows_no_restart_at_all():
    shell = shell_of("a", is_dynamic=True, options={"a": {"budget": Budget(0, 1.0)}})
    shell.exits("a")
    assert shell.told == [GiveUpChild("a", CRASH)]


def test_end_that_is_not_followed_by_a_restart_costs_nothing_of_the_budget():
    shell = shell_of("a:transient", is_dynamic=True, options={"a": {"budget": Budget(0, 1.0)}})
    assert shell.machine.exited("a", 1, Normal(), 0.0) == [Dismiss("a")]
