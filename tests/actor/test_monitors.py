"""Monitors: one `Down` for each, whatever the end, and nothing that was meant for somebody else."""

import inspect
from typing import Any

import anyio
import pytest

from cliffracer import (
    Actor,
    ActorCrashed,
    Backoff,
    ChildRef,
    Crashed,
    Down,
    DynamicSupervisor,
    Killed,
    NoActor,
    Node,
    Normal,
    Shutdown,
    Supervisor,
    SupervisorRef,
    TaskSupervisorRef,
    call,
    cast,
    child,
)

pytestmark = pytest.mark.anyio


class Puppet(Actor):
    """Does with itself whatever it is told, and writes down what it hears."""

    def __init__(self, heard: list[Any] | None = None) -> None:
        self.heard = heard if heard is not None else []

    @call
    async def do(self, action: Any) -> Any:
        result = action(self)
        return await result if inspect.isawaitable(result) else result

    @call
    async def crash(self) -> None:
        raise RuntimeError("bug")

    @cast
    async def note(self, text: str) -> None:
        self.heard.append(text)

    async def on_down(self, down: Down) -> None:
        self.heard.append(down)


class Watcher(Puppet):
    pass


def puppet(name: str, *args: Any, **options: Any):
    return child(Puppet, *args).replace(name=name, **options)


def watchers_of(node: Node, target: Any) -> list[Any]:
    process = node._running().find_process(target)
    assert process is not None
    return list(process._watchers or ())


async def crash(actor: Puppet) -> None:
    with pytest.raises(ActorCrashed):
        await actor.crash()
    await anyio.wait_all_tasks_blocked()


@pytest.mark.parametrize("reason", [Normal(), Shutdown(), Shutdown("enough"), Killed()], ids=str)
@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
async def test_monitor_brings_one_down_with_the_reason_of_the_end(run_node, reason, restart):
    heard: list[Down] = []
    async with run_node(child(Watcher, heard), puppet("a", restart=restart)) as node:
        target = node.ref(Puppet, "a")
        await node.ref(Watcher).do(lambda me: me.monitor(target))
        await anyio.sleep(60.0)
        assert heard == []
        await node.stop(target, reason)
        await anyio.sleep(60.0)
        (down,) = heard
    assert down.ref is target
    assert down.reason == reason
    assert down.incarnation == 1


async def test_down_of_a_crash_carries_the_incident_that_stands_in_the_log(run_node, lines):
    heard: list[Down] = []
    async with run_node(child(Watcher, heard), puppet("a")) as node:
        await node.ref(Watcher).do(lambda me: me.monitor(node.ref(Puppet, "a")))
        await crash(node.ref(Puppet, "a"))
    (down,) = heard
    (logged,) = [line for line in lines if line["event"] == "actor_crashed"]
    assert down.reason == Crashed("RuntimeError: bug", logged["incident"])


async def test_target_that_ends_by_itself_is_reported_with_its_last_word(run_node):
    heard: list[Down] = []
    async with run_node(child(Watcher, heard), puppet("a", restart="temporary")) as node:
        await node.ref(Watcher).do(lambda me: me.monitor(node.ref(Puppet, "a")))
        await node.ref(Puppet, "a").do(lambda me: me.stop(Shutdown("done for today")))
        await anyio.wait_all_tasks_blocked()
    assert [down.reason for down in heard] == [Shutdown("done for today")]


async def test_target_that_is_killed_because_it_does_not_stop_in_time_is_reported_as_killed(run_node):
    heard: list[Down] = []
    inner = Supervisor("inner", puppet("a", shutdown=1.0))
    async with run_node(child(Watcher, heard), inner) as node, anyio.create_task_group() as tasks:
        target = node.ref(Puppet, "a")
        await node.ref(Watcher).do(lambda me: me.monitor(target))
        tasks.start_soon(_expect_crash, target, lambda _: anyio.sleep_forever())
        await anyio.wait_all_tasks_blocked()
        await node.ref(SupervisorRef, "inner").terminate_child("a")
        await anyio.wait_all_tasks_blocked()
    assert [down.reason for down in heard] == [Killed()]


async def _expect_crash(actor: Puppet, action: Any) -> None:
    with pytest.raises(ActorCrashed), anyio.fail_after(1000.0):
        await actor.do(action)


async def test_monitor_of_a_name_that_never_was_brings_a_down_at_once(run_node):
    heard: list[Down] = []
    async with run_node(child(Watcher, heard)) as node:
        nobody = node.ref(Puppet, "nobody")
        await node.ref(Watcher).do(lambda me: me.monitor(nobody))
        await anyio.wait_all_tasks_blocked()
    (down,) = heard
    assert down.ref is nobody
    assert isinstance(down.reason, NoActor)
    assert down.reason.target == "nobody"
    assert down.incarnation == 0


@pytest.mark.parametrize("ref_class", [ChildRef, SupervisorRef, TaskSupervisorRef])
async def test_monitor_of_a_path_that_never_was_brings_a_down_at_once(run_node, ref_class):
    heard: list[Down] = []
    async with run_node(child(Watcher, heard)) as node:
        nothing = node.ref(ref_class, "root/nothing")
        await node.ref(Watcher).do(lambda me: me.monitor(nothing))
        await anyio.wait_all_tasks_blocked()
    (down,) = heard
    assert down.ref is nothing
    assert isinstance(down.reason, NoActor)


async def test_monitor_of_an_actor_that_has_ended_brings_a_down_at_once(run_node):
    heard: list[Down] = []
    async with run_node(child(Watcher, heard), puppet("a", restart="temporary")) as node:
        await node.stop(node.ref(Puppet, "a"))
        await node.ref(Watcher).do(lambda me: me.monitor(node.ref(Puppet, "a")))
        await anyio.wait_all_tasks_blocked()
    (down,) = heard
    assert isinstance(down.reason, NoActor)


async def test_monitor_of_a_target_that_waits_for_its_restart_brings_a_down_soon_and_nothing_later(run_node):
    heard: list[Down] = []
    slow = puppet("a", backoff=Backoff(initial=10.0, jitter=0.0))
    async with run_node(child(Watcher, heard), slow) as node:
        target = node.ref(Puppet, "a")
        await crash(target)
        await node.ref(Watcher).do(lambda me: me.monitor(target))
        await anyio.sleep(1.0)  # it asks some times, for another replica may run
        (down,) = heard
        assert isinstance(down.reason, NoActor)
        await anyio.sleep(60.0)
        await crash(target)
        assert heard == [down]


async def test_monitor_of_a_target_that_is_just_starting_is_about_that_start(run_node):
    heard: list[Down] = []

    class Late(Puppet):
        async def on_start(self) -> None:
            await anyio.sleep(10.0)
            raise RuntimeError("not today")

    async with run_node(child(Watcher, heard), DynamicSupervisor("part")) as node, anyio.create_task_group() as tasks:
        tasks.start_soon(_start_in_vain, node.ref(SupervisorRef, "part"), child(Late))
        await anyio.sleep(1.0)
        await node.ref(Watcher).do(lambda me: me.monitor(node.ref(Late)))
        await anyio.wait_all_tasks_blocked()
        assert heard == []
        await anyio.sleep(10.0)
        (down,) = heard
        assert isinstance(down.reason, Crashed)
        assert down.incarnation == 1


async def _start_in_vain(supervisor: SupervisorRef, spec: Any) -> None:
    with pytest.raises(Exception, match="did not start"):
        await supervisor.start_child(spec)


async def test_second_death_of_a_restarted_target_is_reported_only_if_it_was_monitored_again(run_node):
    heard: list[Down] = []
    async with run_node(child(Watcher, heard), puppet("a"), max_restarts=10) as node:
        target, watcher = node.ref(Puppet, "a"), node.ref(Watcher)
        await watcher.do(lambda me: me.monitor(target))
        await crash(target)
        await crash(target)
        assert [down.incarnation for down in heard] == [1]
        await watcher.do(lambda me: me.monitor(target))
        await crash(target)
        await crash(target)
        assert [down.incarnation for down in heard] == [1, 3]


async def test_monitoring_again_in_on_down_is_about_the_next_incarnation_if_that_runs(run_node):
    class Faithful(Puppet):
        async def on_down(self, down: Down) -> None:
            self.heard.append(down.incarnation)
            await down.ref.do(lambda _: None)  # waits for the next incarnation
            self.monitor(down.ref)

    heard: list[int] = []
    async with run_node(child(Faithful, heard), puppet("a"), max_restarts=10) as node:
        await node.ref(Faithful).do(lambda me: me.monitor(me.ref(Puppet, "a")))
        for _ in range(3):
            await crash(node.ref(Puppet, "a"))
            await anyio.sleep(2.0)
        assert heard == [1, 2, 3]


async def test_nothing_comes_after_demonitor(run_node):
    heard: list[Down] = []
    async with run_node(child(Watcher, heard), puppet("a")) as node:
        target, watcher = node.ref(Puppet, "a"), node.ref(Watcher)
        await watcher.do(lambda me: me.monitor(target))
        # Another ref to the same actor will do.
        await watcher.do(lambda me: me.demonitor(me.ref(Puppet, "a")))
        assert watchers_of(node, target) == []
        await crash(target)
        await anyio.sleep(1.0)
    assert heard == []


async def test_down_that_waits_in_the_mailbox_is_dropped_by_demonitor(run_node):
    heard: list[Down] = []
    async with run_node(child(Watcher, heard), puppet("a"), puppet("b")) as node:
        ended, gone = node.ref(Puppet, "a"), node.ref(Puppet, "nobody")

        async def change_its_mind(me: Watcher) -> None:
            me.monitor(ended)
            me.monitor(gone)
            await me.node.stop(ended)
            me.demonitor(ended)
            me.demonitor(gone)

        await node.ref(Watcher).do(change_its_mind)
        await anyio.sleep(1.0)
    assert heard == []


async def test_monitor_taken_away_and_set_again_is_about_the_incarnation_that_runs_then(run_node):
    heard: list[Down] = []
    async with run_node(child(Watcher, heard), puppet("a")) as node:
        target = node.ref(Puppet, "a")

        async def look_again(me: Watcher) -> None:
            me.monitor(target)
            await me.node.stop(target)
            me.demonitor(target)
            await target.do(lambda _: None)
            me.monitor(target)

        await node.ref(Watcher).do(look_again)
        await anyio.sleep(1.0)
        assert heard == []
        await node.stop(target)
        await anyio.wait_all_tasks_blocked()
    assert [down.incarnation for down in heard] == [2]


async def test_demonitor_of_what_is_not_monitored_does_nothing(run_node):
    async with run_node(child(Watcher), puppet("a")) as node:
        await node.ref(Watcher).do(lambda me: me.demonitor(me.ref(Puppet, "a")))
        await node.ref(Watcher).do(lambda me: me.demonitor(me.ref(Puppet, "nobody")))


async def test_monitoring_twice_brings_one_down(run_node):
    heard: list[Down] = []
    async with run_node(child(Watcher, heard), puppet("a")) as node:
        target = node.ref(Puppet, "a")
        for ref in (target, target, node.ref(Puppet, "a")):
            await node.ref(Watcher).do(lambda me, ref=ref: me.monitor(ref))
        assert len(watchers_of(node, target)) == 1
        await node.stop(target)
        await anyio.sleep(1.0)
    (down,) = heard
    assert down.ref is target


async def test_each_of_several_watchers_is_told_once_of_each_of_several_targets(run_node):
    heard: dict[str, list[Down]] = {name: [] for name in ("x", "y", "z")}
    targets = Supervisor("targets", *(puppet(f"t{number}") for number in range(50)))
    async with run_node(targets, *(puppet(name, notes) for name, notes in heard.items())) as node:
        for name in heard:
            for number in range(50):
                target = node.ref(Puppet, f"t{number}")
                await node.ref(Puppet, name).do(lambda me, target=target: me.monitor(target))
        await node.stop(node.ref(SupervisorRef, "targets"))
        await anyio.wait_all_tasks_blocked()
    for downs in heard.values():
        assert sorted(repr(down.ref) for down in downs) == sorted(f"<Ref to Puppet 't{n}'>" for n in range(50))


async def test_restart_of_the_watcher_drops_its_monitors(run_node):
    heard: list[Down] = []
    async with run_node(child(Watcher, heard), puppet("a")) as node:
        target = node.ref(Puppet, "a")
        await node.ref(Watcher).do(lambda me: me.monitor(target))
        await crash(node.ref(Watcher))
        assert watchers_of(node, target) == []
        await node.stop(target)
        await anyio.sleep(1.0)
    assert heard == []


async def test_down_that_waits_when_its_watcher_ends_does_not_reach_the_next_incarnation(run_node):
    heard: list[Down] = []
    async with run_node(child(Watcher, heard), puppet("a")) as node:

        async def fall_over(me: Watcher) -> None:
            me.monitor(me.ref(Puppet, "a"))
            me.monitor(me.ref(Puppet, "nobody"))
            await me.node.stop(me.ref(Puppet, "a"))
            raise RuntimeError

        with pytest.raises(ActorCrashed):
            await node.ref(Watcher).do(fall_over)
        await anyio.sleep(1.0)
        assert node.statistics()["watcher"].incarnation == 2
    assert heard == []


@pytest.mark.parametrize("reason", [Normal(), Killed()], ids=str)
async def test_ended_watcher_leaves_nothing_behind_at_its_targets(run_node, reason):
    async with run_node(child(Watcher).replace(restart="temporary"), puppet("a"), puppet("b")) as node:
        for name in "ab":
            await node.ref(Watcher).do(lambda me, name=name: me.monitor(me.ref(Puppet, name)))
            assert len(watchers_of(node, node.ref(Puppet, name))) == 1
        await node.stop(node.ref(Watcher), reason)
        assert [watchers_of(node, node.ref(Puppet, name)) for name in "ab"] == [[], []]
