"""Supervisors that end by themselves: with their significant children, or because they give up, and nobody notices."""

import anyio
import pytest

from cliffracer import (
    NoActor,
    Supervisor,
    SupervisorRef,
    TreeFailed,
    child,
)
from tests.supervision.workers import Journal, Worker, crash, events, states, worker

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]


def root_of(node) -> SupervisorRef:
    return node.ref(SupervisorRef, "root")


# Significant children


def significant(name: str, journal: Journal, restart: str = "transient"):
    return worker(name, journal, restart=restart, significant=True)


async def test_first_significant_child_that_ends_takes_the_supervisor_along(run_node, lines):
    journal: Journal = []
    inner = Supervisor(
        "inner",
        worker("w", journal),
        *(significant(name, journal) for name in "xy"),
        worker("z", journal),
        auto_shutdown="any_significant",
    )
    async with run_node(worker("a", journal), child(inner).replace(restart="transient")) as node:
        await node.ref(Worker, "w").finish()  # not significant
        await crash(node, "x")  # is restarted
        journal.clear()
        await node.ref(Worker, "x").finish()
        await anyio.wait_all_tasks_blocked()
        assert journal == ["stop x", "stop z", "stop y", "stop w"]
        assert await states(root_of(node)) == "inner stopped, a running"
        for name in "wxyz":
            with pytest.raises(NoActor):
                await node.ref(Worker, name).which()
    (told,) = events(lines, "supervisor_shut_down_by_itself")
    assert (told["supervisor"], told["child"]) == ("root/inner", "x")
    assert [(line["child"], line["reason"]) for line in events(lines, "child_ended")][-1] == ("inner", "shutdown")
    assert not events(lines, "supervisor_not_restarted")


async def test_last_significant_child_that_ends_takes_the_supervisor_along(run_node):
    journal: Journal = []
    inner = Supervisor(
        "inner",
        significant("x", journal, "temporary"),
        significant("y", journal),
        worker("z", journal),
        auto_shutdown="all_significant",
    )
    async with run_node(worker("a", journal), child(inner).replace(restart="transient")) as node:
        await crash(node, "x")
        assert await states(node.ref(SupervisorRef, "inner")) == "z running, y running"
        await node.ref(Worker, "y").finish()
        await anyio.wait_all_tasks_blocked()
        assert await states(root_of(node)) == "inner stopped, a running"
    assert journal[-2:] == ["stop z", "stop a"]


async def test_end_of_a_significant_supervisor_goes_on_upwards(run_node, lines):
    inner = child(Supervisor("inner", significant("x", []), auto_shutdown="any_significant"))
    outer = Supervisor("outer", inner.replace(restart="transient", significant=True), auto_shutdown="any_significant")
    async with run_node(worker("a", []), child(outer).replace(restart="temporary")) as node:
        await node.ref(Worker, "x").finish()
        await anyio.wait_all_tasks_blocked()
        assert await states(root_of(node)) == "a running"
    told = [line["supervisor"] for line in events(lines, "supervisor_shut_down_by_itself")]
    assert told == ["root/outer/inner", "root/outer"]


async def test_permanent_supervisor_that_shut_down_by_itself_is_restarted(run_node):
    inner = Supervisor("inner", significant("x", []), auto_shutdown="any_significant")
    async with run_node(inner) as node:
        await node.ref(Worker, "x").finish()
        await anyio.wait_all_tasks_blocked()
        assert await node.ref(Worker, "x").which() == 2


@pytest.mark.parametrize("automatic", ["any_significant", "all_significant"])
async def test_node_whose_significant_child_has_ended_says_which_one_that_was(run_node, automatic):
    journal: Journal = []
    children = (worker("a", journal), significant("job", journal))
    with pytest.raises(TreeFailed) as caught:
        async with run_node(*children, auto_shutdown=automatic) as node:
            await node.ref(Worker, "job").finish()
            await anyio.sleep_forever()
    assert journal[2:] == ["stop job", "stop a"]
    assert "'job'" in str(caught.value)
    assert f"auto_shutdown='{automatic}'" in str(caught.value)


# A trap


@pytest.mark.parametrize("restart", ["transient", "temporary"])
async def test_supervisor_that_gives_up_and_is_not_restarted_is_an_error_in_the_log(run_node, lines, restart):
    inner = child(Supervisor("inner", worker("x", []), max_restarts=0)).replace(restart=restart)
    async with run_node(worker("a", []), inner) as node:
        await crash(node, "x")
        with pytest.raises(NoActor):
            await node.ref(Worker, "x").which()
    (told,) = events(lines, "supervisor_not_restarted")
    assert (told["supervisor"], told["child"], told["restart"]) == ("root", "inner", restart)
    assert told["level"] == "error"


async def test_supervisor_that_was_told_to_end_is_no_error_if_it_is_not_restarted(run_node, lines):
    inner = child(Supervisor("inner", worker("x", []))).replace(restart="transient")
    async with run_node(worker("a", []), inner) as node:
        await node.stop(node.ref(SupervisorRef, "inner"))
        assert await states(root_of(node)) == "inner stopped, a running"
    assert not events(lines, "supervisor_not_restarted")
