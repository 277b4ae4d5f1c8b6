"""Orders to a supervisor are served in turn; who must not give one is told so, and none is lost without a word."""

import gc
import weakref
from functools import partial

import anyio
import pytest
from anyio.abc import TaskStatus

from cliffracer import (
    Actor,
    AdminError,
    AlreadyStarted,
    Budget,
    ChildRestarting,
    ChildRunning,
    DynamicSupervisor,
    Killed,
    NoSupervisor,
    SpecError,
    Supervisor,
    SupervisorRef,
    TaskSupervisor,
    call,
    child,
)
from tests.supervision.workers import Journal, Worker, events, states, worker

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]

NEVER_GIVE_UP = {"max_restarts": 1_000_000}


async def serve() -> None:
    await anyio.sleep_forever()


def root_of(node) -> SupervisorRef:
    return node.ref(SupervisorRef, "root")


class Slow(Worker):
    """Takes ten seconds to start."""

    async def on_start(self) -> None:
        await anyio.sleep(10.0)
        await super().on_start()


# In turn


async def test_orders_are_served_while_a_child_fails_to_start_over_and_over(run_node):
    journal: Journal = []
    children = (worker("a", journal), worker("b", journal, failing=range(2, 1_000_000)))
    async with run_node(*children, **NEVER_GIVE_UP) as node:
        with anyio.fail_after(10.0):
            await crash_soon(node, "b")
            root = root_of(node)
            assert await node.ref(Worker, "a").which() == 1
            assert await states(root) == "b restarting, a running"
            assert (await root.count_children()).active == 1
            await root.start_child(worker("c", journal))
            with pytest.raises(ChildRestarting):
                await root.delete_child("b")
            await root.terminate_child("b")
            await root.delete_child("b")
            assert await states(root) == "c running, a running"
    assert journal.count("fail b") < 1000


async def crash_soon(node, name: str) -> None:
    with pytest.raises(Exception, match="crashed"):
        await node.ref(Worker, name).crash()


async def test_node_can_stop_while_a_child_fails_to_start_over_and_over(run_node):
    journal: Journal = []
    async with run_node(
        worker("a", journal), worker("b", journal, failing=range(2, 1_000_000)), **NEVER_GIVE_UP
    ) as node:
        await crash_soon(node, "b")
    assert journal[-1] == "stop a"


async def test_dead_child_still_runs_until_the_notice_of_its_end_is_served(run_node):
    refused: list[type[Exception]] = []

    async def expect_refusal(order, argument) -> None:
        with pytest.raises((ChildRunning, AlreadyStarted)) as caught:
            await order(argument)
        refused.append(caught.type)

    async with run_node(worker("a", []), worker("b", [])) as node, anyio.create_task_group() as tasks:
        root = root_of(node)
        tasks.start_soon(root.start_child, child(Slow, []))
        await anyio.sleep(1.0)
        tasks.start_soon(expect_refusal, root.restart_child, "b")
        tasks.start_soon(expect_refusal, root.delete_child, "b")
        tasks.start_soon(expect_refusal, root.start_child, worker("b", []))
        await anyio.sleep(1.0)
        await crash_soon(node, "b")
        assert not refused
        await anyio.sleep(10.0)
        assert sorted(kind.__name__ for kind in refused) == ["AlreadyStarted", "ChildRunning", "ChildRunning"]
        assert await node.ref(Worker, "b").which() == 2


async def give_all(supervisor: SupervisorRef, *orders) -> None:
    """Give orders while the supervisor is busy with something else, so that it comes to all of them in one go."""
    async with anyio.create_task_group() as tasks:
        for order in (partial(supervisor.start_child, child(Slow, [])), *orders):
            tasks.start_soon(order)
            await anyio.sleep(0.1)


async def test_orders_are_served_in_the_order_in_which_they_come(run_node):
    journal: Journal = []
    async with run_node(worker("a", journal)) as node:
        root = root_of(node)
        await give_all(
            root,
            partial(root.terminate_child, "a"),
            partial(root.start_child, worker("b", journal)),
            partial(root.restart_child, "a"),
            partial(root.start_child, worker("c", journal)),
        )
        assert journal == ["start a", "stop a", "start b", "start a", "start c"]


@pytest.mark.parametrize("supervisor", [Supervisor("some"), DynamicSupervisor("some")], ids=["static", "dynamic"])
async def test_child_that_is_started_anew_in_the_same_breath_is_not_taken_for_the_one_before(
    run_node, lines, supervisor
):
    # That the first one has ended is heard of when the second one runs already.
    runs: list[float] = []

    async def job() -> None:
        runs.append(anyio.current_time())
        await anyio.sleep(100.0)

    spec = child(job).replace(restart="transient")
    async with run_node(supervisor) as node:
        some = node.ref(SupervisorRef, "some")
        await some.start_child(spec)
        orders = [partial(some.terminate_child, "job"), partial(some.start_child, spec)]
        if isinstance(supervisor, Supervisor):
            orders.insert(1, partial(some.delete_child, "job"))
        await give_all(some, *orders)
        await anyio.sleep(1.0)
        assert await states(some) == "job running, slow running"
    assert len(runs) == 2
    assert not events(lines, "child_ended")


# Who gives up, and who comes too late


async def test_order_is_carried_out_even_if_who_gave_it_does_not_wait_any_longer(run_node):
    journal: Journal = []
    async with run_node() as node:
        with anyio.move_on_after(1.0) as patience:
            await root_of(node).start_child(child(Slow, journal))
        assert patience.cancelled_caught
        await anyio.sleep(10.0)
        assert journal == ["start slow"]
        assert await states(root_of(node)) == "slow running"


async def give(order, refused: list[str]) -> None:
    with anyio.fail_after(1000.0):
        try:
            await order()
        except NoSupervisor as error:
            refused.append(str(error))


async def test_start_that_is_under_way_when_the_supervisor_is_told_to_stop_is_cut_short_and_refused(run_node):
    refused: list[str] = []
    journal: Journal = []
    shop = child(Supervisor("shop", worker("a", journal))).replace(restart="temporary")
    async with run_node(shop) as node, anyio.create_task_group() as tasks:
        ref = node.ref(SupervisorRef, "shop")
        tasks.start_soon(give, partial(ref.start_child, child(Slow, journal)), refused)
        await anyio.sleep(1.0)
        tasks.start_soon(give, partial(ref.start_child, worker("b", journal)), refused)
        await anyio.sleep(1.0)
        begin = anyio.current_time()
        await node.stop(ref)
        assert anyio.current_time() == begin
        with pytest.raises(NoSupervisor, match="no supervisor 'shop' runs on this node; there is 'root'"):
            await ref.count_children()
    # The order behind it came before the order to stop, so it is served before that, as in OTP.
    assert len(refused) == 1
    assert journal == ["start a", "start b", "stop b", "stop a"]


@pytest.mark.parametrize("order", ["start_child", "terminate_child"])
async def test_orders_that_wait_when_the_supervisor_is_killed_are_refused(run_node, order):
    refused: list[str] = []
    shop = child(Supervisor("shop", worker("a", [], takes=10.0, shutdown=60.0))).replace(restart="temporary")
    async with run_node(shop) as node, anyio.create_task_group() as tasks:
        ref = node.ref(SupervisorRef, "shop")
        asked_for = "a" if order == "terminate_child" else child(Slow, [])
        tasks.start_soon(give, partial(getattr(ref, order), asked_for), refused)
        await anyio.sleep(1.0)
        tasks.start_soon(give, ref.count_children, refused)
        await anyio.sleep(1.0)
        await node.stop(ref, Killed())
        await anyio.sleep(1.0)
        assert len(refused) == 2


async def test_order_that_comes_while_the_supervisor_stops_is_refused_at_once(run_node):
    # It would never be served: and a child that waits for it would not stop before its time is over.
    journal: Journal = []

    class Asking(Worker):
        @call
        async def ask(self) -> str:
            try:
                await self.ref(SupervisorRef, "root/shop").count_children()
            except NoSupervisor:
                return "refused"
            return "counted"

    shop = Supervisor("shop", child(Asking, journal), worker("slow", journal, takes=3.0))
    async with run_node(child(shop).replace(restart="temporary")) as node, anyio.create_task_group() as tasks:
        tasks.start_soon(node.stop, node.ref(SupervisorRef, "shop"))
        await anyio.sleep(1.0)
        begin = anyio.current_time()
        assert await node.ref(Asking).ask() == "refused"
        assert anyio.current_time() == begin
    assert journal[2:] == ["stop slow", "stop asking"]


async def test_order_that_waits_when_the_supervisor_gives_up_is_refused(run_node):
    refused: list[str] = []
    shop = Supervisor("shop", worker("a", [], failing=[2, 3, 4, 5]), max_restarts=2)
    async with run_node(child(shop).replace(restart="temporary")) as node, anyio.create_task_group() as tasks:
        ref = node.ref(SupervisorRef, "shop")
        tasks.start_soon(give, partial(ref.start_child, child(Slow, [])), refused)
        await anyio.sleep(1.0)
        await crash_soon(node, "a")
        await anyio.sleep(20.0)
        tasks.start_soon(give, ref.count_children, refused)
    assert len(refused) == 1


# What is refused before anything happens


@pytest.mark.parametrize(
    ("supervisor", "spec", "problem"),
    [
        ("static", Worker, "start_child on 'root/static': Worker is a class."),
        ("static", serve, "is no child"),
        ("static", "serve", "'serve' is no child"),
        ("static", None, "None is no child"),
        ("static", worker("a", [], restart="transient", significant=True), "and auto_shutdown='never'"),
        ("dynamic", worker("a", [], restart="temporary", significant=True), "and auto_shutdown='never'"),
        ("static", child(serve).replace(budget=Budget(1, 5.0)), "a budget of its own is for the children of a Dyn"),
        ("jobs", child(serve), "a task supervisor runs jobs"),
    ],
)
async def test_spec_that_does_not_fit_is_refused_and_changes_nothing(run_node, supervisor, spec, problem):
    async with run_node(Supervisor("static"), DynamicSupervisor("dynamic"), TaskSupervisor("jobs")) as node:
        ref = node.ref(SupervisorRef, supervisor)
        with pytest.raises(SpecError) as caught:
            await ref.start_child(spec)
        assert problem in caught.value.problem
        assert caught.value.fix
        assert await states(ref) == ""


async def test_coroutine_is_refused_and_leaves_no_warning_behind(run_node):
    async with run_node() as node:
        with pytest.raises(SpecError, match="got the coroutine 'serve'"):
            await root_of(node).start_child(serve())


@pytest.mark.parametrize("order", ["restart_child", "delete_child"])
async def test_dynamic_supervisor_knows_no_stopped_children(run_node, order):
    async with run_node(DynamicSupervisor("some")) as node:
        some = node.ref(SupervisorRef, "some")
        await some.start_child(worker("a", []))
        with pytest.raises(AdminError, match=rf"{order}: 'root/some' is dynamic, and forgets its children"):
            await getattr(some, order)("a")


# What a temporary child was started with is not kept


class Luggage:
    pass


class Traveller(Actor, restart="temporary"):
    def __init__(self, luggage: Luggage) -> None:
        pass


async def travel(luggage: Luggage) -> None:
    del luggage
    await anyio.sleep_forever()


async def travel_later(luggage: Luggage, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
    del luggage
    await anyio.sleep(1.0)
    task_status.started()
    await anyio.sleep_forever()


def travel_together(luggage: Luggage) -> Supervisor:
    return Supervisor("group", child(serve))


BAGS = {
    "actor": lambda luggage: child(Traveller, luggage),
    "function": lambda luggage: child(travel, luggage),
    "partial": lambda luggage: child(partial(travel, luggage)),
    "late": lambda luggage: child(travel_later, luggage),
    "supervisor": lambda luggage: child(travel_together, luggage),
}


@pytest.mark.parametrize("supervisor", [Supervisor("some"), DynamicSupervisor("some")], ids=["static", "dynamic"])
@pytest.mark.parametrize("pack", BAGS.values(), ids=BAGS)
async def test_arguments_of_a_temporary_child_are_forgotten_once_it_runs(run_node, supervisor, pack):
    async with run_node(supervisor) as node:
        luggage = Luggage()
        kept = weakref.ref(luggage)
        await node.ref(SupervisorRef, "some").start_child(pack(luggage).replace(restart="temporary"))
        del luggage
        await anyio.sleep(5.0)
        gc.collect()
        assert kept() is None
