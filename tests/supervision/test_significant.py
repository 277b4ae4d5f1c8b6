"""A supervisor that ends by itself when those children have ended that it is there for."""

import pytest

from cliffracer.exits import Killed, Normal, Shutdown
from cliffracer.supervision.spec import Budget
from cliffracer.supervision.steps import (
    Dismiss,
    End,
    GiveUp,
    GiveUpChild,
    Restarting,
    ShutDownByItself,
    StartChild,
    StopAll,
)
from tests.supervision.shell import CRASH, STRATEGIES, shell_of

BUDGET = {"a": {"budget": Budget(0, 1.0)}}
AUTOMATIC = ["any_significant", "all_significant"]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("automatic", AUTOMATIC)
@pytest.mark.parametrize(
    ("restart", "reason"),
    [
        ("transient", Normal()),
        ("transient", Shutdown("drained")),
        ("temporary", Normal()),
        ("temporary", Shutdown()),
        ("temporary", Killed()),
        ("temporary", CRASH),
    ],
)
def test_end_of_the_only_significant_child_stops_the_rest_in_reverse_and_ends_with_shutdown(
    strategy, automatic, restart, reason
):
    shell = shell_of(f"a b:{restart}! c", strategy=strategy, auto_shutdown=automatic)
    assert shell.exits("b", reason) == ["stop c", "stop a"]
    assert shell.told == [ShutDownByItself("b")]
    assert shell.ended == Shutdown()


@pytest.mark.parametrize("automatic", AUTOMATIC)
def test_name_of_the_significant_child_is_free_before_the_others_are_stopped(automatic):
    machine = shell_of("a:transient! b", is_dynamic=True, auto_shutdown=automatic).machine
    assert machine.exited("a", 1, Normal(), 0.0) == [
        Dismiss("a"),
        ShutDownByItself("a"),
        StopAll(("b",)),
        End(Shutdown()),
    ]


@pytest.mark.parametrize("automatic", AUTOMATIC)
@pytest.mark.parametrize("restart", ["transient", "temporary"])
def test_end_of_a_child_that_is_not_significant_ends_nobody_else(automatic, restart):
    shell = shell_of(f"a:transient! b:{restart}", auto_shutdown=automatic)
    assert shell.machine.exited("b", 1, Normal(), 0.0) == [Dismiss("b")]


@pytest.mark.parametrize("automatic", AUTOMATIC)
def test_end_that_is_followed_by_a_restart_does_not_end_the_supervisor(automatic):
    shell = shell_of("a:transient! b", auto_shutdown=automatic)
    assert shell.machine.exited("a", 1, CRASH, 0.0) == [Restarting("a", CRASH, 1), StartChild("a")]


def test_any_significant_ends_with_the_first_of_them():
    shell = shell_of("a:transient! b:temporary! c", auto_shutdown="any_significant")
    assert shell.exits("a", Normal()) == ["stop c", "stop b"]
    assert shell.ended == Shutdown()


@pytest.mark.parametrize("first", ["a", "b"])
@pytest.mark.parametrize("is_dynamic", [True, False])
def test_all_significant_ends_with_the_last_of_them(first, is_dynamic):
    shell = shell_of("a:transient! b:temporary! c", auto_shutdown="all_significant", is_dynamic=is_dynamic)
    shell.exits(first, Normal())
    assert shell.ended is None
    shell.exits("b" if first == "a" else "a", Normal())
    assert shell.ended == Shutdown()
    assert shell.told == [ShutDownByItself("b" if first == "a" else "a")]
    assert shell.running == []


def test_never_means_never_even_if_a_child_is_significant():
    shell = shell_of("a:temporary! b", auto_shutdown="never")
    assert shell.exits("a") == []
    assert shell.ended is None


@pytest.mark.parametrize("automatic", AUTOMATIC)
@pytest.mark.parametrize("restart", ["transient", "temporary"])
def test_terminating_even_the_last_significant_child_does_not_end_the_supervisor(automatic, restart):
    shell = shell_of(f"a:{restart}! b", auto_shutdown=automatic)
    assert shell.terminate_child("a") == ["stop a"]
    assert shell.ended is None


@pytest.mark.parametrize("automatic", AUTOMATIC)
def test_terminating_a_significant_child_that_is_tried_again_does_not_end_the_supervisor(automatic):
    shell = shell_of("a:transient! b", auto_shutdown=automatic, failing={"a": [2]})
    shell.exits("a", serve_notes=False)
    shell.terminate_child("a")
    assert shell.ended is None


@pytest.mark.parametrize("automatic", AUTOMATIC)
def test_significant_sibling_that_goes_with_its_group_does_not_end_the_supervisor(automatic):
    shell = shell_of("a b:temporary!", strategy="one_for_all", auto_shutdown=automatic)
    assert shell.exits("a") == ["stop b", "start a"]
    assert shell.states == "a running"


@pytest.mark.parametrize("automatic", AUTOMATIC)
def test_significant_child_that_declines_to_start_does_not_end_the_supervisor(automatic):
    shell = shell_of("a:transient! b", auto_shutdown=automatic, ignoring={"a": [1, 2]})
    shell.restart_child("a")
    assert shell.ended is None
    assert shell.states == "a stopped, b running"


def test_significant_child_that_was_terminated_does_not_keep_all_significant_from_ending():
    shell = shell_of("a:transient! b:transient!", auto_shutdown="all_significant")
    shell.terminate_child("a")
    shell.exits("b", Normal())
    assert shell.ended == Shutdown()


def test_significant_child_that_is_tried_again_keeps_all_significant_from_ending():
    shell = shell_of("a:transient! b:transient!", auto_shutdown="all_significant", failing={"a": [2]})
    shell.exits("a", serve_notes=False)
    shell.exits("b", Normal(), serve_notes=False)
    assert shell.ended is None
    assert shell.states == "a restarting, b stopped"


def test_significant_member_of_a_waiting_group_does_not_keep_all_significant_from_ending():
    shell = shell_of(
        "a:transient! b c:transient!", strategy="rest_for_one", auto_shutdown="all_significant", failing={"b": [2]}
    )
    shell.exits("b", serve_notes=False)
    assert shell.states == "a running, b restarting, c stopped"
    assert shell.exits("a", Normal()) == []
    assert shell.ended == Shutdown()


def test_giving_up_is_not_told_as_an_end_of_the_significant_child():
    shell = shell_of("a:transient! b", auto_shutdown="any_significant", intensity=0)
    assert shell.exits("a") == ["stop b"]
    assert shell.told == [GiveUp("a", CRASH)]
    assert shell.ended == Shutdown()


def test_automatic_end_goes_up_from_supervisor_to_supervisor():
    below = shell_of("a:temporary! b", auto_shutdown="any_significant")
    below.exits("a")
    above = shell_of("below:transient! c", auto_shutdown="any_significant")
    assert above.exits("below", below.ended) == ["stop c"]
    assert above.ended == Shutdown()


def test_child_that_comes_later_counts_as_well():
    shell = shell_of(is_dynamic=True, auto_shutdown="all_significant")
    shell.start_child("a:temporary!")
    shell.start_child("b:transient!")
    shell.exits("a")
    assert shell.ended is None
    shell.exits("b", Normal())
    assert shell.ended == Shutdown()


# Over its budget


@pytest.mark.parametrize("automatic", AUTOMATIC)
def test_significant_child_that_is_given_up_has_ended_for_good_and_so_does_the_supervisor(automatic):
    machine = shell_of("a:transient! b", is_dynamic=True, auto_shutdown=automatic, options=BUDGET).machine
    assert machine.exited("a", 1, CRASH, 0.0) == [
        GiveUpChild("a", CRASH),
        Dismiss("a"),
        ShutDownByItself("a"),
        StopAll(("b",)),
        End(Shutdown()),
    ]


def test_significant_child_that_is_given_up_while_another_is_left_does_not_end_all_significant():
    shell = shell_of("a:transient! b:transient!", is_dynamic=True, auto_shutdown="all_significant", options=BUDGET)
    shell.exits("a")
    assert shell.states == "b running"
    shell.exits("b", Normal())
    assert shell.ended == Shutdown()


@pytest.mark.parametrize(("item", "automatic"), [("a:transient!", "never"), ("a:transient", "any_significant")])
def test_child_that_is_given_up_and_does_not_count_leaves_the_supervisor_alone(item, automatic):
    shell = shell_of(f"{item} b", is_dynamic=True, auto_shutdown=automatic, options=BUDGET)
    shell.exits("a")
    assert shell.states == "b running"
    assert shell.ended is None
