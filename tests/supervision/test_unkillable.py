"""Children that do not end when they are cancelled: they are waited for without limit, and reported."""

import inspect
from contextlib import suppress

import anyio
import pytest
from anyio.abc import TaskStatus

from cliffracer import (
    Actor,
    ActorCrashed,
    DynamicSupervisor,
    Settings,
    StartFailed,
    Supervisor,
    SupervisorRef,
    call,
    child,
)
from tests.supervision.workers import Journal, Worker, events, worker

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]

# The waits between two reports are the grace, and then twice the one before, up to a minute.
REPORTS = [5.0, 15.0, 35.0, 75.0, 135.0, 195.0]


async def deaf(seconds: float) -> None:
    """Serve, and take so long to clean up."""
    try:
        await anyio.sleep_forever()
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(seconds)  # deaf


async def stubborn(seconds: float) -> None:
    """Swallow one cancellation after the other."""
    end = None
    while end is None or anyio.current_time() < end:
        try:
            await anyio.sleep(1.0)
        except BaseException:
            end = end or anyio.current_time() + seconds
            with anyio.CancelScope(shield=True):
                await anyio.sleep(1.0)  # stubborn


class Deaf(Worker):
    """Handles a message, whatever happens."""

    @call
    async def work(self, seconds: float) -> str:
        await deaf(seconds)
        return "done"


def place_of(function, mark: str) -> str:
    """Return the line of `function` that holds a mark, as a stack shows it."""
    lines, first = inspect.getsourcelines(function)
    number = next(number for number, line in enumerate(lines, first) if line.rstrip().endswith(f"# {mark}"))
    return f"{__file__}:{number} in {function.__qualname__}"


@pytest.mark.parametrize("shutdown", [0, 2.5, "brutal_kill"])
async def test_child_that_ends_within_the_grace_is_not_reported(run_node, lines, shutdown):
    async with run_node(child(deaf, 4.9 + (shutdown if shutdown == 2.5 else 0)).replace(shutdown=shutdown)):
        await anyio.sleep(1.0)
    assert not events(lines, "child_unkillable")


async def test_child_that_does_not_end_is_reported_with_the_very_line_where_it_hangs(run_node, lines):
    async with run_node(Supervisor("shop", child(deaf, 8.0).replace(shutdown=2.0))):
        await anyio.sleep(1.0)
        begin = anyio.current_time()
    assert anyio.current_time() - begin == pytest.approx(8.0)
    (report,) = events(lines, "child_unkillable")
    assert (report["supervisor"], report["child"], report["incarnation"]) == ("root/shop", "deaf", 1)
    assert (report["level"], report["seconds"]) == ("error", 5.0)
    assert place_of(deaf, "deaf") in report["where"]


async def ask(node, actor: type[Deaf], seconds: float) -> None:
    with anyio.fail_after(1000.0), suppress(ActorCrashed):
        await node.ref(actor).work(seconds)


async def test_stack_leads_from_the_handler_to_the_line_where_it_hangs(run_node, lines):
    async with run_node(child(Deaf, []).replace(shutdown=2.0)) as node, anyio.create_task_group() as tasks:
        tasks.start_soon(ask, node, Deaf, 9.0)
        await anyio.sleep(1.0)
        await node.ref(SupervisorRef, "root").terminate_child("deaf")
    (report,) = events(lines, "child_unkillable")
    users = [place for place in report["where"] if place.startswith(__file__)]
    assert [place.rpartition(" in ")[2] for place in users] == ["Deaf.work", "deaf"]
    assert users[-1] == place_of(deaf, "deaf")


async def test_reports_are_repeated_at_intervals_that_grow_up_to_a_minute(run_node, lines):
    async with run_node(child(deaf, 200.0).replace(shutdown="brutal_kill")):
        await anyio.sleep(1.0)
    assert [line["seconds"] for line in events(lines, "child_unkillable")] == REPORTS


async def test_grace_is_a_setting_of_the_node(run_node, lines):
    async with run_node(child(deaf, 20.0).replace(shutdown="brutal_kill"), settings=Settings(kill_grace=0.25)):
        await anyio.sleep(1.0)
    assert [line["seconds"] for line in events(lines, "child_unkillable")] == [0.25, 2.25, 6.25, 14.25]


async def test_stopping_goes_on_with_the_next_child_when_it_has_ended_at_last(run_node, lines):
    journal: Journal = []
    async with run_node(worker("a", journal), child(deaf, 100.0).replace(shutdown=1.0), worker("b", journal)):
        await anyio.sleep(1.0)
        begin = anyio.current_time()
    assert anyio.current_time() - begin == pytest.approx(100.0)
    assert journal == ["start a", "start b", "stop b", "stop a"]
    assert [(line["child"], line["reason"]) for line in events(lines, "child_stopped_badly")] == [("deaf", "killed")]


async def test_child_that_swallows_every_cancellation_is_reported_until_it_gives_in(run_node, lines):
    async with run_node(child(stubborn, 60.0).replace(shutdown=0.5)):
        await anyio.sleep(1.0)
        begin = anyio.current_time()
    assert anyio.current_time() - begin == pytest.approx(60.0, abs=1.1)
    reports = events(lines, "child_unkillable")
    assert [line["seconds"] for line in reports] == REPORTS[:3]
    assert all(place_of(stubborn, "stubborn") in line["where"] for line in reports)


async def test_handler_that_swallows_every_cancellation_is_reported_until_it_gives_in(run_node, lines):
    class Stubborn(Deaf, shutdown=0.5):
        @call
        async def work(self, seconds: float) -> str:
            await stubborn(seconds)
            return "done"

    async with run_node(child(Stubborn, [])) as node, anyio.create_task_group() as tasks:
        tasks.start_soon(ask, node, Stubborn, 30.0)
        await anyio.sleep(1.0)
        await node.ref(SupervisorRef, "root").terminate_child("stubborn")
    assert [line["seconds"] for line in events(lines, "child_unkillable")] == REPORTS[:2]


async def test_concurrent_handler_that_does_not_end_is_reported_with_the_line_where_it_hangs(run_node, lines):
    class Busy(Deaf, shutdown=0.5):
        @call(concurrent=True)
        async def work(self, seconds: float) -> str:
            await deaf(seconds)
            return "done"

    async with run_node(child(Busy, [])) as node, anyio.create_task_group() as tasks:
        tasks.start_soon(ask, node, Busy, 10.0)
        await anyio.sleep(1.0)
        await node.ref(SupervisorRef, "root").terminate_child("busy")
    (report,) = events(lines, "child_unkillable")
    assert place_of(deaf, "deaf") in report["where"]


async def test_each_dynamic_child_that_does_not_end_is_reported_from_its_own_cancellation_on(run_node, lines):
    async with run_node(DynamicSupervisor("some")) as node:
        some = node.ref(SupervisorRef, "some")
        for number, shutdown in enumerate((1.0, 3.0, "brutal_kill")):
            await some.start_child(child(deaf, 13.0).replace(id=f"deaf-{number}", shutdown=shutdown))
        await anyio.sleep(1.0)
        begin = anyio.current_time()
    assert anyio.current_time() - begin == pytest.approx(13.0)
    reports = [(line["child"], line["seconds"]) for line in events(lines, "child_unkillable")]
    assert reports == [("deaf-2", 5.0), ("deaf-0", 5.0), ("deaf-1", 5.0)]


async def test_dynamic_child_that_does_not_end_is_reported_while_another_one_still_has_time(run_node, lines):
    journal: Journal = []
    async with run_node(DynamicSupervisor("some")) as node:
        some = node.ref(SupervisorRef, "some")
        await some.start_child(worker("patient", journal, takes=100.0, shutdown="infinity"))
        await some.start_child(worker("slow", journal, takes=50.0, shutdown=60.0))
        await some.start_child(child(deaf, 20.0).replace(shutdown=1.0))
        await anyio.sleep(1.0)
        begin = anyio.current_time()
    assert anyio.current_time() - begin == pytest.approx(100.0)
    assert journal[2:] == ["stop slow", "stop patient"]
    assert [line["seconds"] for line in events(lines, "child_unkillable")] == REPORTS[:2]


@pytest.mark.parametrize("shutdown", [2.0, "brutal_kill"])
async def test_child_of_a_killed_supervisor_that_does_not_end_is_reported_as_its_child(run_node, lines, shutdown):
    journal: Journal = []
    inner = Supervisor("inner", worker("x", journal), child(deaf, 12.0).replace(shutdown="infinity"))
    async with run_node(worker("a", journal), child(inner).replace(shutdown=shutdown)):
        await anyio.sleep(1.0)
        begin = anyio.current_time()
    assert anyio.current_time() - begin == pytest.approx(12.0)
    assert journal == ["start a", "start x", "stop a"]
    (report,) = events(lines, "child_unkillable")
    assert (report["supervisor"], report["child"], report["seconds"]) == ("root/inner", "deaf", 5.0)
    assert place_of(deaf, "deaf") in report["where"]


async def test_each_child_of_a_killed_supervisor_that_does_not_end_is_reported_from_the_kill_on(run_node, lines):
    inner = Supervisor("inner", *(child(deaf, seconds).replace(id=f"deaf-{seconds}") for seconds in (8, 9, 12)))
    async with run_node(child(inner).replace(shutdown="brutal_kill")):
        await anyio.sleep(1.0)
        begin = anyio.current_time()
    assert anyio.current_time() - begin == pytest.approx(12.0)
    reports = sorted((line["child"], line["seconds"]) for line in events(lines, "child_unkillable"))
    assert reports == [("deaf-12", 5.0), ("deaf-8", 5.0), ("deaf-9", 5.0)]


async def test_other_orders_wait_for_a_child_that_does_not_end_and_are_served_then(run_node, lines):
    journal: Journal = []
    async with run_node(worker("a", journal), child(deaf, 30.0).replace(shutdown=1.0)) as node:
        root = node.ref(SupervisorRef, "root")
        begin = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(root.terminate_child, "deaf")
            await anyio.sleep(10.0)
            assert await node.ref(Worker, "a").which() == 1
            assert (await root.count_children()).active == 1
            assert anyio.current_time() - begin == pytest.approx(30.0)
    assert len(events(lines, "child_unkillable")) == 2


# Starts that do not end


class DeafStart(Actor, start_timeout=2.0):
    """Does not hear that its start has taken too long."""

    async def on_start(self) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(10.0)  # start


async def deaf_start(task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
    with anyio.CancelScope(shield=True):
        await anyio.sleep(10.0)  # start
    task_status.started()
    await anyio.sleep_forever()


@pytest.mark.parametrize(
    ("spec", "hangs"),
    [(child(DeafStart), DeafStart.on_start), (child(deaf_start).replace(start_timeout=2.0), deaf_start)],
    ids=["actor", "function"],
)
async def test_start_that_is_deaf_to_its_timeout_is_reported_and_has_failed_even_if_it_succeeds_later(
    run_node, lines, spec, hangs
):
    journal: Journal = []
    begin = anyio.current_time()
    with pytest.raises(StartFailed, match=r"'deaf_start' did not start, shutdown: start took longer than 2\.0 s"):
        async with run_node(worker("a", journal), spec, worker("b", journal)):
            pass
    assert anyio.current_time() - begin == pytest.approx(10.0)
    assert journal == ["start a", "stop a"]
    (report,) = events(lines, "child_unkillable")
    assert (report["child"], report["seconds"]) == ("deaf_start", 5.0)
    assert place_of(hangs, "start") in report["where"]


@pytest.mark.parametrize("spec", [child(DeafStart), child(deaf_start)], ids=["actor", "function"])
async def test_start_that_is_deaf_to_the_stop_of_its_node_is_reported_and_waited_for(run_node, lines, spec):
    journal: Journal = []
    with anyio.move_on_after(1.0):
        async with run_node(worker("a", journal), spec.replace(start_timeout=None), worker("b", journal)):
            pass
    assert anyio.current_time() == pytest.approx(10.0)
    assert journal == ["start a", "stop a"]
    assert [line["child"] for line in events(lines, "child_unkillable")] == ["deaf_start"]


async def test_restart_that_was_given_up_takes_no_message_that_waits(run_node, lines):
    class Late(Deaf, start_timeout=2.0):
        async def on_start(self) -> None:
            if self.incarnation == 2:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(10.0)
            await super().on_start()

    journal: Journal = []
    async with run_node(child(Late, journal)) as node:
        with pytest.raises(ActorCrashed):
            await node.ref(Late).crash()
        with anyio.fail_after(100.0):
            assert await node.ref(Late).which() == 3
    assert [line["incarnation"] for line in events(lines, "child_start_failed")] == [2]
