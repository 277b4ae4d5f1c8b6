"""What can be asked of a static supervisor while it runs: children come, go, and come back."""

import anyio
import pytest

from cliffracer import (
    Actor,
    AlreadyPresent,
    AlreadyStarted,
    Backoff,
    ChildCounts,
    ChildIgnored,
    ChildNotStarted,
    ChildRef,
    ChildRestarting,
    ChildRunning,
    Crashed,
    NoActor,
    NoChild,
    NotStarted,
    Supervisor,
    SupervisorRef,
    child,
)
from tests.supervision.workers import Journal, Worker, crash, events, states, worker

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]

SLOW = Backoff(initial=100.0, maximum=100.0, jitter=0.0)


async def serve() -> None:
    await anyio.sleep_forever()


def root_of(node) -> SupervisorRef:
    return node.ref(SupervisorRef, "root")


# start_child


async def test_new_child_is_the_last_in_order_and_its_ref_works_at_once(run_node):
    journal: Journal = []
    async with run_node(worker("a", journal)) as node:
        ref = await root_of(node).start_child(worker("b", journal))
        assert await ref.which() == 1
        assert await states(root_of(node)) == "b running, a running"
    assert journal == ["start a", "start b", "stop b", "stop a"]


@pytest.mark.parametrize(
    ("spec", "id"), [(child(serve), "serve"), (child(Supervisor("inner")), "inner"), (Supervisor("bare"), "bare")]
)
async def test_ref_to_a_new_child_that_is_no_actor_says_where_it_is(run_node, spec, id):
    async with run_node(Supervisor("shop")) as node:
        assert await node.ref(SupervisorRef, "shop").start_child(spec) == ChildRef(f"root/shop/{id}")


async def test_new_child_of_an_id_that_runs_is_refused_and_the_one_that_runs_stays(run_node):
    journal: Journal = []
    async with run_node(worker("a", journal)) as node:
        with pytest.raises(AlreadyStarted, match="a child 'a' runs already"):
            await root_of(node).start_child(worker("a2", journal, id="a"))
        assert await node.ref(Worker, "a").which() == 1
    assert journal == ["start a", "stop a"]


async def test_new_child_of_an_id_that_is_stopped_is_refused(run_node):
    async with run_node(worker("a", [])) as node:
        await root_of(node).terminate_child("a")
        with pytest.raises(AlreadyPresent, match="'a' is known already, and stopped; start that with restart_child"):
            await root_of(node).start_child(worker("a", []))


async def test_new_child_of_an_id_that_is_restarting_is_refused(run_node):
    async with run_node(worker("a", [], backoff=SLOW)) as node:
        await crash(node, "a")
        with pytest.raises(AlreadyPresent, match="'a' is known already, and restarting"):
            await root_of(node).start_child(worker("a", []))


async def test_new_child_that_does_not_start_is_forgotten_and_the_reason_is_told(run_node, lines):
    journal: Journal = []
    async with run_node(worker("a", journal)) as node:
        with pytest.raises(ChildNotStarted, match="'root/b' did not start: crashed: RuntimeError: not today") as caught:
            await root_of(node).start_child(worker("b", journal, failing=[1]))
        assert isinstance(caught.value.reason, Crashed)
        assert await states(root_of(node)) == "a running"
        assert not events(lines, "child_restarting")
        (await root_of(node).start_child(worker("b", journal)))
    assert journal == ["start a", "fail b", "start b", "stop b", "stop a"]


async def test_new_supervisor_whose_child_does_not_start_says_which_one_that_was(run_node):
    async with run_node() as node:
        with pytest.raises(ChildNotStarted) as caught:
            await root_of(node).start_child(Supervisor("inner", worker("x", []), worker("y", [], failing=[1])))
        assert isinstance(caught.value.reason, NotStarted)
        assert caught.value.reason.child == "y"
        (await root_of(node).start_child(worker("x", [])))


async def test_starts_by_hand_that_fail_do_not_count_for_the_intensity(run_node):
    async with run_node(worker("a", []), max_restarts=0) as node:
        for _ in range(50):
            with pytest.raises(ChildNotStarted):
                await root_of(node).start_child(worker("b", [], failing=[1]))
        assert await node.ref(Worker, "a").which() == 1


async def test_new_child_with_the_name_of_an_actor_elsewhere_in_the_tree_is_refused(run_node, lines):
    journal: Journal = []
    async with run_node(Supervisor("shop", worker("a", journal)), Supervisor("office")) as node:
        office = node.ref(SupervisorRef, "office")
        for spec in (worker("a", journal), child(Supervisor("inner", Supervisor("deep", worker("a", journal))))):
            with pytest.raises(
                AlreadyStarted, match="an actor 'a' runs already, at 'root/shop/a'; give this one another"
            ):
                await office.start_child(spec)
        assert await states(office) == ""
        assert await node.ref(Worker, "a").which() == 1
    assert journal == ["start a", "stop a"]
    assert not events(lines, "child_crashed")


async def test_new_child_that_declines_to_start_is_kept_and_can_be_started_later(run_node):
    journal: Journal = []
    async with run_node() as node:
        with pytest.raises(ChildIgnored, match="'root/a' declined to start: shutdown: no need"):
            await root_of(node).start_child(worker("a", journal, declining=[1]))
        assert await states(root_of(node)) == "a stopped"
        with pytest.raises(NoActor):
            await node.ref(Worker, "a").which()
        await root_of(node).restart_child("a")
        assert await node.ref(Worker, "a").which() == 2


async def test_new_temporary_child_that_declines_to_start_is_forgotten(run_node):
    async with run_node() as node:
        with pytest.raises(ChildIgnored):
            await root_of(node).start_child(worker("a", [], declining=[1], restart="temporary"))
        assert await states(root_of(node)) == ""


# terminate_child


async def test_terminated_child_is_gone_and_its_spec_is_kept_in_its_place(run_node):
    journal: Journal = []
    async with run_node(*(worker(name, journal) for name in "abc")) as node:
        await root_of(node).terminate_child("b")
        assert journal[3:] == ["stop b"]
        assert await states(root_of(node)) == "c running, b stopped, a running"
        with pytest.raises(NoActor):
            await node.ref(Worker, "b").which()


async def test_terminating_a_child_twice_is_no_error(run_node):
    journal: Journal = []
    async with run_node(worker("a", journal)) as node:
        await root_of(node).terminate_child("a")
        await root_of(node).terminate_child("a")
    assert journal == ["start a", "stop a"]


@pytest.mark.parametrize("order", ["terminate_child", "restart_child", "delete_child", "get_spec"])
async def test_order_about_a_child_that_nobody_knows_says_who_there_is(run_node, order):
    async with run_node(worker("a", []), worker("b", [])) as node:
        with pytest.raises(NoChild, match="there is no child 'x'; there is a, b"):
            await getattr(root_of(node), order)("x")


async def test_terminating_waits_until_the_child_is_gone(run_node):
    async with run_node(worker("a", [], takes=3.0)) as node:
        begin = anyio.current_time()
        await root_of(node).terminate_child("a")
        assert anyio.current_time() - begin == pytest.approx(3.0)


async def test_terminating_honours_the_time_of_the_child(run_node, lines):
    async with run_node(worker("a", [], takes=100.0, shutdown=2.0)) as node:
        begin = anyio.current_time()
        await root_of(node).terminate_child("a")
        assert anyio.current_time() - begin == pytest.approx(2.0)
    assert [line["reason"] for line in events(lines, "child_stopped_badly")] == ["killed"]


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
async def test_terminating_a_child_is_nothing_to_its_siblings_and_is_no_restart(run_node, lines, strategy):
    journal: Journal = []
    async with run_node(*(worker(name, journal) for name in "abc"), strategy=strategy, max_restarts=0) as node:
        await root_of(node).terminate_child("b")
        await anyio.sleep(10.0)
        assert journal[3:] == ["stop b"]
    assert not events(lines, "child_restarting")


@pytest.mark.parametrize("automatic", ["any_significant", "all_significant"])
async def test_terminating_a_significant_child_does_not_end_the_supervisor(run_node, automatic):
    spec = worker("a", [], restart="transient", significant=True)
    async with run_node(spec, worker("b", []), auto_shutdown=automatic) as node:
        await root_of(node).terminate_child("a")
        await anyio.sleep(10.0)
        assert await states(root_of(node)) == "b running, a stopped"


async def test_terminated_temporary_child_is_forgotten(run_node):
    async with run_node(worker("a", []), worker("t", [], restart="temporary")) as node:
        await root_of(node).terminate_child("t")
        assert await states(root_of(node)) == "a running"


async def test_terminating_cancels_a_restart_that_is_to_come(run_node):
    journal: Journal = []
    async with run_node(worker("a", journal, backoff=SLOW)) as node:
        await crash(node, "a")
        assert await states(root_of(node)) == "a restarting"
        await root_of(node).terminate_child("a")
        assert await states(root_of(node)) == "a stopped"
        await anyio.sleep(1000.0)
        assert journal == ["start a", "stop a"]
        with pytest.raises(NoActor):
            await node.ref(Worker, "a").which()


async def test_call_that_waits_for_a_restart_is_answered_when_that_is_cancelled(run_node):
    answers: list[str] = []

    async def ask(node) -> None:
        with anyio.fail_after(1000.0):
            try:
                await node.ref(Worker, "a").which()
            except Exception as error:
                answers.append(type(error).__name__)

    async with run_node(worker("a", [], backoff=SLOW)) as node, anyio.create_task_group() as tasks:
        await crash(node, "a")
        tasks.start_soon(ask, node)
        await anyio.sleep(1.0)
        await root_of(node).terminate_child("a")
        await anyio.sleep(1.0)
        assert answers == ["Stopping"]


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
async def test_cancelling_a_restart_gives_up_the_rest_of_its_group(run_node, strategy):
    journal: Journal = []
    children = (worker("a", journal), worker("b", journal, backoff=SLOW), worker("c", journal))
    async with run_node(*children, strategy=strategy) as node:
        await crash(node, "b")
        await root_of(node).terminate_child("b")
        await anyio.sleep(1000.0)
        first = "running" if strategy == "rest_for_one" else "stopped"
        assert await states(root_of(node)) == f"c stopped, b stopped, a {first}"
        with pytest.raises(NoActor):
            await node.ref(Worker, "c").which()
        await root_of(node).restart_child("c")
        assert await node.ref(Worker, "c").which() == 2


async def test_members_of_a_group_that_waits_for_a_retry_are_plain_stopped_and_can_be_deleted(run_node):
    journal: Journal = []
    children = (worker("a", journal), worker("b", journal, failing=range(2, 1000), backoff=SLOW), worker("c", journal))
    async with run_node(*children, strategy="one_for_all") as node:
        await crash(node, "c")  # and then the start of b fails
        assert await states(root_of(node)) == "c stopped, b restarting, a running"
        assert await root_of(node).count_children() == ChildCounts(specs=3, active=1, supervisors=0, workers=3)
        await root_of(node).delete_child("c")
        assert await states(root_of(node)) == "b restarting, a running"


# restart_child


async def test_restarted_child_keeps_its_place_and_messages_reach_it_again(run_node):
    journal: Journal = []
    async with run_node(*(worker(name, journal) for name in "abc")) as node:
        await root_of(node).terminate_child("b")
        await root_of(node).restart_child("b")
        assert await node.ref(Worker, "b").which() == 2
        assert await states(root_of(node)) == "c running, b running, a running"


async def test_only_a_stopped_child_can_be_restarted_or_deleted(run_node):
    async with run_node(worker("a", []), worker("b", [], backoff=SLOW)) as node:
        await crash(node, "b")
        for order in ("restart_child", "delete_child"):
            with pytest.raises(ChildRunning, match=rf"{order}\('a'\): it runs. Stop it with terminate_child first"):
                await getattr(root_of(node), order)("a")
            with pytest.raises(ChildRestarting, match=rf"{order}\('b'\): it is restarting. Stop that with terminate"):
                await getattr(root_of(node), order)("b")


async def test_restart_by_hand_that_fails_leaves_the_child_stopped_and_is_not_tried_again(run_node, lines):
    journal: Journal = []
    async with run_node(worker("a", journal, failing=[2]), worker("b", journal), max_restarts=0) as node:
        await root_of(node).terminate_child("a")
        with pytest.raises(ChildNotStarted, match="'root/a' did not start"):
            await root_of(node).restart_child("a")
        await anyio.sleep(10.0)
        assert await states(root_of(node)) == "b running, a stopped"
        with pytest.raises(NoActor):
            await node.ref(Worker, "a").which()
        await root_of(node).restart_child("a")
        assert await node.ref(Worker, "a").which() == 3
    assert not events(lines, "child_restarting")


async def test_restart_by_hand_that_is_declined_leaves_the_child_stopped(run_node):
    async with run_node(worker("a", [], declining=[2])) as node:
        await root_of(node).terminate_child("a")
        with pytest.raises(ChildIgnored):
            await root_of(node).restart_child("a")
        assert await states(root_of(node)) == "a stopped"


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
async def test_restart_by_hand_starts_that_child_and_no_other(run_node, strategy):
    journal: Journal = []
    async with run_node(*(worker(name, journal) for name in "abc"), strategy=strategy) as node:
        for name in "cb":
            await root_of(node).terminate_child(name)
        await root_of(node).restart_child("b")
        assert journal[3:] == ["stop c", "stop b", "start b"]


async def test_child_stopped_by_hand_is_started_again_by_the_next_group_restart(run_node):
    journal: Journal = []
    async with run_node(*(worker(name, journal) for name in "abc"), strategy="one_for_all") as node:
        await root_of(node).terminate_child("b")
        await crash(node, "c")
        assert journal[4:] == ["stop c", "stop a", "start a", "start b", "start c"]


# delete_child


async def test_deleted_child_is_known_no_more_and_comes_back_as_the_last(run_node):
    journal: Journal = []
    async with run_node(*(worker(name, journal) for name in "abc")) as node:
        await root_of(node).terminate_child("a")
        await root_of(node).delete_child("a")
        assert await states(root_of(node)) == "c running, b running"
        with pytest.raises(NoChild):
            await root_of(node).restart_child("a")
        ref = await root_of(node).start_child(worker("a", journal))
        assert await ref.which() == 1
        assert await states(root_of(node)) == "a running, c running, b running"


async def test_temporary_child_that_comes_back_is_the_last_and_a_restarted_one_keeps_its_place(run_node):
    children = (worker("a", []), worker("t", [], restart="temporary"), worker("c", []))
    async with run_node(*children) as node:
        root = root_of(node)
        await root.terminate_child("t")
        await root.start_child(worker("t", [], restart="temporary"))
        await root.terminate_child("a")
        await root.restart_child("a")
        assert [info.id for info in await root.which_children()] == ["t", "c", "a"]


async def test_deleting_the_spec_of_a_supervisor_frees_all_names_below_it(run_node):
    async with run_node(Supervisor("shop", Supervisor("inner", worker("x", []))), Supervisor("office")) as node:
        await node.ref(SupervisorRef, "shop").terminate_child("inner")
        await node.ref(SupervisorRef, "shop").delete_child("inner")
        assert await (await node.ref(SupervisorRef, "office").start_child(worker("x", []))).which() == 1


async def test_name_of_a_terminated_child_is_free_for_another_one_meanwhile(run_node):
    async with run_node(Supervisor("shop", worker("a", [])), Supervisor("office")) as node:
        shop, office = node.ref(SupervisorRef, "shop"), node.ref(SupervisorRef, "office")
        await shop.terminate_child("a")
        await office.start_child(worker("a", []))
        with pytest.raises((AlreadyStarted, ChildNotStarted), match="an actor 'a' runs already, at 'root/office/a'"):
            await shop.restart_child("a")
        assert await states(shop) == "a stopped"
        await office.terminate_child("a")
        await shop.restart_child("a")
        assert await node.ref(Worker, "a").which() > 1


async def test_actor_of_another_class_can_take_over_a_name_that_is_free(run_node):
    class Other(Actor, name="a"):
        pass

    async with run_node(worker("a", [])) as node:
        await root_of(node).terminate_child("a")
        await root_of(node).delete_child("a")
        await root_of(node).start_child(child(Other))
        assert node.statistics()["a"].incarnation == 1
