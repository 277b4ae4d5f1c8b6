"""What can be monitored besides actors: functions, supervisors, by their place in the tree; and what cannot."""

import inspect
from typing import Any

import anyio
import pytest

from cliffracer import (
    Actor,
    ActorCrashed,
    ChildRef,
    Crashed,
    Down,
    DynamicSupervisor,
    LinkLost,
    NoActor,
    Node,
    Normal,
    NotRunning,
    Shutdown,
    Supervisor,
    SupervisorRef,
    TaskSupervisor,
    TaskSupervisorRef,
    call,
    child,
    pool,
)

pytestmark = pytest.mark.anyio


class Watcher(Actor):
    """Does with itself whatever it is told, and writes down what it hears."""

    def __init__(self, heard: list[Down] | None = None) -> None:
        self.heard = heard if heard is not None else []

    @call
    async def do(self, action: Any) -> Any:
        result = action(self)
        return await result if inspect.isawaitable(result) else result

    @call
    async def crash(self) -> None:
        raise RuntimeError("bug")

    async def on_down(self, down: Down) -> None:
        self.heard.append(down)


class Worker(Watcher):
    pass


async def idle() -> None:
    await anyio.sleep_forever()


async def brief(result: Any = None) -> Any:
    await anyio.sleep(1.0)
    return result


async def broken() -> None:
    await anyio.sleep(1.0)
    raise OSError("gone")


async def monitor(node: Node, target: Any) -> None:
    await node.ref(Watcher).do(lambda me: me.monitor(target))


@pytest.mark.parametrize("path", ["root/part/brief", "part/brief", "brief"])
async def test_function_that_returns_is_reported_as_normal(run_node, path):
    heard: list[Down] = []
    async with run_node(child(Watcher, heard), Supervisor("part", child(brief))) as node:
        target = node.ref(ChildRef, path)
        await monitor(node, target)
        await anyio.sleep(1.5)
        assert [(down.ref, down.reason, down.incarnation) for down in heard] == [(target, Normal(), 1)]


async def test_function_that_returns_an_exit_is_reported_with_that(run_node):
    heard: list[Down] = []
    async with run_node(child(Watcher, heard), child(brief, Shutdown("no more work"))) as node:
        await monitor(node, ChildRef("brief"))
        await anyio.sleep(1.5)
        assert [down.reason for down in heard] == [Shutdown("no more work")]


async def test_function_that_crashes_is_reported_with_the_incident_that_stands_in_the_log(run_node, lines):
    heard: list[Down] = []
    async with run_node(child(Watcher, heard), child(broken)) as node:
        await monitor(node, ChildRef("broken"))
        await anyio.sleep(1.5)
        (logged,) = [line for line in lines if line["event"] == "child_crashed"]
        assert [down.reason for down in heard] == [Crashed("OSError: gone", logged["incident"])]


async def test_function_that_its_supervisor_stops_is_reported_as_shut_down(run_node):
    heard: list[Down] = []
    async with run_node(child(Watcher, heard), child(idle)) as node:
        await monitor(node, ChildRef("idle"))
        await node.ref(SupervisorRef, "root").terminate_child("idle")
        await anyio.wait_all_tasks_blocked()
        assert [down.reason for down in heard] == [Shutdown()]


async def test_function_that_has_ended_for_good_is_gone(run_node):
    heard: list[Down] = []
    async with run_node(child(Watcher, heard), child(brief).replace(restart="temporary")) as node:
        await anyio.sleep(2.0)
        await monitor(node, ChildRef("brief"))
        await anyio.wait_all_tasks_blocked()
    (down,) = heard
    assert isinstance(down.reason, NoActor)


async def test_child_started_by_hand_is_monitored_by_what_start_child_returned(run_node):
    heard: list[Down] = []
    async with run_node(child(Watcher, heard), DynamicSupervisor("part")) as node:
        part = node.ref(SupervisorRef, "part")
        function = await part.start_child(child(idle))
        actor = await part.start_child(child(Worker))
        tree = await part.start_child(child(Supervisor("inner")))
        for target in (function, actor, tree):
            await monitor(node, target)
        for id in ("idle", "worker", "inner"):
            await part.terminate_child(id)
        await anyio.wait_all_tasks_blocked()
    assert [down.reason for down in heard] == [Shutdown()] * 3
    assert [down.ref for down in heard][::2] == [function, tree]


@pytest.mark.parametrize("path", ["root/part/idle", "part/idle", "idle"])
async def test_down_that_waits_is_dropped_by_demonitor_also_if_the_child_is_forgotten_by_then(run_node, path):
    heard: list[Down] = []
    async with run_node(child(Watcher, heard), DynamicSupervisor("part")) as node:
        part = node.ref(SupervisorRef, "part")
        await part.start_child(child(idle))

        async def change_its_mind(me: Watcher) -> None:
            me.monitor(ChildRef(path))
            await part.terminate_child("idle")
            me.demonitor(ChildRef(path))

        await node.ref(Watcher).do(change_its_mind)
        await anyio.sleep(1.0)
    assert heard == []


async def test_actor_can_be_monitored_by_its_place_in_the_tree(run_node):
    heard: list[Down] = []
    async with run_node(child(Watcher, heard), Supervisor("part", child(Worker))) as node:
        await monitor(node, ChildRef("part/worker"))
        await node.stop(node.ref(Worker))
        await anyio.wait_all_tasks_blocked()
        assert [(down.ref, down.reason) for down in heard] == [(ChildRef("part/worker"), Normal())]


@pytest.mark.parametrize("ref_class", [ChildRef, SupervisorRef])
async def test_supervisor_that_gives_up_is_reported_as_shut_down(run_node, ref_class):
    heard: list[Down] = []
    part = Supervisor("part", child(Worker), max_restarts=0)
    async with run_node(child(Watcher, heard), part) as node:
        target = node.ref(ref_class, "part")
        await monitor(node, target)
        with pytest.raises(ActorCrashed):
            await node.ref(Worker).crash()
        await anyio.wait_all_tasks_blocked()
        assert [(down.ref, down.reason, down.incarnation) for down in heard] == [(target, Shutdown(), 1)]
        # It has been restarted; that incarnation is another.
        await monitor(node, target)
        await node.stop(target, Shutdown("again"))
        await anyio.wait_all_tasks_blocked()
        assert [(down.reason, down.incarnation) for down in heard[1:]] == [(Shutdown("again"), 2)]


@pytest.mark.parametrize(
    ("tree", "ref_class"), [(DynamicSupervisor("part"), SupervisorRef), (TaskSupervisor("part"), TaskSupervisorRef)]
)
async def test_every_kind_of_supervisor_can_be_monitored(run_node, tree, ref_class):
    heard: list[Down] = []
    async with run_node(child(Watcher, heard), tree) as node:
        await monitor(node, node.ref(ref_class, "part"))
        await node.stop(node.ref(ref_class, "part"))
        await anyio.wait_all_tasks_blocked()
        assert [down.reason for down in heard] == [Normal()]


async def test_pool_is_monitored_by_its_ref_and_down_when_its_supervisor_is(run_node):
    heard: list[Down] = []
    async with run_node(child(Watcher, heard), pool(Worker, size=2)) as node:
        target = node.ref(Worker)
        await monitor(node, target)
        await anyio.wait_all_tasks_blocked()
        assert heard == []
        await node.stop(node.ref(SupervisorRef, "worker"))
        await anyio.wait_all_tasks_blocked()
        assert [(down.ref, down.reason) for down in heard] == [(target, Normal())]


async def test_member_of_a_pool_is_monitored_by_its_own_name(run_node):
    heard: list[Down] = []
    async with run_node(child(Watcher, heard), pool(Worker, size=2)) as node:
        await monitor(node, node.ref(Worker, "worker-1"))
        await node.stop(node.ref(Worker, "worker-0"))
        await node.stop(node.ref(Worker, "worker-1"))
        await anyio.wait_all_tasks_blocked()
        assert [repr(down.ref) for down in heard] == ["<Ref to Worker 'worker-1'>"]


# Wrong targets


@pytest.mark.parametrize("act", ["monitor", "link"])
async def test_nobody_watches_itself(run_node, act):
    async with run_node(child(Watcher)) as node:

        def try_it(me: Watcher) -> None:
            with pytest.raises(ValueError, match="'watcher' cannot watch itself"):
                getattr(me, act)(me.ref(Watcher))

        await node.ref(Watcher).do(try_it)
        assert node.statistics()["watcher"].incarnation == 1


@pytest.mark.parametrize("act", ["monitor", "link"])
@pytest.mark.parametrize("path", ["root/watcher", "watcher"])
async def test_nobody_watches_itself_by_its_place_in_the_tree_either(run_node, act, path):
    async with run_node(child(Watcher)) as node:

        def try_it(me: Watcher) -> None:
            with pytest.raises(ValueError, match="cannot watch itself"):
                getattr(me, act)(ChildRef(path))

        await node.ref(Watcher).do(try_it)
        assert node.statistics()["watcher"].incarnation == 1


@pytest.mark.parametrize("act", ["monitor", "demonitor", "link", "unlink"])
@pytest.mark.parametrize("wrong", ["worker", Worker, None, 7], ids=str)
async def test_what_is_no_ref_is_refused(run_node, act, wrong):
    async with run_node(child(Watcher), child(Worker)) as node:

        def try_it(me: Watcher) -> None:
            with pytest.raises(TypeError, match=r"this takes a ref and not .*; write ref\(Inventory\)"):
                getattr(me, act)(wrong)

        await node.ref(Watcher).do(try_it)
        assert node.statistics()["watcher"].incarnation == 1


@pytest.mark.parametrize("act", ["monitor", "link"])
async def test_path_that_may_be_any_of_several_is_refused(run_node, act):
    parts = [Supervisor(part, child(idle)) for part in ("left", "right")]
    async with run_node(child(Watcher), *parts) as node:

        def try_it(me: Watcher) -> None:
            with pytest.raises(ValueError, match="'idle' may be any of 'root/left/idle', 'root/right/idle'"):
                getattr(me, act)(ChildRef("idle"))

        await node.ref(Watcher).do(try_it)
        assert node.statistics()["watcher"].incarnation == 1


def test_plain_object_cannot_monitor():
    with pytest.raises(NotRunning):
        Watcher().monitor(ChildRef("idle"))


async def test_supervisor_that_is_called_like_the_watcher_can_be_watched(run_node):
    heard: list[Down] = []
    tree = Supervisor("part", DynamicSupervisor("watcher"))
    async with run_node(child(Watcher, heard).replace(id="first"), tree) as node:
        await monitor(node, node.ref(SupervisorRef, "watcher"))
        await node.stop(node.ref(SupervisorRef, "watcher"))
        await anyio.wait_all_tasks_blocked()
        assert [down.reason for down in heard] == [Normal()]


async def test_actor_and_supervisor_of_one_name_are_two_targets(run_node):
    heard: list[Down] = []
    tree = Supervisor("part", Supervisor("helpers", DynamicSupervisor("worker")))
    async with run_node(child(Watcher, heard), child(Worker).replace(id="first"), tree) as node:
        actor, supervisor = node.ref(Worker), node.ref(SupervisorRef, "worker")
        await monitor(node, actor)
        await monitor(node, supervisor)
        await node.stop(supervisor)
        await anyio.wait_all_tasks_blocked()
        assert [down.ref for down in heard] == [supervisor]
        await node.stop(actor)
        await anyio.wait_all_tasks_blocked()
        assert [down.ref for down in heard] == [supervisor, actor]


async def test_actor_and_supervisor_of_one_name_are_linked_apart(run_node):
    ends: list[Any] = []

    class Linked(Watcher):
        async def on_stop(self, reason: Any) -> None:
            ends.append(reason)

    tree = Supervisor("part", DynamicSupervisor("worker"))
    async with run_node(child(Linked), child(Worker).replace(id="first"), tree) as node:
        await node.ref(Linked).do(lambda me: me.link(me.ref(Worker)))
        await node.ref(Linked).do(lambda me: me.link(me.ref(SupervisorRef, "worker")))
        await node.stop(node.ref(SupervisorRef, "worker"), Shutdown("enough"))
        await anyio.wait_all_tasks_blocked()
        assert ends == [LinkLost("worker", Shutdown("enough"))]
