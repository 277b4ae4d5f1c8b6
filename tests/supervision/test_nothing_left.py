"""Dynamic children are forgotten entirely when they have ended: no name, no count and no record of them is kept."""

import anyio
import pytest
from anyio.abc import TaskStatus

from cliffracer import (
    AlreadyStarted,
    Backoff,
    Budget,
    ChildIgnored,
    ChildNotStarted,
    DynamicSupervisor,
    Killed,
    NoActor,
    Supervisor,
    SupervisorRef,
    child,
    pool,
)
from tests.supervision.workers import Worker, crash, events, states, worker

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]

SLOW = Backoff(initial=100.0, maximum=100.0, jitter=0.0)


async def serve(seconds: float = 1000.0) -> None:
    await anyio.sleep(seconds)


def made_tree(*children) -> Supervisor:
    return Supervisor("made", *children)


def some_of(node) -> SupervisorRef:
    return node.ref(SupervisorRef, "root/some")


def sizes(node) -> dict[str, object]:
    """Count what the node and its dynamic supervisor know of children."""
    host = node._life.host
    some = host.find_supervisor("root/some")
    return {
        "cells": sorted(host.registry._cells),
        "records": sorted(host.registry._records),
        "supervisors": sorted(host.registry._supervisors),
        "pools": sorted(host.registry._pools),
        "subscriptions": sorted(host.intake._subscriptions),
        "specs": sorted(some.specs),
        "processes": sorted(some.processes),
        "children": sorted(some.machine.states()),
        "retries": sorted(some._retries),
    }


async def short(task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
    task_status.started()
    await anyio.sleep(5.0)


KINDS = {
    "actor": worker("a", []),
    "function": child(serve, 5.0),
    "tree": child(Supervisor("inner", Supervisor("deep", worker("a", [])), child(serve).replace(id="x"))),
    "made tree": child(made_tree, worker("a", []), worker("b", [])),
    "dynamic": child(DynamicSupervisor("inner")),
    "pool": pool(worker("a", []), size=3),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_terminated_child_leaves_nothing_behind(run_node, kind):
    async with run_node(DynamicSupervisor("some")) as node:
        before = sizes(node)
        for _ in range(3):
            await some_of(node).start_child(KINDS[kind])
            ((info),) = await some_of(node).which_children()
            assert info.incarnation == 1
            await some_of(node).terminate_child(info.id)
            await anyio.wait_all_tasks_blocked()
            assert sizes(node) == before


async def test_child_of_a_dynamic_child_leaves_nothing_behind_either(run_node):
    async with run_node(DynamicSupervisor("some")) as node:
        before = sizes(node)
        await some_of(node).start_child(DynamicSupervisor("inner"))
        inner = node.ref(SupervisorRef, "inner")
        await inner.start_child(worker("a", []))
        await inner.start_child(Supervisor("deep", worker("b", [])))
        await some_of(node).terminate_child("inner")
        assert sizes(node) == before


@pytest.mark.parametrize("restart", ["transient", "temporary"])
async def test_child_that_has_ended_by_itself_leaves_nothing_behind(run_node, restart):
    async with run_node(DynamicSupervisor("some")) as node:
        before = sizes(node)
        for _ in range(5):
            await some_of(node).start_child(worker("a", [], restart=restart))
            await node.ref(Worker, "a").finish()
            await some_of(node).start_child(child(short).replace(restart=restart))
            await anyio.sleep(10.0)
            assert sizes(node) == before


async def test_supervisor_below_that_gives_up_and_is_not_restarted_leaves_nothing_behind(run_node, lines):
    async with run_node(DynamicSupervisor("some")) as node:
        before = sizes(node)
        inner = child(Supervisor("inner", worker("a", []), max_restarts=0)).replace(restart="transient")
        await some_of(node).start_child(inner)
        await node.ref(SupervisorRef, "inner").start_child(worker("b", []))
        await crash(node, "a")
        assert sizes(node) == before
    assert [line["level"] for line in events(lines, "supervisor_not_restarted")] == ["error"]


@pytest.mark.parametrize(
    "spec",
    [
        worker("a", [], failing=[1]),
        worker("a", [], declining=[1]),
        child(Supervisor("inner", worker("a", []), Supervisor("deep", worker("b", []), worker("c", [], failing=[1])))),
        child(made_tree, worker("a", []), worker("b", [], failing=[1])),
        pool(worker("a", [], failing=[1]), size=2),
    ],
    ids=["fails", "declines", "tree", "made tree", "pool"],
)
async def test_child_that_does_not_start_leaves_nothing_behind(run_node, spec):
    async with run_node(DynamicSupervisor("some")) as node:
        before = sizes(node)
        with pytest.raises((ChildNotStarted, ChildIgnored)):
            await some_of(node).start_child(spec)
        assert sizes(node) == before


async def test_child_that_is_given_up_leaves_nothing_behind(run_node):
    async with run_node(DynamicSupervisor("some")) as node:
        before = sizes(node)
        for backoff in (None, SLOW):
            budget = Budget(max_restarts=0, max_seconds=5.0)
            await some_of(node).start_child(worker("a", [], budget=budget, backoff=backoff))
            await crash(node, "a")
            assert sizes(node) == before


# The supervisor itself comes back


@pytest.mark.parametrize("end", ["gives up", "is stopped", "is killed"])
async def test_supervisor_that_is_restarted_comes_back_empty_and_all_names_are_free(run_node, end):
    async with run_node(DynamicSupervisor("some", max_restarts=0), DynamicSupervisor("other")) as node:
        before = sizes(node)
        await some_of(node).start_child(worker("a", []))
        await some_of(node).start_child(Supervisor("inner", worker("b", [])))
        await some_of(node).start_child(child(made_tree, worker("c", [])))
        match end:
            case "gives up":
                await crash(node, "a")
            case "is stopped":
                await node.stop(some_of(node))
            case "is killed":
                await node.stop(some_of(node), Killed())
        await anyio.wait_all_tasks_blocked()
        assert await states(some_of(node)) == ""
        for name in "abc":
            with pytest.raises(NoActor):
                await node.ref(Worker, name).which()
        assert sizes(node) == before
        other = node.ref(SupervisorRef, "other")
        assert [await (await other.start_child(worker(name, []))).which() for name in "abc"] == [1, 1, 1]


# A name that is taken


@pytest.mark.parametrize(
    "spec",
    [
        worker("a", []),
        child(Supervisor("inner", Supervisor("deep", worker("a", [])))),
        child(made_tree, worker("a", [])),
        pool(worker("a", []), size=2),
        pool(worker("taken", []), size=2),
    ],
    ids=["actor", "tree", "made tree", "pool", "pool of taken members"],
)
async def test_actor_whose_name_is_taken_elsewhere_in_the_tree_is_refused_and_leaves_nothing_behind(run_node, spec):
    tree = (worker("a", []), worker("taken-1", []), DynamicSupervisor("some"))
    async with run_node(*tree) as node:
        before = sizes(node)
        with pytest.raises((AlreadyStarted, ChildNotStarted), match="runs already, at 'root/(a|taken-1)'"):
            await some_of(node).start_child(spec)
        assert await node.ref(Worker, "a").which() == 1
        assert sizes(node) == before


# Many


async def test_thousands_of_children_come_and_go(run_node, lines):
    async with run_node(DynamicSupervisor("some")) as node:
        before = sizes(node)
        for number in range(2000):
            await some_of(node).start_child(worker(f"w{number}", [], restart="temporary"))
        assert (await some_of(node).count_children()).active == 2000
        for number in range(0, 2000, 2):
            await some_of(node).terminate_child(f"w{number}")
        assert (await some_of(node).count_children()).active == 1000
        await node.stop(some_of(node))
        await anyio.wait_all_tasks_blocked()
        assert sizes(node) == before
        assert await states(some_of(node)) == ""
    assert not events(lines, "children_stopped_badly")
