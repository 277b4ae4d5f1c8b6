"""Children that come and go: OTP's simple_one_for_one, with a spec of its own for each."""

import anyio
import pytest

from cliffracer import (
    Actor,
    AlreadyPresent,
    AlreadyStarted,
    Backoff,
    Budget,
    ChildCounts,
    ChildIgnored,
    ChildInfo,
    ChildNotStarted,
    ChildRef,
    DynamicSupervisor,
    Killed,
    NoActor,
    NoChild,
    Supervisor,
    SupervisorRef,
    TooManyChildren,
    call,
    cast,
    child,
)
from tests.supervision.workers import Journal, Worker, crash, events, states, worker

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]

SLOW = Backoff(initial=100.0, maximum=100.0, jitter=0.0)


async def serve(seconds: float = 1000.0) -> None:
    await anyio.sleep(seconds)


def made_tree(*children) -> Supervisor:
    return Supervisor("made", *children)


def some_of(node) -> SupervisorRef:
    return node.ref(SupervisorRef, "root/some")


# Children


async def test_supervisor_starts_without_children_and_each_comes_with_its_own_arguments(run_node):
    journal: Journal = []
    other: Journal = []
    async with run_node(DynamicSupervisor("some")) as node:
        assert await states(some_of(node)) == ""
        a = await some_of(node).start_child(worker("a", journal))
        b = await some_of(node).start_child(worker("b", other))
        assert (await a.which(), await b.which()) == (1, 1)
        assert await states(some_of(node)) == "b running, a running"
    assert (journal, other) == (["start a", "stop a"], ["start b", "stop b"])


async def test_crashed_child_is_restarted_with_its_own_arguments_and_the_others_do_not_notice(run_node):
    journal: Journal = []
    other: Journal = []
    async with run_node(DynamicSupervisor("some")) as node:
        await some_of(node).start_child(worker("a", journal))
        await some_of(node).start_child(worker("b", other))
        await crash(node, "a")
        assert await node.ref(Worker, "a").which() == 2
    assert journal == ["start a", "stop a", "start a", "stop a"]
    assert other == ["start b", "stop b"]


async def test_children_are_rows_that_say_what_they_are(run_node):
    async with run_node(DynamicSupervisor("some")) as node:
        await some_of(node).start_child(worker("a", [], backoff=SLOW))
        await some_of(node).start_child(Supervisor("inner"))
        await crash(node, "a")
        assert await some_of(node).which_children() == [
            ChildInfo(id="inner", state="running", kind="supervisor", incarnation=1),
            ChildInfo(id="a", state="restarting", kind="worker", incarnation=1),
        ]
        assert (await some_of(node).get_spec("a")).backoff == SLOW
        with pytest.raises(NoChild, match="there is no child 'b'; there is a, inner"):
            await some_of(node).get_spec("b")


async def test_all_children_count_as_one_spec_and_only_those_that_run_as_active(run_node):
    async with run_node(DynamicSupervisor("some")) as node:
        assert await some_of(node).count_children() == ChildCounts(specs=1, active=0, supervisors=0, workers=0)
        await some_of(node).start_child(worker("a", []))
        await some_of(node).start_child(worker("b", [], backoff=SLOW))
        await some_of(node).start_child(Supervisor("inner"))
        await crash(node, "b")
        assert await some_of(node).count_children() == ChildCounts(specs=1, active=2, supervisors=1, workers=2)


async def test_terminating_a_restarting_child_leaves_the_count_of_the_active_ones_right(run_node):
    async with run_node(DynamicSupervisor("some")) as node:
        await some_of(node).start_child(worker("a", []))
        await some_of(node).start_child(worker("b", [], backoff=SLOW))
        await crash(node, "b")
        await some_of(node).terminate_child("b")
        assert await some_of(node).count_children() == ChildCounts(specs=1, active=1, supervisors=0, workers=1)


async def test_terminated_child_is_known_no_more(run_node):
    async with run_node(DynamicSupervisor("some")) as node:
        await some_of(node).start_child(worker("a", []))
        await some_of(node).terminate_child("a")
        with pytest.raises(NoActor):
            await node.ref(Worker, "a").which()
        with pytest.raises(NoChild, match="there is no child 'a'; there is none at all"):
            await some_of(node).terminate_child("a")
        assert await (await some_of(node).start_child(worker("a", []))).which() == 1


async def test_child_of_another_supervisor_is_not_touched(run_node):
    async with run_node(DynamicSupervisor("some"), DynamicSupervisor("other")) as node:
        await node.ref(SupervisorRef, "other").start_child(worker("a", []))
        with pytest.raises(NoChild):
            await some_of(node).terminate_child("a")
        assert await node.ref(Worker, "a").which() == 1


# Ids and names


async def test_functions_and_supervisors_of_the_same_id_get_ids_of_their_own(run_node):
    async with run_node(DynamicSupervisor("some")) as node:
        refs = [await some_of(node).start_child(child(serve)) for _ in range(3)]
        refs += [await some_of(node).start_child(Supervisor("inner")) for _ in range(2)]
        ids = [info.id for info in reversed(await some_of(node).which_children())]
        assert refs == [ChildRef(f"root/some/{id}") for id in ids]
        assert len(set(ids)) == 5
        assert [id.partition("-")[0] for id in ids] == ["serve", "serve", "serve", "inner", "inner"]
        await some_of(node).terminate_child(ids[1])
        assert len(await some_of(node).which_children()) == 4


async def test_long_id_stays_an_id_when_it_is_made_unique(run_node):
    async with run_node(DynamicSupervisor("some")) as node:
        for _ in range(3):
            await some_of(node).start_child(child(serve).replace(id="x" * 64))
        ids = [info.id for info in await some_of(node).which_children()]
        assert len(set(ids)) == 3
        assert all(len(id) <= 64 for id in ids)


async def test_actor_goes_by_its_name_and_two_of_one_name_are_refused(run_node):
    async with run_node(DynamicSupervisor("some")) as node:
        await some_of(node).start_child(worker("a", [], id="first"))
        assert await states(some_of(node)) == "a running"
        with pytest.raises(AlreadyStarted, match="a child 'a' runs already"):
            await some_of(node).start_child(worker("a", [], id="second"))
        assert await states(some_of(node)) == "a running"


async def test_actor_whose_name_waits_for_its_restart_is_refused_and_what_to_do_can_be_done(run_node):
    async with run_node(DynamicSupervisor("some")) as node:
        await some_of(node).start_child(worker("a", [], backoff=SLOW))
        await crash(node, "a")
        with pytest.raises(AlreadyPresent, match="'a' is known already, and restarting") as caught:
            await some_of(node).start_child(worker("a", []))
        # A dynamic supervisor takes neither of these orders.
        assert "restart_child" not in str(caught.value)
        assert "delete_child" not in str(caught.value)
        assert "terminate_child" in str(caught.value)


# How many


async def test_no_more_than_max_children_are_started(run_node):
    async with run_node(DynamicSupervisor("some", max_children=2)) as node:
        for name in "ab":
            await some_of(node).start_child(worker(name, []))
        with pytest.raises(TooManyChildren, match="there are 2 of max_children=2 already"):
            await some_of(node).start_child(worker("c", []))
        await some_of(node).terminate_child("a")
        await some_of(node).start_child(worker("c", []))
        assert await states(some_of(node)) == "c running, b running"


async def test_children_that_wait_for_a_restart_count_for_max_children(run_node):
    async with run_node(DynamicSupervisor("some", max_children=2)) as node:
        await some_of(node).start_child(worker("a", [], backoff=SLOW))
        await some_of(node).start_child(worker("b", []))
        await crash(node, "a")
        with pytest.raises(TooManyChildren):
            await some_of(node).start_child(worker("c", []))
        await some_of(node).terminate_child("a")
        await some_of(node).start_child(worker("c", []))


@pytest.mark.parametrize("outcome", ["failing", "declining"])
async def test_start_that_comes_to_nothing_does_not_count_for_max_children(run_node, outcome):
    async with run_node(DynamicSupervisor("some", max_children=1)) as node:
        for _ in range(3):
            with pytest.raises((ChildNotStarted, ChildIgnored)):
                await some_of(node).start_child(worker("a", [], **{outcome: [1]}))
        assert await states(some_of(node)) == ""
        await some_of(node).start_child(worker("a", []))


async def test_child_that_declines_to_start_is_not_stored_whatever_its_restart_is(run_node):
    async with run_node(DynamicSupervisor("some")) as node:
        for restart in ("permanent", "transient", "temporary"):
            with pytest.raises(ChildIgnored):
                await some_of(node).start_child(worker("a", [], declining=[1], restart=restart))
            assert await some_of(node).count_children() == ChildCounts(specs=1, active=0, supervisors=0, workers=0)


# Restarts


async def test_restart_that_is_declined_drops_the_child(run_node):
    async with run_node(DynamicSupervisor("some")) as node:
        await some_of(node).start_child(worker("a", [], declining=[2]))
        await crash(node, "a")
        await anyio.sleep(10.0)
        assert await some_of(node).count_children() == ChildCounts(specs=1, active=0, supervisors=0, workers=0)
        with pytest.raises(NoActor):
            await node.ref(Worker, "a").which()


async def test_restart_that_fails_is_tried_again_and_counts_each_time(run_node, lines):
    async with run_node(DynamicSupervisor("some", max_restarts=3)) as node:
        await some_of(node).start_child(worker("a", [], failing=[2, 3]))
        await crash(node, "a")
        assert await node.ref(Worker, "a").which() == 4
    assert [line["restarts"] for line in events(lines, "child_restarting")] == [1, 2, 3]


async def test_children_share_one_window_and_one_restart_too_many_stops_all(run_node, lines):
    journal: Journal = []
    async with run_node(DynamicSupervisor("some", max_restarts=2)) as node:
        for name in "abc":
            await some_of(node).start_child(worker(name, journal))
        await crash(node, *"abc")
        assert await states(some_of(node)) == ""
        for name in "abc":
            with pytest.raises(NoActor):
                await node.ref(Worker, name).which()
    (gave_up,) = events(lines, "supervisor_gave_up")
    assert (gave_up["supervisor"], gave_up["child"]) == ("root/some", "c")
    assert sorted(journal[-3:]) == ["stop a", "stop b", "stop c"]


# A budget of its own


async def test_child_with_a_budget_is_given_up_alone_and_the_supervisor_lives_on(run_node, lines):
    budget = Budget(max_restarts=2, max_seconds=60.0)
    async with run_node(DynamicSupervisor("some", max_restarts=0)) as node:
        await some_of(node).start_child(worker("a", [], budget=budget))
        await some_of(node).start_child(worker("b", []))
        await crash(node, *"aaa")
        assert await states(some_of(node)) == "b running"
        with pytest.raises(NoActor):
            await node.ref(Worker, "a").which()
        (given_up,) = events(lines, "child_given_up")
        assert (given_up["supervisor"], given_up["child"], given_up["incarnation"]) == ("root/some", "a", 3)
        assert (given_up["max_restarts"], given_up["max_seconds"], given_up["level"]) == (2, 60.0, "error")
        assert given_up["incident"] in given_up["reason"]
        assert not events(lines, "supervisor_gave_up")
        assert [line["budget_left"] for line in events(lines, "child_restarting")] == [1, 0]


async def test_restarts_of_children_without_a_budget_count_all_the_same(run_node, lines):
    async with run_node(DynamicSupervisor("some", max_restarts=1)) as node:
        await some_of(node).start_child(worker("a", [], budget=Budget(max_restarts=10, max_seconds=60.0)))
        await some_of(node).start_child(worker("b", []))
        await crash(node, *"aabaa")
        assert not events(lines, "supervisor_gave_up")
        await crash(node, "b")
        assert [line["child"] for line in events(lines, "supervisor_gave_up")] == ["b"]


async def test_start_that_fails_over_and_over_uses_up_the_budget(run_node, lines):
    async with run_node(DynamicSupervisor("some", max_restarts=0)) as node:
        budget = Budget(max_restarts=3, max_seconds=60.0)
        await some_of(node).start_child(worker("a", [], failing=range(2, 100), budget=budget))
        await crash(node, "a")
        assert await states(some_of(node)) == ""
        assert [line["attempt"] for line in events(lines, "child_given_up")] == [3]


async def test_budget_is_a_window_that_slides(run_node, lines):
    async with run_node(DynamicSupervisor("some", max_restarts=0)) as node:
        await some_of(node).start_child(worker("a", [], budget=Budget(max_restarts=1, max_seconds=5.0)))
        for _ in range(5):
            await crash(node, "a")
            await anyio.sleep(5.01)
        assert await node.ref(Worker, "a").which() == 6


# Significant children


@pytest.mark.parametrize(("automatic", "left"), [("any_significant", ""), ("all_significant", "c running, b running")])
async def test_end_of_a_significant_child_ends_a_dynamic_supervisor_too(run_node, lines, automatic, left):
    some = child(DynamicSupervisor("some", auto_shutdown=automatic)).replace(restart="transient")
    async with run_node(Supervisor("keep", worker("x", [])), some) as node:
        for name in "ab":
            await some_of(node).start_child(worker(name, [], restart="transient", significant=True))
        await some_of(node).start_child(worker("c", []))
        await node.ref(Worker, "a").finish()
        await anyio.wait_all_tasks_blocked()
        if left:
            assert await states(some_of(node)) == left
            await node.ref(Worker, "b").finish()
            await anyio.wait_all_tasks_blocked()
        assert await states(node.ref(SupervisorRef, "root")) == "some stopped, keep running"
        with pytest.raises(NoActor):
            await node.ref(Worker, "c").which()
    assert len(events(lines, "supervisor_shut_down_by_itself")) == 1


# Supervisors as children


async def test_supervisor_can_be_a_child_and_its_children_are_found_below_it(run_node):
    journal: Journal = []
    async with run_node(DynamicSupervisor("some")) as node:
        ref = await some_of(node).start_child(Supervisor("inner", worker("x", journal), worker("y", journal)))
        inner = node.ref(SupervisorRef, ref.path)
        assert await states(inner) == "y running, x running"
        await crash(node, "x")
        assert await states(inner) == "y running, x running"
        await node.stop(ref)
        await anyio.wait_all_tasks_blocked()
        assert await states(inner) == "y running, x running"
    assert journal[:4] == ["start x", "start y", "stop x", "start x"]


async def test_function_that_makes_a_supervisor_is_called_anew_for_each_start(run_node):
    made: list[str] = []

    def factory(prefix: str) -> Supervisor:
        made.append(f"{prefix}{len(made) + 1}")
        return Supervisor("any", worker(made[-1], []), max_restarts=0)

    async with run_node(DynamicSupervisor("some")) as node:
        ref = await some_of(node).start_child(child(factory, "w"))
        assert ref == ChildRef("root/some/factory")
        await crash(node, "w1")
        assert await node.ref(Worker, "w2").which() == 1
        with pytest.raises(NoActor):
            await node.ref(Worker, "w1").which()
        assert await states(node.ref(SupervisorRef, "factory")) == "w2 running"
    assert made == ["w1", "w2"]


async def test_name_that_a_made_supervisor_has_no_more_is_free_while_the_next_one_runs(run_node):
    names = iter("ab")

    def factory() -> Supervisor:
        return Supervisor("any", worker(next(names), []))

    async with run_node(DynamicSupervisor("some")) as node:
        ref = await some_of(node).start_child(child(factory))
        await node.stop(ref, Killed())
        await anyio.wait_all_tasks_blocked()
        assert await node.ref(Worker, "b").which() == 1
        assert await (await some_of(node).start_child(worker("a", []))).which() == 1


class Manager(Actor):
    """Starts its own helpers."""

    @call
    async def add(self, name: str) -> int:
        helper = await self.ref(SupervisorRef, "some").start_child(worker(name, []))
        return await helper.which()

    @call
    async def drop(self, name: str) -> None:
        await self.ref(SupervisorRef, "some").terminate_child(name)


async def test_actor_can_start_and_terminate_helpers(run_node):
    async with run_node(DynamicSupervisor("some"), child(Manager)) as node:
        assert await node.ref(Manager).add("a") == 1
        await node.ref(Manager).drop("a")
        assert await states(some_of(node)) == ""


class Named(Actor):
    def __init__(self, tag: str) -> None:
        self.tag = tag

    @call
    async def who(self) -> str:
        return self.tag

    @cast
    async def note(self, heard: list[str]) -> None:
        heard.append(self.tag)


async def test_ref_that_was_used_finds_whoever_has_the_name_now(run_node):
    heard: list[str] = []
    async with run_node(DynamicSupervisor("first"), DynamicSupervisor("second")) as node:
        ref = node.ref(Named, "x")
        for supervisor, tag in (("first", "old"), ("second", "new"), ("first", "again")):
            of = node.ref(SupervisorRef, supervisor)
            await of.start_child(child(Named, tag).replace(name="x"))
            assert await ref.who() == tag
            await ref.note(heard)
            assert await ref.who() == tag
            await of.terminate_child("x")
            with pytest.raises(NoActor):
                await ref.who()
    assert heard == ["old", "new", "again"]
