"""The decisions of a supervisor, under every history that hypothesis can think of.

A simulated shell carries the steps out: children end whenever they like, starts fail or are declined at random, notices
wait in one queue, back-offs in a list of timers, and somebody gives orders in between. What must hold is asserted where
a decision is made, where a step is carried out, and after each event.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cliffracer.actor.options import Backoff
from cliffracer.errors import NoChild
from cliffracer.exits import Crashed, Killed, Normal, Shutdown
from cliffracer.supervision.spec import Budget, ChildSpec, FunctionStart
from cliffracer.supervision.steps import Dismiss, End, StartChild, StopChild
from cliffracer.supervision.strategy import ChildState
from tests.properties.supervisor_model import MAX_SECONDS
from tests.properties.supervisor_shell import SimulatedShell

IDS = [f"c{number}" for number in range(6)]


async def work(): ...


def spec_of(id, restart="permanent", significant=False, backoff=None, budget=None):
    significant = significant and restart != "permanent"  # which cannot be
    start = FunctionStart(work)
    return ChildSpec(id=id, start=start, restart=restart, significant=significant, backoff=backoff, budget=budget)


# What happens


def child_ends(shell, who, reason, served, outcomes):
    if shell.alive:
        id = one_of(sorted(shell.alive), who)
        shell.queue.append(("exited", id, shell.alive.pop(id), reason))
    notices_are_served(shell, served, outcomes)


def time_passes(shell, seconds, served, outcomes):
    shell.let_time_pass(seconds)
    notices_are_served(shell, served, outcomes)


def notices_are_served(shell, number, outcomes):
    shell.outcomes.extend(outcomes)
    for _ in range(number):
        if shell.queue and shell.model.ended is None:
            shell.serve(*shell.queue.popleft())


def child_is_started(shell, who, outcome, *options):
    new = [id for id in IDS if id not in shell.model.specs]
    if new and shell.model.has_room:
        spec = spec_of(one_of(new, who), *options)
        assert shell.machine.admit(spec) == [StartChild(spec.id)]
        shell.model.is_admitted(spec)
        shell.starts[spec.id] = 0
        shell.start_by_hand(spec.id, outcome, shell.machine.withdraw)
        if outcome == "fail":
            shell.model.specs.pop(spec.id, None)


def child_is_terminated(shell, who):
    if not shell.model.specs:
        return
    id = one_of([*shell.model.waiting, *shell.model.specs], who)
    steps = shell.machine.terminate(id)
    stops = [StopChild(id)] if id in shell.model.known else []
    assert steps[: len(stops)] == stops
    *dismissed, last = [step.id for step in steps[len(stops) :]]
    assert last == id
    abandoned = shell.model.after_termination(id)
    assert abandoned - shell.model.free <= set(dismissed) <= abandoned | shell.model.free
    shell.carry_out(steps, [*stops, *map(Dismiss, dismissed), Dismiss(id)])


def stopped_child_is_restarted_by_hand(shell, who, outcome):
    if shell.model.stopped:
        id = one_of(shell.model.stopped, who)
        assert shell.machine.restart_by_hand(id) == [StartChild(id)]
        shell.start_by_hand(id, outcome, lambda failed: [Dismiss(failed)])


def stopped_child_is_deleted(shell, who):
    if shell.model.stopped:
        id = one_of(shell.model.stopped, who)
        shell.model.awaited.discard(id)
        del shell.model.specs[id]
        shell.carry_out(shell.machine.delete(id), [Dismiss(id)])


def orders_that_make_no_sense_are_refused(shell):
    for id in [*IDS, "nobody"]:
        not_stopped = shell.model.why_not_stopped(id)
        for order, argument, error in [
            (shell.machine.admit, spec_of(id), shell.model.why_not_admitted(id)),
            (shell.machine.terminate, id, None if id in shell.model.specs else NoChild),
            (shell.machine.restart_by_hand, id, not_stopped),
            (shell.machine.delete, id, not_stopped),
        ]:
            if error is not None:
                with pytest.raises(error):
                    order(argument)


def stale_notices_change_nothing(shell):
    for id in [*IDS, "nobody"]:
        last = shell.incarnations[id]
        for number in {last - 1, last} - {shell.model.known.get(id)}:
            assert shell.machine.exited(id, number, Killed(), shell.model.now) == []
        if id not in shell.model.waiting:
            assert shell.machine.retry(id, shell.model.now) == []


def supervisor_is_told_to_stop(shell, reason):
    shell.carry_out(shell.machine.stop(reason), [*shell.model.stops_of_all(), End(reason)])


def all_starts_succeed_from_now_on(shell):
    model = shell.model
    while model.ended is None and (shell.queue or shell.timers):
        shell.outcomes.clear()
        if shell.queue:
            shell.serve(*shell.queue.popleft())
        else:
            shell.let_time_pass(10.0)
    assert model.ended is not None or set(model.specs) <= {*model.known, *model.excused}, "some do not run in the end"


def one_of(several, who):
    return several[who % len(several)]


# What must hold


def check_that_no_child_is_unaccounted_for(shell):
    states, model = shell.machine.states(), shell.model
    assert {id for id, state in states.items() if state is ChildState.RUNNING} == set(model.known)
    assert {id for id, state in states.items() if state is ChildState.RESTARTING} == set(model.waiting)
    assert list(states) == list(model.specs), "they keep their order"
    assert len(shell.machine) == len(model.specs)


def check_that_only_static_supervisors_remember_who_is_down_and_only_if_it_is_not_temporary(shell):
    model = shell.model
    for id, spec in model.specs.items():
        assert id in model.known or spec.restart != "temporary"
        assert id in model.known or id in model.waiting or not model.is_dynamic


def check_that_who_is_down_comes_back_or_has_a_reason_not_to(shell):
    model = shell.model
    noted = {notice[1] for notice in shell.queue if notice[0] == "retry"} | set(shell.timers)
    assert set(model.waiting) <= noted, "will be tried again"
    assert not model.awaited & set(model.waiting)
    assert model.awaited <= set().union(*map(model.group_of, model.waiting)), "will be started with its group"
    assert set(model.specs) <= {*model.known, *model.waiting, *model.awaited, *model.excused}


def check_that_names_are_free_unless_somebody_runs_or_comes_back_by_himself(shell):
    model = shell.model
    assert model.names - {*model.known, *model.waiting, *model.awaited} <= model.free
    assert not model.free & set(model.known)


def check_that_there_are_not_too_many_children(shell):
    assert shell.model.max_children is None or len(shell.machine) <= shell.model.max_children


def check_that_there_were_not_too_many_restarts(shell):
    model = shell.model
    assert worst(model.stamps, MAX_SECONDS) <= model.limit
    for id, spec in model.specs.items():
        assert spec.budget is None or worst(model.spent[id], spec.budget.max_seconds) <= spec.budget.max_restarts


def check_that_nobody_is_left_behind(shell):
    assert shell.model.known == {}
    assert shell.alive == {}
    assert ChildState.RUNNING not in shell.machine.states().values()
    assert worst(shell.model.stamps, MAX_SECONDS) <= shell.model.limit + 1


def worst(stamps, seconds):
    return max((sum(last - seconds <= stamp <= last for stamp in stamps) for last in stamps), default=0)


CHECKS = [
    check_that_no_child_is_unaccounted_for,
    check_that_only_static_supervisors_remember_who_is_down_and_only_if_it_is_not_temporary,
    check_that_who_is_down_comes_back_or_has_a_reason_not_to,
    check_that_names_are_free_unless_somebody_runs_or_comes_back_by_himself,
    check_that_there_are_not_too_many_children,
    check_that_there_were_not_too_many_restarts,
]


# Histories

WHO = st.integers(0, 5)
REASONS = st.sampled_from([Normal(), Shutdown("drained"), Killed(), Crashed("KeyError", "1f0c")])
OUTCOME = st.sampled_from(["ok", "ok", "ok", "fail", "fail", "ignore"])
OUTCOMES = st.sampled_from([[], [], ["fail"], ["ok", "fail"], ["fail", "fail"], ["ok", "ok", "fail"], ["ok", "ignore"]])
SECONDS = st.sampled_from([1.0, 0.5, 2.0, 4.0, MAX_SECONDS])  # few, so that the edges of windows are met
SERVED = (st.sampled_from([1, 2, 4, 0]), OUTCOMES)
OPTIONS = (
    st.sampled_from(["permanent", "permanent", "transient", "transient", "temporary"]),
    st.sampled_from([False, True, True]),
    st.sampled_from([None, Backoff(0.5, 1.0, 2.0, 0.0), Backoff(1.0, 4.0, 3.0, 0.5)]),
)
BUDGETS = st.none() | st.builds(Budget, st.sampled_from([0, 1, 1, 3]), st.just(3.0))
LIMITS = st.sampled_from([1000, 1000, 1000, 1000, 1000, 4, 2, 1, 0])
AUTOMATIC = st.sampled_from(["never", "never", "any_significant", "all_significant", "all_significant"])


def ends():
    return st.tuples(st.just(child_ends), WHO, REASONS, *SERVED)


def starts(budgets):
    return st.tuples(st.just(child_is_started), WHO, OUTCOME, *OPTIONS, budgets)


EVENTS = [
    st.just((stale_notices_change_nothing,)),
    st.just((orders_that_make_no_sense_are_refused,)),
    st.tuples(st.just(time_passes), SECONDS, *SERVED),
    st.tuples(st.just(child_is_terminated), WHO),
    *[ends(), ends(), ends()],
]
STATIC_EVENTS = st.one_of(
    *EVENTS,
    starts(st.none()),
    st.tuples(st.just(stopped_child_is_restarted_by_hand), WHO, OUTCOME),
    st.tuples(st.just(stopped_child_is_deleted), WHO),
)
DYNAMIC_EVENTS = st.one_of(*EVENTS, starts(BUDGETS), starts(BUDGETS), starts(st.none()))
LAST = st.just((all_starts_succeed_from_now_on,)) | st.tuples(st.just(supervisor_is_told_to_stop), REASONS)


def histories(events):
    several = st.sampled_from([5, 10, 20, 40]).flatmap(
        lambda number: st.lists(events, min_size=number, max_size=number)
    )
    return st.builds(lambda first, last: [*first, last], several, LAST)


def play(history, *supervisor, **options):
    shell = None
    for event, *arguments in history:
        if shell is None or shell.model.ended is not None:  # then the next incarnation goes on
            shell = SimulatedShell(*supervisor, **options)
            shell.start()
        if shell.model.ended is None:
            event(shell, *arguments)
        for check in CHECKS if shell.model.ended is None else [check_that_nobody_is_left_behind]:
            check(shell)


@settings(max_examples=800)
@given(
    strategy=st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"]),
    children=st.lists(st.tuples(*OPTIONS), min_size=2, max_size=5),
    limit=LIMITS,
    auto_shutdown=AUTOMATIC,
    first_outcomes=st.sampled_from([[], [], [], ["ignore"], ["ok", "ignore"], ["ok", "ok", "fail"]]),
    history=histories(STATIC_EVENTS),
)
def test_whatever_happens_no_child_is_lost_doubled_or_out_of_order(
    strategy, children, limit, auto_shutdown, first_outcomes, history
):
    specs = [spec_of(id, *options) for id, options in zip(IDS, children, strict=False)]
    options = {"auto_shutdown": auto_shutdown, "is_dynamic": False, "max_children": None}
    play(history, strategy, specs, limit, first_outcomes, **options)


@settings(max_examples=800)
@given(limit=LIMITS, maximum=st.none() | st.integers(1, 4), auto_shutdown=AUTOMATIC, history=histories(DYNAMIC_EVENTS))
def test_whatever_happens_the_same_holds_for_children_that_come_and_go(limit, maximum, auto_shutdown, history):
    options = {"auto_shutdown": auto_shutdown, "is_dynamic": True, "max_children": maximum}
    play(history, "one_for_one", [], limit, [], **options)
