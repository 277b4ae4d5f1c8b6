"""One subject floods a node, without end: everybody else goes on, and the flooded actor still heeds its signals."""

import subprocess
import sys
from contextlib import asynccontextmanager

import anyio
import pytest

from cliffracer import Actor, Mailbox, NoActor, Node, Settings, Supervisor, SupervisorRef, call, child, event, every
from tests.system.conftest import ROOT
from tests.system.peers import peer

pytestmark = [pytest.mark.system, pytest.mark.anyio]

# Seconds; only what starves does not make it. There is no end to the flood that it could wait for.
BOUND = 20.0


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request):
    return "asyncio", {"use_uvloop": request.param}


class Flooded(Actor, mailbox=Mailbox(500)):
    def __init__(self, heard: list[int]) -> None:
        self.heard = heard

    @event("fairness.flood")
    async def on_flood(self, number: int) -> None:
        self.heard[0] += 1

    @call
    async def heard_so_far(self) -> int:
        return self.heard[0]


class Busy(Flooded):
    """One that cannot follow: most of the flood is dropped at its mailbox."""

    @event("fairness.flood")
    async def on_flood(self, number: int) -> None:
        await anyio.sleep(0.001)
        self.heard[0] += 1


class Neighbour(Actor):
    def __init__(self) -> None:
        self.ticks = 0

    @call
    async def echo(self, number: int) -> int:
        return number

    @call
    async def ticks_so_far(self) -> int:
        return self.ticks

    @every(0.02)
    async def tick(self) -> None:
        self.ticks += 1


@asynccontextmanager
async def flooded(url, log, kind):
    """Run a node of which one actor is flooded from another process; and count what came for that actor."""
    heard = [0]
    tree = Supervisor("tree", child(kind, heard).replace(name="flooded"), child(Neighbour))
    async with Node(tree, settings=Settings(nats_url=url, node_name="fair"), log=log) as node:
        async with peer("tests.system.flood", url, "fairness.flood", "neighbour.echo") as flood:
            await flood.hear("flooding")
            yield node, heard
            assert flood.process.returncode is None
            before = came_for(node)
            assert flood.process.stdin is not None
            await flood.process.stdin.aclose()
            # To the end there was more to come.
            assert await flood.hear("sent") > before


def came_for(node):
    statistics = node.statistics().get("flooded")
    return 0 if statistics is None else statistics.handled + statistics.mailbox.dropped


async def until(condition):
    while not condition():
        await anyio.sleep(0.01)


@pytest.mark.parametrize("kind", [Flooded, Busy])
async def test_neighbour_of_a_flooded_actor_answers_and_its_timers_tick(nats_url, log, kind):
    async with flooded(nats_url, log, kind) as (node, _):
        with anyio.fail_after(BOUND):
            near, far = node.ref(Neighbour), node.ref(Neighbour, prefer_local=False)
            ticks, came = await near.ticks_so_far(), came_for(node)
            for number in range(10):
                assert await near.echo(number) == number
                # Over the broker, behind all of the flood that is on its way already.
                assert await far.echo(number) == number
            while await near.ticks_so_far() < ticks + 10:
                await anyio.sleep(0.01)
            await until(lambda: came_for(node) > came + 50_000)


@pytest.mark.parametrize("kind", [Flooded, Busy])
async def test_flooded_actor_is_suspended_and_resumed_while_the_flood_lasts(nats_url, log, kind):
    async with flooded(nats_url, log, kind) as (node, heard):
        ref = node.ref(kind, "flooded")
        with anyio.fail_after(BOUND):
            await node.suspend(ref)
            silent, came = heard[0], came_for(node)
            await until(lambda: came_for(node) > came + 20_000)
            assert heard[0] <= silent + 1  # the one it had in hand
            await node.resume(ref)
            await until(lambda: heard[0] > silent + 100)


@pytest.mark.parametrize("kind", [Flooded, Busy])
async def test_flooded_actor_is_stopped_and_started_while_the_flood_lasts(nats_url, log, kind):
    async with flooded(nats_url, log, kind) as (node, heard):
        tree = node.ref(SupervisorRef, "tree")
        with anyio.fail_after(BOUND):
            await tree.terminate_child("flooded")
            silent = heard[0]
            with pytest.raises(NoActor):
                await node.ref(kind, "flooded").heard_so_far()
            assert await node.ref(Neighbour, prefer_local=False).echo(1) == 1
            assert heard[0] == silent
            await tree.restart_child("flooded")
            await until(lambda: heard[0] > silent + 100)


async def test_flooded_actor_answers_a_call_of_its_own(nats_url, log):
    async with flooded(nats_url, log, Flooded) as (node, heard):
        with anyio.fail_after(BOUND):
            before = heard[0]
            assert await node.ref(Flooded, "flooded").heard_so_far() > before


async def test_node_stops_while_the_flood_lasts(nats_url, log, lines):
    with anyio.fail_after(2 * BOUND):
        tree = Supervisor("tree", child(Flooded, [0]).replace(name="flooded"), child(Neighbour))
        async with Node(tree, settings=Settings(nats_url=nats_url, node_name="fair"), log=log):
            flood = subprocess.Popen(
                [sys.executable, "-m", "tests.system.flood", nats_url, "fairness.flood", "neighbour.echo"],
                cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )  # fmt: skip
            assert await anyio.to_thread.run_sync(flood.stdout.readline)
    assert flood.poll() is None
    flood.kill()
    flood.communicate()
    assert not [line for line in lines if line["level"] == "error"]
