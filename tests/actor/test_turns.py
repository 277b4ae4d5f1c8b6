"""How long an actor with a full mailbox goes on before others get their turn."""

import time

import anyio
import pytest

from cliffracer import Actor, Mailbox, cast, child

pytestmark = pytest.mark.anyio

REAL = [("asyncio", {}), ("asyncio", {"use_uvloop": True})]


class Busy(Actor, mailbox=Mailbox(2000)):
    def __init__(self, done, computes_for):
        self.done = done
        self.computes_for = computes_for

    @cast
    async def work(self) -> None:
        ends = time.perf_counter() + self.computes_for
        while time.perf_counter() < ends:
            pass
        self.done.append(self.name)


@pytest.mark.parametrize("anyio_backend", REAL, ids=["asyncio", "uvloop"])
async def test_neighbour_gets_its_turn_while_another_one_computes(run_node):
    done = []
    async with run_node(child(Busy, done, 0.001), child(Busy, done, 0.0).replace(name="neighbour")) as node:
        busy, neighbour = node.ref(Busy), node.ref(Busy, "neighbour")
        for _ in range(200):
            await busy.work()
        await neighbour.work()
        while len(done) < 201:
            await anyio.sleep(0.01)
    # 5 ms are a turn, whatever the machine does meanwhile.
    assert done.index("neighbour") <= 10


async def test_turns_do_not_depend_on_the_machine_under_a_virtual_clock(run_node):
    done = []
    async with run_node(child(Busy, done, 0.00002), child(Busy, done, 0.0).replace(name="neighbour")) as node:
        busy, neighbour = node.ref(Busy), node.ref(Busy, "neighbour")
        for _ in range(1500):
            await busy.work()
        await neighbour.work()
        await anyio.sleep(1.0)
    assert done.index("neighbour") in (0, 1024)  # trio draws lots for who begins
