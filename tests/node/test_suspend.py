"""node.suspend and node.resume: messages wait, orders are heard, and a node that stops loses nothing."""

from typing import Any

import anyio
import pytest

from cliffracer import (
    Actor,
    ActorCrashed,
    ChildRef,
    Killed,
    Mailbox,
    MailboxFull,
    NoActor,
    NotRunning,
    Settings,
    Shutdown,
    Supervisor,
    SupervisorRef,
    call,
    cast,
    child,
    every,
)

pytestmark = pytest.mark.anyio


class Clerk(Actor):
    """Writes down what it does."""

    def __init__(self, journal: list[Any]) -> None:
        self.journal = journal

    @cast
    async def note(self, what: int) -> None:
        self.journal.append(what)

    @call
    async def which(self) -> int:
        return self.incarnation

    @call
    async def slow(self, seconds: float) -> int:
        await anyio.sleep(seconds)
        return self.incarnation

    @call(concurrent=True)
    async def beside(self, seconds: float) -> int:
        await anyio.sleep(seconds)
        return self.incarnation

    @call
    async def crash(self) -> None:
        raise RuntimeError("bug")

    @call
    async def suspend_itself(self) -> str:
        await self.node.suspend(self.ref(Clerk))
        return "done"


class Clock(Actor):
    def __init__(self, ticks: list[float]) -> None:
        self.ticks = ticks

    @every(1.0)
    async def tick(self) -> None:
        self.ticks.append(round(anyio.current_time(), 3))


async def idle() -> None:
    await anyio.sleep_forever()


async def test_messages_wait_while_the_actor_is_suspended_and_are_handled_in_order_afterwards(run_node):
    journal: list[int] = []
    async with run_node(child(Clerk, journal)) as node:
        clerk = node.ref(Clerk)
        await node.suspend(clerk)
        for number in range(5):
            await clerk.note(number)
        await anyio.sleep(60.0)
        assert journal == []
        assert node.statistics()["clerk"].mailbox.depth == 5
        await node.resume(clerk)
        assert await clerk.which() == 1
        assert journal == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("handler", ["slow", "beside"])
async def test_message_in_hand_is_finished_when_the_actor_is_suspended(run_node, handler):
    async with run_node(child(Clerk, [])) as node:
        clerk, answers = node.ref(Clerk), []

        async def ask() -> None:
            answers.append(await getattr(clerk, handler)(1.0))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            await node.suspend(clerk)
            tasks.start_soon(ask)
            await anyio.sleep(2.0)
            assert answers == [1]
            await node.resume(clerk)
        assert answers == [1, 1]


async def test_call_to_a_suspended_actor_runs_into_its_deadline_and_is_not_handled_later(run_node):
    async with run_node(child(Clerk, [])) as node:
        clerk = node.ref(Clerk)
        await node.suspend(clerk)
        with pytest.raises(TimeoutError), anyio.fail_after(3.0):
            await clerk.crash()
        await node.resume(clerk)
        assert await clerk.which() == 1
        assert node.statistics()["clerk"].expired == 1


async def test_actor_may_suspend_itself_and_the_message_in_hand_is_answered(run_node):
    journal: list[int] = []
    async with run_node(child(Clerk, journal)) as node:
        clerk = node.ref(Clerk)
        assert await clerk.suspend_itself() == "done"
        await clerk.note(1)
        await anyio.sleep(1.0)
        assert journal == []
        await node.resume(clerk)
        await clerk.which()
        assert journal == [1]


async def test_suspend_and_resume_do_not_add_up(run_node):
    journal: list[int] = []
    async with run_node(child(Clerk, journal)) as node:
        clerk = node.ref(Clerk)
        for _ in range(3):
            await node.suspend(clerk)
        await clerk.note(1)
        await node.resume(clerk)
        assert await clerk.which() == 1
        await node.resume(clerk)
        assert await clerk.which() == 1
        assert journal == [1]


async def test_full_mailbox_of_a_suspended_actor_is_full_for_others_too(run_node):
    async with run_node(child(Clerk, []).replace(mailbox=Mailbox(1)), settings=Settings(call_timeout=2.0)) as node:
        clerk = node.ref(Clerk)
        await node.suspend(clerk)
        await clerk.note(1)
        with pytest.raises(MailboxFull):
            await clerk.note(2)
        with pytest.raises(MailboxFull):
            await node.ref(Clerk, prefer_local=False).which()


async def test_suspended_actor_can_be_stopped(run_node):
    journal: list[int] = []
    async with run_node(child(Clerk, journal)) as node:
        clerk = node.ref(Clerk)
        await node.suspend(clerk)
        await clerk.note(1)
        with anyio.fail_after(1.0):
            await node.stop(clerk, Shutdown("enough"))
        # What waited is for the next incarnation, which is not suspended.
        assert await clerk.which() == 2
        assert journal == [1]


async def test_suspended_actor_can_be_killed_and_the_next_incarnation_takes_messages(run_node):
    async with run_node(child(Clerk, [])) as node:
        await node.suspend(node.ref(Clerk))
        await node.stop(node.ref(Clerk), Killed())
        assert await node.ref(Clerk).which() == 2


async def test_suspension_that_waits_when_the_actor_crashes_does_not_reach_the_next_incarnation(run_node):
    async with run_node(child(Clerk, [])) as node:
        clerk = node.ref(Clerk)

        async def crash() -> None:
            with pytest.raises(ActorCrashed):
                await clerk.crash()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(clerk.slow, 1.0)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(crash)
            await anyio.wait_all_tasks_blocked()
            await node.suspend(clerk)
            await anyio.sleep(2.0)
            await node.resume(clerk)
        with anyio.fail_after(1.0):
            assert await clerk.which() == 2


async def test_supervisor_stops_and_restarts_a_suspended_actor_like_any_other(run_node):
    async with run_node(Supervisor("part", child(Clerk, []))) as node:
        await node.suspend(node.ref(Clerk))
        part = node.ref(SupervisorRef, "part")
        await part.terminate_child("clerk")
        await part.restart_child("clerk")
        assert await node.ref(Clerk).which() == 2


async def test_node_that_stops_empties_the_mailbox_of_a_suspended_actor(run_node, lines):
    journal: list[int] = []
    answers: list[int] = []

    async def ask(clerk: Clerk) -> None:
        answers.append(await clerk.which())

    async with anyio.create_task_group() as tasks:
        async with run_node(child(Clerk, journal)) as node:
            clerk = node.ref(Clerk)
            await node.suspend(clerk)
            for number in range(3):
                await clerk.note(number)
            tasks.start_soon(ask, clerk)
            await anyio.wait_all_tasks_blocked()
    assert journal == [0, 1, 2]
    assert answers == [1]
    assert [line["event"] for line in lines if line["level"] in ("warning", "error")] == []


async def test_suspended_actor_has_one_tick_to_catch_up_with(run_node):
    ticks: list[float] = []
    async with run_node(child(Clock, ticks)) as node:
        begin = anyio.current_time()
        await anyio.sleep(1.5)
        await node.suspend(node.ref(Clock))
        await anyio.sleep(10.0)
        assert len(ticks) == 1
        await node.resume(node.ref(Clock))
        await anyio.sleep(2.0)
    assert [round(tick - begin, 3) for tick in ticks] == [1.0, 11.5, 12.0, 13.0]


# Wrong targets


@pytest.mark.parametrize("order", ["suspend", "resume"])
async def test_only_actors_of_this_node_that_run_can_be_suspended(run_node, order):
    children = [child(Clerk, []).replace(restart="temporary"), child(idle)]
    async with run_node(*children) as node:
        give = getattr(node, order)
        for target in (node.ref(ChildRef, "idle"), node.ref(SupervisorRef, "root"), "clerk", Clerk):
            with pytest.raises(TypeError, match=r"is no actor; write ref\(Inventory\)"):
                await give(target)
        await node.stop(node.ref(Clerk))
        for target in (node.ref(Clerk), node.ref(Clerk, "nobody")):
            with pytest.raises(NoActor, match="nothing of that name runs on this node"):
                await give(target)
        target = node.ref(Clerk)
    with pytest.raises(NotRunning):
        await give(target)
