"""Restarts at work: incarnations are counted, and a back-off is a wait that can be measured."""

from itertools import pairwise

import anyio
import pytest

from cliffracer import (
    Backoff,
    Supervisor,
    SupervisorRef,
    child,
)
from tests.supervision.workers import Journal, Worker, crash, events, states, worker

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]


def root_of(node) -> SupervisorRef:
    return node.ref(SupervisorRef, "root")


# Incarnations


async def test_incarnations_are_counted_on_when_the_supervisor_is_restarted(run_node):
    inner = Supervisor("inner", worker("x", []), worker("y", []), max_restarts=1)
    async with run_node(inner) as node:
        await crash(node, *"xx")
        assert (await node.ref(Worker, "x").which(), await node.ref(Worker, "y").which()) == (3, 2)
        infos = await node.ref(SupervisorRef, "inner").which_children()
        assert [info.incarnation for info in infos] == [2, 3]
        assert [info.incarnation for info in await root_of(node).which_children()] == [2]


async def test_failed_starts_are_incarnations_too(run_node, lines):
    async with run_node(worker("a", [], failing=[2, 3])) as node:
        await crash(node, "a")
        assert await node.ref(Worker, "a").which() == 4
    assert [line["incarnation"] for line in events(lines, "child_start_failed")] == [2, 3]


# Back-off


def ramp(**options) -> Backoff:
    return Backoff(**{"initial": 1.0, "maximum": 8.0, "factor": 2.0, "jitter": 0.0, **options})


class Clocked(Worker):
    """Writes down when it starts."""

    def __init__(self, starts: list[float], *, failing=()) -> None:
        super().__init__([], failing=failing)
        self.starts = starts

    async def on_start(self) -> None:
        self.starts.append(anyio.current_time())
        await super().on_start()


def gaps(times: list[float]) -> list[float]:
    return [round(later - earlier, 3) for earlier, later in pairwise(times)]


async def test_restart_waits_longer_after_each_crash_up_to_the_maximum(run_node, lines):
    starts: list[float] = []
    async with run_node(child(Clocked, starts).replace(backoff=ramp()), max_restarts=100) as node:
        for incarnation in range(2, 8):
            await crash(node, "clocked")
            with anyio.fail_after(100.0):
                assert await node.ref(Worker, "clocked").which() == incarnation
    assert gaps(starts) == pytest.approx([1.0, 2.0, 4.0, 8.0, 8.0, 8.0], abs=0.2)
    assert [line["delay"] for line in events(lines, "child_restarting")] == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert {line["attempt"] for line in events(lines, "child_restarting")} == {0}


async def test_start_that_fails_is_tried_again_after_the_wait(run_node, lines):
    starts: list[float] = []
    spec = child(Clocked, starts, failing=[2, 3, 4]).replace(backoff=ramp())
    async with run_node(spec, max_restarts=100) as node:
        await crash(node, "clocked")
        with anyio.fail_after(100.0):
            assert await node.ref(Worker, "clocked").which() == 5
    assert gaps(starts)[1:] == [2.0, 4.0, 8.0]
    assert [line["attempt"] for line in events(lines, "child_restarting")] == [0, 1, 2, 3]


async def test_incarnation_that_ran_for_the_maximum_begins_anew_with_the_shortest_wait(run_node, lines):
    async with run_node(worker("a", [], backoff=ramp()), max_restarts=100) as node:
        for pause in (0.0, 7.0, 9.0, 0.0):
            await anyio.sleep(pause)
            await crash(node, "a")
            with anyio.fail_after(100.0):
                await node.ref(Worker, "a").which()
    assert [line["delay"] for line in events(lines, "child_restarting")] == [1.0, 2.0, 1.0, 2.0]


async def test_waits_are_a_bit_shorter_by_chance(run_node, lines):
    async with run_node(worker("a", [], backoff=ramp(factor=1.0, jitter=0.5)), max_restarts=100) as node:
        for _ in range(20):
            await crash(node, "a")
            with anyio.fail_after(100.0):
                await node.ref(Worker, "a").which()
    delays = [line["delay"] for line in events(lines, "child_restarting")]
    assert all(0.5 <= delay <= 1.0 for delay in delays)
    assert len(set(delays)) > 10


async def test_call_waits_for_the_end_of_the_back_off_and_siblings_go_on_meanwhile(run_node):
    async with run_node(worker("a", [], backoff=ramp(initial=3.0)), worker("b", [])) as node:
        await crash(node, "a")
        assert await node.ref(Worker, "b").which() == 1
        assert await states(root_of(node)) == "b running, a restarting"
        begin = anyio.current_time()
        assert await node.ref(Worker, "a").which() == 2
        assert anyio.current_time() - begin == pytest.approx(3.0, abs=0.2)


async def test_group_stays_down_while_the_one_that_crashed_waits(run_node):
    journal: Journal = []
    children = (worker("a", journal), worker("b", journal, backoff=ramp(initial=3.0)), worker("c", journal))
    async with run_node(*children, strategy="one_for_all") as node:
        await crash(node, "b")
        assert await states(root_of(node)) == "c stopped, b restarting, a stopped"
        assert journal[3:] == ["stop b", "stop c", "stop a"]
        await anyio.sleep(4.0)
        assert journal[6:] == ["start a", "start b", "start c"]


async def test_stop_during_a_back_off_waits_for_nothing(run_node):
    journal: Journal = []
    async with run_node(worker("a", journal), worker("b", journal, backoff=ramp(initial=8.0))) as node:
        await crash(node, "b")
        begin = anyio.current_time()
    assert anyio.current_time() == begin
    assert journal == ["start a", "start b", "stop b", "stop a"]
