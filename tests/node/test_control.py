"""node.stop: what runs ends for a reason, who asked waits until it is gone, and the spec says what then."""

import inspect
from collections import defaultdict
from contextlib import suppress
from typing import Any

import anyio
import pytest

from cliffracer import (
    Actor,
    ActorCrashed,
    Backoff,
    ChildNotStarted,
    ChildRef,
    Crashed,
    DynamicSupervisor,
    Exit,
    Killed,
    LinkLost,
    NoActor,
    Normal,
    NotRunning,
    Shutdown,
    Supervisor,
    SupervisorRef,
    WouldWaitForItself,
    call,
    child,
)

pytestmark = pytest.mark.anyio

Ends = dict[str, list[Exit]]


class Puppet(Actor):
    """Does with itself whatever it is told, and writes down why it ended."""

    def __init__(self, ends: Ends) -> None:
        self.ends = ends

    @call
    async def do(self, action: Any) -> Any:
        result = action(self)
        return await result if inspect.isawaitable(result) else result

    @call
    async def which(self) -> int:
        return self.incarnation

    async def on_stop(self, reason: Exit) -> None:
        await anyio.sleep(1.0)
        self.ends[self.name].append(reason)


class Boss(Puppet):
    async def on_stop(self, reason: Exit) -> None:
        self.ends[self.name].append(reason)


@pytest.fixture
def ends() -> Ends:
    return defaultdict(list)


def puppet(ends: Ends, name: str, **options: Any):
    return child(Puppet, ends).replace(name=name, **options)


async def idle() -> None:
    await anyio.sleep_forever()


async def cleans_up(ends: Ends) -> None:
    try:
        await anyio.sleep_forever()
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(1.0)
        ends["cleans_up"].append(Normal())


REASONS = [Normal(), Shutdown(), Shutdown("enough"), LinkLost("x", Shutdown()), Crashed("told to", "abc")]


@pytest.mark.parametrize("reason", REASONS, ids=lambda reason: type(reason).__name__)
async def test_stop_waits_until_the_actor_is_gone_and_its_reason_arrives_in_on_stop(run_node, ends, reason):
    async with run_node(puppet(ends, "a", restart="temporary")) as node:
        before = anyio.current_time()
        await node.stop(node.ref(Puppet, "a"), reason)
        assert anyio.current_time() - before == pytest.approx(1.0)
        assert ends == {"a": [reason]}
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(NoActor):
            await node.ref(Puppet, "a").which()


async def test_reason_is_normal_unless_another_is_given(run_node, ends):
    async with run_node(puppet(ends, "a")) as node:
        await node.stop(node.ref(Puppet, "a"))
    assert ends["a"][0] == Normal()


@pytest.mark.parametrize(
    ("restart", "reason", "restarted"),
    [
        ("permanent", Normal(), True),
        ("permanent", Shutdown(), True),
        ("transient", Normal(), False),
        ("transient", Shutdown("enough"), False),
        ("transient", LinkLost("x", Shutdown()), False),
        ("transient", LinkLost("x", None), True),
        ("transient", Crashed("told to", "abc"), True),
        ("transient", Killed(), True),
        ("temporary", Crashed("told to", "abc"), False),
    ],
    ids=str,
)
async def test_spec_says_whether_a_stopped_actor_is_restarted(run_node, ends, lines, restart, reason, restarted):
    async with run_node(puppet(ends, "a", restart=restart)) as node:
        await node.stop(node.ref(Puppet, "a"), reason)
        await anyio.wait_all_tasks_blocked()
        event = "child_restarting" if restarted else "child_ended"
        (told,) = [line for line in lines if line["event"] in ("child_restarting", "child_ended")]
        assert (told["event"], told["child"], told["reason"]) == (event, "a", str(reason))
        if restarted:
            assert await node.ref(Puppet, "a").which() == 2


async def test_actor_may_have_another_last_word(run_node, ends, lines):
    class Stubborn(Boss):
        async def on_stop(self, reason: Exit) -> None:
            self.stop(Shutdown("I decide"))

    async with run_node(child(Stubborn, ends).replace(restart="transient")) as node:
        await node.stop(node.ref(Stubborn), LinkLost("x", None))
        await anyio.wait_all_tasks_blocked()
        (told,) = [line for line in lines if line["event"] == "child_ended"]
        assert told["reason"] == "shutdown: I decide"


async def test_stop_comes_after_the_message_in_hand_and_before_those_that_wait(run_node, ends):
    async with run_node(puppet(ends, "a")) as node, anyio.create_task_group() as tasks:
        target, answers = node.ref(Puppet, "a"), []

        async def ask(seconds: float) -> None:
            async def work(me: Puppet) -> int:
                await anyio.sleep(seconds)
                return me.incarnation

            with anyio.fail_after(100.0):
                answers.append(await target.do(work))

        before = anyio.current_time()
        for seconds in (2.0, 0.0, 0.0):
            tasks.start_soon(ask, seconds)
            await anyio.wait_all_tasks_blocked()
        await node.stop(target)
        assert anyio.current_time() - before == pytest.approx(3.0)
        assert answers == [1]
        await anyio.wait_all_tasks_blocked()
        assert answers == [1, 2, 2]


async def test_killed_one_is_cancelled_at_once_and_its_on_stop_does_not_run(run_node, ends, lines):
    async with run_node(puppet(ends, "a")) as node, anyio.create_task_group() as tasks:
        target = node.ref(Puppet, "a")
        tasks.start_soon(_expect_killed, target)
        await anyio.wait_all_tasks_blocked()
        before = anyio.current_time()
        await node.stop(target, Killed())
        assert anyio.current_time() == before
        assert ends == {}
        await anyio.wait_all_tasks_blocked()
        (told,) = [line for line in lines if line["event"] == "child_restarting"]
        assert told["reason"] == "killed"


async def _expect_killed(target: Puppet) -> None:
    with pytest.raises(ActorCrashed, match="was killed"):
        await target.do(lambda _: anyio.sleep_forever())


async def test_kill_overtakes_a_stop_that_takes_too_long(run_node, ends):
    async with run_node(puppet(ends, "a", restart="temporary")) as node, anyio.create_task_group() as tasks:
        target = node.ref(Puppet, "a")
        tasks.start_soon(node.stop, target)
        await anyio.sleep(0.5)
        await node.stop(target, Killed())
    assert ends == {}


@pytest.mark.parametrize("steps", range(6))
@pytest.mark.parametrize("reason", [Normal(), Killed()], ids=str)
async def test_actor_that_is_just_starting_can_be_stopped(run_node, steps, reason):
    class Quick(Actor):
        pass

    async with run_node(DynamicSupervisor("part")) as node, anyio.create_task_group() as tasks:
        tasks.start_soon(_start, node.ref(SupervisorRef, "part"), child(Quick).replace(restart="temporary"))
        while node._running().find_process(node.ref(Quick)) is None:
            await anyio.lowlevel.checkpoint()
        for _ in range(steps):
            await anyio.lowlevel.checkpoint()
        with anyio.fail_after(10.0):
            await node.stop(node.ref(Quick), reason)
        await anyio.wait_all_tasks_blocked()
        assert node._running().find_process(node.ref(Quick)) is None


async def _start(supervisor: SupervisorRef, spec: Any) -> None:
    with suppress(ChildNotStarted):
        await supervisor.start_child(spec)


async def test_on_stop_may_take_the_shutdown_time_of_the_spec(run_node, ends, lines):
    async with run_node(puppet(ends, "a", shutdown=0.5, restart="temporary")) as node:
        before = anyio.current_time()
        await node.stop(node.ref(Puppet, "a"))
        assert anyio.current_time() - before == pytest.approx(0.5)
        assert ends == {}
        assert [line["seconds"] for line in lines if line["event"] == "actor_stop_timed_out"] == [0.5]


async def test_two_who_stop_the_same_actor_both_wait_for_that_one_incarnation(run_node, ends):
    async with run_node(puppet(ends, "a")) as node:
        target = node.ref(Puppet, "a")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(node.stop, target)
            await anyio.sleep(0.5)
            tasks.start_soon(node.stop, target, Shutdown("me too"))
        assert ends == {"a": [Normal()]}
        assert await target.which() == 2
        await anyio.sleep(5.0)
        assert node.statistics()["a"].incarnation == 2


async def test_giving_up_the_wait_does_not_recall_the_stop(run_node, ends):
    async with run_node(puppet(ends, "a", restart="temporary")) as node:
        with anyio.move_on_after(0.5) as patience:
            await node.stop(node.ref(Puppet, "a"))
        assert patience.cancelled_caught
        await anyio.sleep(1.0)
        assert ends == {"a": [Normal()]}


# Who asks


async def test_actor_stops_another_by_way_of_its_node(run_node, ends):
    async with run_node(child(Boss, ends), puppet(ends, "a", restart="temporary")) as node:

        async def stop_it(me: Boss) -> str:
            await me.node.stop(me.ref(Puppet, "a"), Shutdown("the boss says so"))
            return me.node.name

        assert await node.ref(Boss).do(stop_it) == "test"
        assert ends == {"a": [Shutdown("the boss says so")]}


@pytest.mark.parametrize("hook", ["on_start", "on_stop"])
async def test_hooks_may_stop_a_sibling(run_node, ends, hook):
    class Bully(Actor):
        async def stop_it(self) -> None:
            await self.node.stop(self.ref(Puppet, "a"), Shutdown(hook))

        async def on_start(self) -> None:
            if hook == "on_start":
                await self.stop_it()

        async def on_stop(self, reason: Exit) -> None:
            if hook == "on_stop":
                await self.stop_it()

    async with run_node(puppet(ends, "a"), child(Bully)) as node:
        if hook == "on_stop":
            await node.stop(node.ref(Bully))
        assert ends == {"a": [Shutdown(hook)]}


@pytest.mark.parametrize(
    "target",
    [
        lambda me: me.ref(Boss),
        lambda _: ChildRef("root/part/boss"),
        lambda me: me.ref(SupervisorRef, "part"),
        lambda _: ChildRef("part"),
    ],
    ids=["itself", "itself by its path", "its supervisor", "its supervisor by its path"],
)
async def test_who_would_wait_for_its_own_end_is_refused(run_node, ends, target):
    async with run_node(Supervisor("part", child(Boss, ends))) as node:

        async def try_it(me: Boss) -> None:
            with pytest.raises(WouldWaitForItself, match=r"would wait for its own end; call self\.stop\(\) instead"):
                await me.node.stop(target(me))

        await node.ref(Boss).do(try_it)
        await anyio.sleep(1.0)
        assert ends == {}


async def test_actor_whose_name_begins_like_that_of_its_supervisor_may_be_stopped_by_its_sibling(run_node, ends):
    # Paths are compared by whole ids: "root/part-2" is not within "root/part".
    part = Supervisor("part-2", child(Boss, ends))
    async with run_node(child(Supervisor("part", puppet(ends, "a"))).replace(restart="temporary"), part) as node:
        await node.ref(Boss).do(lambda me: me.node.stop(me.ref(SupervisorRef, "part")))
        assert ends == {"a": [Shutdown()]}


async def test_stop_of_who_waits_for_the_one_that_asks_ends_when_its_call_times_out(run_node, ends):
    async with run_node(child(Boss, ends), puppet(ends, "a", restart="temporary")) as node:
        answers: list[Any] = []

        async def ask_the_boss(me: Puppet) -> None:
            with pytest.raises(TimeoutError), anyio.fail_after(2.0):
                await me.ref(Boss).do(lambda boss: boss.node.stop(boss.ref(Puppet, "a")))
            answers.append("given up")

        with anyio.fail_after(60.0):
            await node.ref(Puppet, "a").do(ask_the_boss)
            assert await node.ref(Boss).which() == 1
        assert answers == ["given up"]
        assert ends == {"a": [Normal()]}


# Nothing to stop


async def test_what_does_not_run_cannot_be_stopped(run_node, ends):
    waiting = puppet(ends, "waiting", backoff=Backoff(initial=10.0))
    async with run_node(waiting, child(idle).replace(restart="temporary")) as node:
        await node.stop(node.ref(Puppet, "waiting"))
        await node.stop(node.ref(ChildRef, "idle"))
        await anyio.wait_all_tasks_blocked()
        targets = [
            node.ref(Puppet, "nobody"),
            node.ref(Puppet, "waiting"),  # for its restart
            node.ref(ChildRef, "idle"),
            node.ref(SupervisorRef, "nothing"),
        ]
        for target in targets:
            with pytest.raises(NoActor, match="nothing of that name runs on this node"):
                await node.stop(target)


@pytest.mark.parametrize("wrong", ["boss", Boss, None], ids=str)
async def test_what_is_no_ref_cannot_be_stopped(run_node, ends, wrong):
    async with run_node(child(Boss, ends)) as node:
        with pytest.raises(TypeError, match="this takes a ref and not"):
            await node.stop(wrong)


async def test_path_that_may_be_any_of_several_is_refused(run_node):
    async with run_node(*(Supervisor(part, child(idle)) for part in ("left", "right"))) as node:
        with pytest.raises(ValueError, match="'idle' may be any of 'root/left/idle', 'root/right/idle'"):
            await node.stop(node.ref(ChildRef, "idle"))
        await node.stop(node.ref(ChildRef, "left/idle"))


async def test_node_that_does_not_run_stops_nobody(run_node, ends):
    async with run_node(child(Boss, ends)) as node:
        target = node.ref(Boss)
    with pytest.raises(NotRunning):
        await node.stop(target)
