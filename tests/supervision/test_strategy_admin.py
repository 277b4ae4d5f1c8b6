"""What somebody asks of a supervisor while it runs, in between whatever happens to its children."""

import pytest

from cliffracer.errors import AlreadyPresent, AlreadyStarted, ChildRestarting, ChildRunning, NoChild, TooManyChildren
from cliffracer.exits import Normal
from cliffracer.supervision.steps import Dismiss, StartChild, StopChild
from tests.supervision.shell import CRASH, STRATEGIES, shell_of

# A new child


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_new_child_is_the_last_in_order_and_its_siblings_do_not_notice(strategy):
    shell = shell_of("a b", strategy=strategy)
    assert shell.start_child("c")
    assert shell.trace == ["start c"]
    assert shell.states == "a running, b running, c running"


def test_new_child_of_an_id_that_runs_is_refused():
    shell = shell_of("a")
    with pytest.raises(AlreadyStarted, match="'a' runs already; terminate it first"):
        shell.start_child("a")


def test_child_that_has_ended_still_runs_until_its_notice_is_served():
    machine = shell_of("a").machine  # its notice waits behind these orders
    with pytest.raises(ChildRunning):
        machine.restart_by_hand("a")
    with pytest.raises(ChildRunning):
        machine.delete("a")
    assert machine.exited("a", 1, Normal(), 0.0)[-1] == StartChild("a")


def test_new_child_of_an_id_that_is_stopped_is_refused():
    shell = shell_of("a")
    shell.terminate_child("a")
    with pytest.raises(AlreadyPresent, match="'a' is known already, and stopped"):
        shell.start_child("a")


def test_new_child_of_an_id_that_is_restarting_is_refused():
    shell = shell_of("a", failing={"a": [2]})
    shell.exits("a", serve_notes=False)
    with pytest.raises(AlreadyPresent, match="'a' is known already, and restarting"):
        shell.start_child("a")


@pytest.mark.parametrize("is_dynamic", [True, False])
def test_new_child_that_does_not_start_is_forgotten_and_not_tried_again(is_dynamic):
    shell = shell_of("a", is_dynamic=is_dynamic, failing={"b": [1]})
    assert not shell.start_child("b")
    assert shell.states == "a running"
    assert shell.free == ["b"]
    assert not shell.notes
    assert shell.start_child("b")


@pytest.mark.parametrize(
    ("item", "is_dynamic", "states"),
    [
        ("b", False, "a running, b stopped"),
        ("b:transient", False, "a running, b stopped"),
        ("b:temporary", False, "a running"),
        ("b", True, "a running"),
    ],
)
def test_new_child_that_declines_to_start_is_kept_only_by_a_static_supervisor_and_unless_it_is_temporary(
    item, is_dynamic, states
):
    shell = shell_of("a", is_dynamic=is_dynamic, ignoring={"b": [1]})
    assert not shell.start_child(item)
    assert shell.states == states
    assert shell.free == ["b"]


def test_new_child_belongs_to_the_group_of_those_before_it():
    shell = shell_of("a", strategy="rest_for_one")
    shell.start_child("b")
    assert shell.exits("a") == ["stop b", "start a", "start b"]


# Terminate


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("restart", ["permanent", "transient"])
def test_terminated_child_is_kept_but_not_restarted_and_siblings_do_not_notice(strategy, restart):
    shell = shell_of(f"a b:{restart} c", strategy=strategy)
    assert shell.machine.terminate("b") == [StopChild("b"), Dismiss("b")]
    shell.machine.stopped("b")
    assert shell.states == "a running, b stopped, c running"


def test_notice_of_a_child_that_was_terminated_meanwhile_changes_nothing():
    shell = shell_of("a")
    shell.terminate_child("a")
    assert shell.machine.exited("a", 1, CRASH, 0.0) == []


def test_terminated_temporary_child_is_forgotten():
    shell = shell_of("a b:temporary")
    assert shell.terminate_child("b") == ["stop b"]
    assert shell.states == "a running"
    assert shell.free == ["b"]


def test_child_that_is_stopped_already_can_be_terminated_again():
    shell = shell_of("a")
    shell.terminate_child("a")
    assert shell.machine.terminate("a") == [Dismiss("a")]


def test_terminating_a_child_that_is_restarting_calls_its_retry_off():
    shell = shell_of("a b", failing={"a": [2]})
    shell.exits("a", serve_notes=False)
    assert shell.machine.terminate("a") == [Dismiss("a")]
    assert shell.states == "a stopped, b running"
    assert shell.machine.retry("a", 0.0) == []


@pytest.mark.parametrize("order", ["terminate", "restart_by_hand", "delete", "spec_of"])
def test_order_for_somebody_unknown_is_refused_with_who_is_known(order):
    machine = shell_of("a b").machine
    with pytest.raises(NoChild, match="no child 'x'; there is a, b"):
        getattr(machine, order)("x")


# Restart by hand


def test_child_that_is_restarted_by_hand_keeps_its_place_and_takes_nobody_along():
    shell = shell_of("a b c", strategy="rest_for_one")
    shell.terminate_child("a")
    assert shell.restart_child("a")
    assert shell.trace == ["start a"]
    assert shell.states == "a running, b running, c running"
    assert shell.free == []


def test_restart_by_hand_that_fails_leaves_the_child_stopped_and_is_not_tried_again():
    shell = shell_of("a b", failing={"a": [2]})
    shell.terminate_child("a")
    assert not shell.restart_child("a")
    assert shell.states == "a stopped, b running"
    assert not shell.notes
    assert shell.restart_child("a")


def test_restart_by_hand_that_is_declined_leaves_the_child_stopped():
    shell = shell_of("a b", ignoring={"a": [2]})
    shell.terminate_child("a")
    assert not shell.restart_child("a")
    assert shell.states == "a stopped, b running"


@pytest.mark.parametrize("order", ["restart_by_hand", "delete"])
def test_only_a_stopped_child_can_be_restarted_by_hand_or_deleted(order):
    shell = shell_of("a b", failing={"b": [2]})
    shell.exits("b", serve_notes=False)
    with pytest.raises(ChildRunning, match=r"'a'\): it runs. Stop it with terminate_child first"):
        getattr(shell.machine, order)("a")
    with pytest.raises(ChildRestarting, match=r"'b'\): it is restarting. Stop that with terminate_child first"):
        getattr(shell.machine, order)("b")


# Delete


def test_deleted_child_is_forgotten_and_comes_back_as_the_last():
    shell = shell_of("a b")
    shell.terminate_child("a")
    shell.delete_child("a")
    assert shell.states == "b running"
    assert shell.free == ["a"]
    shell.start_child("a")
    assert shell.states == "b running, a running"


def test_temporary_child_that_is_started_again_is_the_last_and_a_restarted_one_keeps_its_place():
    shell = shell_of("a t:temporary c")
    shell.terminate_child("t")
    shell.start_child("t:temporary")
    shell.terminate_child("a")
    shell.restart_child("a")
    assert shell.running == ["a", "c", "t"]


def test_deleted_child_is_not_in_the_group_any_more():
    shell = shell_of("a b c", strategy="one_for_all")
    shell.terminate_child("b")
    shell.delete_child("b")
    assert shell.exits("a") == ["stop c", "start a", "start c"]


# By hand, and in groups


def test_group_restart_starts_those_that_were_stopped_by_hand():
    shell = shell_of("a b:transient c d:temporary", strategy="one_for_all")
    shell.exits("b", Normal())
    shell.terminate_child("c")
    assert shell.exits("a") == ["stop d", "start a", "start b", "start c"]
    assert shell.running == ["a", "b", "c"]
    assert shell.free == ["d"]


def test_terminating_who_is_tried_again_gives_up_the_rest_of_its_group_and_frees_their_names():
    shell = shell_of("a b c d", strategy="rest_for_one", failing={"b": [2]})
    shell.exits("a", serve_notes=False)
    assert shell.free == []
    assert shell.terminate_child("b") == []
    assert shell.states == "a running, b stopped, c stopped, d stopped"
    assert sorted(shell.free) == ["b", "c", "d"]
    shell.serve_notes()
    assert shell.trace == []


def test_member_of_a_group_that_was_given_up_is_started_by_hand_or_with_the_next_group():
    shell = shell_of("a b c d", strategy="one_for_all", failing={"b": [2]})
    shell.exits("a", serve_notes=False)
    shell.terminate_child("b")
    assert shell.restart_child("c")
    assert shell.exits("a") == ["stop c", "start a", "start b", "start c", "start d"]
    assert shell.free == []


def test_terminating_who_is_tried_again_leaves_those_alone_that_run():
    shell = shell_of("a b c d", strategy="one_for_all", failing={"c": [2]})
    shell.exits("b", serve_notes=False)
    assert shell.machine.terminate("c") == [Dismiss("d"), Dismiss("c")]
    assert shell.running == ["a", "b"]


@pytest.mark.parametrize("is_dynamic", [True, False])
def test_terminating_who_is_tried_again_leaves_another_that_is_tried_again_alone(is_dynamic):
    shell = shell_of("a b", is_dynamic=is_dynamic, failing={"a": [2], "b": [2]})
    shell.exits("a", serve_notes=False)
    shell.exits("b", serve_notes=False)
    assert shell.machine.terminate("a") == [Dismiss("a")]
    shell.serve_notes()
    assert shell.running == ["b"]


def test_terminating_who_is_tried_again_frees_no_name_of_a_group_that_another_will_start():
    shell = shell_of("a b c d", strategy="rest_for_one", failing={"b": [2], "c": [3]})
    shell.exits("b", serve_notes=False)
    shell.restart_child("c")
    shell.exits("c", serve_notes=False)
    assert shell.states == "a running, b restarting, c restarting, d stopped"
    assert shell.machine.terminate("c") == [Dismiss("c")]
    assert shell.machine.terminate("b") == [Dismiss("d"), Dismiss("b")]


def test_stopped_member_of_a_waiting_group_can_be_started_by_hand_and_is_started_again_with_the_group():
    shell = shell_of("a b c", strategy="rest_for_one", failing={"b": [2]})
    shell.exits("b", serve_notes=False)
    assert shell.restart_child("c")
    shell.trace.clear()
    shell.serve_notes()
    assert shell.trace == ["stop c", "start b", "start c"]


def test_stopped_members_of_a_waiting_group_can_be_deleted_even_who_crashed():
    shell = shell_of("a b c", strategy="one_for_all", failing={"a": [2]})
    shell.exits("b", serve_notes=False)
    assert shell.states == "a restarting, b stopped, c stopped"
    shell.delete_child("b")
    assert shell.free == ["b"]
    shell.serve_notes()
    assert shell.states == "a running, c running"


# Dynamic


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
def test_dynamic_supervisor_forgets_who_is_terminated(restart):
    shell = shell_of(is_dynamic=True)
    shell.start_child(f"a:{restart}")
    assert shell.terminate_child("a") == ["stop a"]
    assert shell.states == ""
    assert shell.free == ["a"]


def test_dynamic_supervisor_forgets_a_transient_child_that_ends_cleanly():
    shell = shell_of("a:transient b", is_dynamic=True)
    shell.exits("a", Normal())
    assert shell.states == "b running"
    assert shell.free == ["a"]


def test_dynamic_supervisor_restarts_a_child_in_its_place():
    shell = shell_of("a b", is_dynamic=True)
    assert shell.exits("a") == ["start a"]
    assert shell.states == "a running, b running"


def test_dynamic_supervisor_drops_a_child_that_declines_to_be_restarted():
    shell = shell_of("a b", is_dynamic=True, ignoring={"a": [2]})
    assert shell.exits("a") == ["ignore a"]
    assert shell.states == "b running"
    assert shell.free == ["a"]


def test_dynamic_supervisor_forgets_a_restarting_child_that_is_terminated():
    shell = shell_of("a b", is_dynamic=True, failing={"a": [2]})
    shell.exits("a", serve_notes=False)
    assert shell.states == "a restarting, b running"
    shell.terminate_child("a")
    assert shell.states == "b running"
    assert len(shell.machine) == 1
    assert shell.machine.retry("a", 0.0) == []


def test_one_child_over_the_maximum_is_refused_and_there_is_room_again_when_one_has_gone():
    shell = shell_of(is_dynamic=True, max_children=2)
    shell.start_child("a")
    shell.start_child("b:temporary")
    with pytest.raises(TooManyChildren, match="there are 2 of max_children=2 already"):
        shell.start_child("c")
    assert shell.states == "a running, b running"
    shell.exits("b")
    assert shell.start_child("c")


def test_child_that_is_restarting_counts_for_the_maximum():
    shell = shell_of("a", is_dynamic=True, max_children=1, failing={"a": [2]})
    shell.exits("a", serve_notes=False)
    with pytest.raises(TooManyChildren):
        shell.start_child("b")


def test_child_that_did_not_start_does_not_count_for_the_maximum():
    shell = shell_of(is_dynamic=True, max_children=1, failing={"a": [1]}, ignoring={"b": [1]})
    assert not shell.start_child("a")
    assert not shell.start_child("b")
    assert shell.start_child("c")
