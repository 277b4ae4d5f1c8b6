"""Nodes see each other join and leave, and hear of the ends of each other's actors, by nothing but the broker."""

import json
from typing import Any

import anyio
import pytest

from cliffracer import (
    Actor,
    Crashed,
    Down,
    NoActor,
    Node,
    NodeDown,
    NodeLost,
    NodeUp,
    Settings,
    Shutdown,
    Supervisor,
    cast,
    child,
)
from cliffracer.transport.local import LocalBroker, LocalTransport

pytestmark = pytest.mark.anyio


class Worker(Actor):
    @cast
    async def crash(self) -> None:
        raise KeyError("/etc/passwd")


class Watcher(Actor):
    """Monitors what it is told to, and keeps what it hears."""

    def __init__(self, heard: list[Any]) -> None:
        self.heard = heard

    async def on_start(self) -> None:
        self.monitor_nodes()

    async def on_node_change(self, change: NodeUp | NodeDown) -> None:
        self.heard.append(change)

    async def on_down(self, down: Down) -> None:
        self.heard.append(down)

    @cast
    async def watch(self, name: str) -> None:
        self.monitor(self.ref(Worker, name))

    @cast
    async def watch_no_more(self, name: str) -> None:
        self.demonitor(self.ref(Worker, name))


def downs(heard):
    return [one for one in heard if isinstance(one, Down)]


@pytest.fixture
def node_of(log):
    """Make a node of the given children; all of one test hear each other."""
    broker = LocalBroker()

    def make(name, *children, namespace=""):
        settings = Settings(node_name=name, namespace=namespace)
        return Node(Supervisor("tree", *children), settings=settings, transport=LocalTransport(broker), log=log)

    return make


async def test_nodes_see_each_other_join_and_leave(node_of):
    heard: list[Any] = []
    async with node_of("a", child(Watcher, heard)) as a:
        assert a.nodes() == ()
        async with node_of("b") as b:
            await anyio.wait_all_tasks_blocked()
            (info,) = a.nodes()
            assert (info.name, info.id) == ("b", b.id)
            assert [node.id for node in b.nodes()] == [a.id]
        await anyio.wait_all_tasks_blocked()
        assert a.nodes() == ()
    assert heard == [NodeUp(info), NodeDown(info, "left")]


async def test_nodes_of_another_namespace_are_none_of_ours(node_of):
    async with node_of("a"), node_of("b", namespace="eu") as b:
        await anyio.sleep(10)
        assert b.nodes() == ()


async def test_node_that_falls_silent_counts_as_gone_after_the_timeout(node_of):
    heard: list[Any] = []
    async with node_of("a", child(Watcher, heard)) as a, node_of("b", child(Worker)) as b:
        await a.ref(Watcher).watch("worker")
        await anyio.sleep(60)
        (info,) = a.nodes()
        assert downs(heard) == []  # as long as it says that it is there
        b._transport._connected = False  # as if its process were gone: it says nothing any more
        b._transport._broker.disconnect(b._transport)
        await anyio.sleep(5.0 + 1.1)
        assert a.nodes() == ()
        (down,) = downs(heard)
        assert (down.reason, down.node) == (NodeLost("b"), "b")
        assert NodeDown(info, "silent") in heard
        b._transport._connected = True


async def test_crash_of_an_actor_of_another_node_brings_one_down_with_the_incident_and_not_the_text(node_of, lines):
    heard: list[Any] = []
    async with node_of("a", child(Watcher, heard)) as a, node_of("b", child(Worker)):
        await a.ref(Watcher).watch("worker")
        await anyio.wait_all_tasks_blocked()
        await a.ref(Worker).crash()
        await anyio.sleep(10)
        (down,) = downs(heard)
        (crash,) = [line for line in lines if line["event"] == "actor_crashed"]
        assert down.reason == Crashed("the log of its node says how", crash["incident"])
        assert (down.node, down.incarnation) == ("b", 1)


async def test_actor_of_a_node_that_stops_ends_with_shutdown_and_not_twice(node_of):
    heard: list[Any] = []
    async with node_of("a", child(Watcher, heard)) as a:
        async with node_of("b", child(Worker)):
            await a.ref(Watcher).watch("worker")
            await anyio.wait_all_tasks_blocked()
        await anyio.sleep(60)
        (down,) = downs(heard)
        assert down.reason == Shutdown()


async def test_monitor_of_what_runs_nowhere_brings_a_down_soon(node_of):
    heard: list[Any] = []
    async with node_of("a", child(Watcher, heard)) as a, node_of("b"):
        await a.ref(Watcher).watch("nobody")
        await anyio.wait_all_tasks_blocked()
        (down,) = downs(heard)
        assert isinstance(down.reason, NoActor)


async def test_monitor_that_was_taken_away_brings_no_down(node_of):
    heard: list[Any] = []
    async with node_of("a", child(Watcher, heard)) as a, node_of("b", child(Worker)) as b:
        await a.ref(Watcher).watch("worker")
        await anyio.wait_all_tasks_blocked()
        await a.ref(Watcher).watch_no_more("worker")
        await anyio.wait_all_tasks_blocked()
        await b.ref(Worker).crash()
        await anyio.sleep(10)
        assert downs(heard) == []
        assert b._life.host.monitors.theirs.askers[a.id].numbers() == []


@pytest.fixture
async def stranger(node_of):
    """Somebody on the same broker who may say anything."""
    async with node_of("hub") as hub:
        transport = LocalTransport(hub._transport._broker)
    await transport.connect(lambda _: None)
    return transport


def say(stranger, type, id):
    stranger.publish_nowait("$CLIFFRACER.nodes", json.dumps({"type": type, "id": id, "name": "x"}).encode())


def lines_about(lines, *events):
    return [line for line in lines if line["event"] in events]


async def test_no_more_nodes_are_known_than_a_thousand_and_the_rest_is_counted(node_of, stranger, lines):
    heard: list[Any] = []
    async with node_of("a", child(Watcher, heard)) as a:
        for n in range(30_000):
            say(stranger, "here", f"forged-{n}")
        assert len(a.nodes()) == 1000
        await anyio.sleep(60)
        assert a.nodes() == ()
        (refused,) = lines_about(lines, "node_refused")
        assert (refused["peer"], refused["limit"], refused["total"]) == ("x", 1000, 1)
        assert len(lines_about(lines, "node_joined", "node_left")) < 200
        assert [type(change) for change in heard] == [NodeUp] * 1000 + [NodeDown] * 1000
        say(stranger, "here", "one-more")
        assert [node.id for node in a.nodes()] == ["one-more"], "there is room again"


async def test_who_comes_and_goes_all_the_time_brings_a_bounded_number_of_signals(node_of, stranger):
    heard: list[Any] = []
    async with node_of("a", child(Watcher, heard)):
        for n in range(10_000):
            say(stranger, "here", f"forged-{n}")
            say(stranger, "bye", f"forged-{n}")
        await anyio.wait_all_tasks_blocked()
        assert len(heard) == 2000


async def test_node_that_goes_on_talking_after_a_bye_that_it_has_not_said_is_back_within_three_beats(node_of, stranger):
    heard: list[Any] = []
    async with node_of("a", child(Watcher, heard)) as a, node_of("b") as b:
        await anyio.sleep(0.1)
        (info,) = a.nodes()
        say(stranger, "bye", b.id)
        assert a.nodes() == ()
        await anyio.sleep(3.1)
        assert a.nodes() == (info,)
        await anyio.sleep(60)
        assert heard == [NodeUp(info), NodeDown(info, "left"), NodeUp(info)]
