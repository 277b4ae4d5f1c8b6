"""What a static supervisor says of its children: who they are, how many, and how they were written."""

import anyio
import pytest

from cliffracer import (
    Backoff,
    ChildCounts,
    ChildInfo,
    DynamicSupervisor,
    Supervisor,
    SupervisorRef,
    child,
)
from tests.supervision.workers import crash, worker

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]

SLOW = Backoff(initial=100.0, maximum=100.0, jitter=0.0)


async def serve() -> None:
    await anyio.sleep_forever()


def root_of(node) -> SupervisorRef:
    return node.ref(SupervisorRef, "root")


async def test_children_are_listed_with_what_they_are_the_last_started_first(run_node):
    children = (worker("a", []), child(serve), Supervisor("inner", worker("x", [])), DynamicSupervisor("some"))
    async with run_node(*children) as node:
        await crash(node, "a")
        assert await root_of(node).which_children() == [
            ChildInfo(id="some", state="running", kind="supervisor", incarnation=1),
            ChildInfo(id="inner", state="running", kind="supervisor", incarnation=1),
            ChildInfo(id="serve", state="running", kind="worker", incarnation=1),
            ChildInfo(id="a", state="running", kind="worker", incarnation=2),
        ]


async def test_children_are_counted_by_what_they_are_and_only_the_active_ones_by_whether_they_run(run_node):
    children = (worker("a", []), worker("b", [], backoff=SLOW), Supervisor("inner", worker("x", [])), child(serve))
    async with run_node(*children) as node:
        assert await root_of(node).count_children() == ChildCounts(specs=4, active=4, supervisors=1, workers=3)
        await crash(node, "b")
        assert await root_of(node).count_children() == ChildCounts(specs=4, active=3, supervisors=1, workers=3)
        await root_of(node).terminate_child("inner")
        assert await root_of(node).count_children() == ChildCounts(specs=4, active=2, supervisors=1, workers=3)


async def test_spec_is_given_as_it_was_written(run_node):
    spec = worker("a", [], restart="transient", shutdown=7.0)
    async with run_node(spec, Supervisor("inner")) as node:
        assert await root_of(node).get_spec("a") == spec
        await root_of(node).terminate_child("a")
        assert await root_of(node).get_spec("a") == spec


async def test_spec_of_a_temporary_child_comes_without_what_it_was_started_with(run_node):
    spec = worker("a", [], restart="temporary")
    async with run_node() as node:
        await root_of(node).start_child(spec)
        kept = await root_of(node).get_spec("a")
        assert (kept.start.args, kept.start.kwargs) == ((), {})
        assert kept.replace(restart="temporary").name == "a"
