"""Actors that call one another over several nodes: `python -m tests.system.chain URL CLOCK_OFFSET NAME...`."""

import asyncio
import sys

import anyio

from cliffracer import Actor, CallCycle, Node, Settings, Supervisor, call, child
from cliffracer.envelope import current_message
from cliffracer.transport.contract import Transport
from tests.system.peers import tell

CALL_TIMEOUT = 30.0  # seconds; whoever waits for that long has not been told at once


class Hop(Actor, shutdown=0.1):
    """One of several under different names."""

    def __init__(self) -> None:
        self.counted = 0

    @call
    async def relay(self, path: list[str], seconds: float = 0.0) -> list[float | str]:
        """Wait for a while, then call those on the path; return what time was left at each hop, on its own clock."""
        message = current_message.get()
        assert message is not None
        left = message.deadline - anyio.current_time()
        await anyio.sleep(seconds)
        if not path:
            return [left]
        try:
            return [left, *await self.ref(Hop, path[0]).relay(path[1:], seconds)]
        except CallCycle as error:
            return [left, str(error)]

    @call
    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)

    @call
    async def have_slept(self, name: str, seconds: float) -> None:
        await self.ref(Hop, name).sleep(seconds)

    @call
    async def count(self) -> int:
        self.counted += 1
        return self.counted


class Observer(Actor):
    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes

    @call
    async def expired(self, name: str) -> int:
        return self.nodes[0].statistics()[name].expired

    @call
    async def load_of(self, name: str) -> tuple[int, int]:
        statistics = self.nodes[0].statistics()[name]
        return statistics.in_hand, statistics.mailbox.depth


class SkewedLoop(asyncio.SelectorEventLoop):
    """A loop whose clock began at another time."""

    offset = 0.0

    def time(self) -> float:
        return super().time() + self.offset


def node_with(names: list[str], settings: Settings, transport: Transport | None = None) -> Node:
    """Return a node with a hop of each name, and an observer named after the first."""
    nodes: list[Node] = []
    hops = [child(Hop).replace(name=name, id=name) for name in names]
    observer = child(Observer, nodes).replace(name=f"observer-{names[0]}")
    nodes.append(Node(Supervisor("chain", *hops, observer), settings=settings, transport=transport))
    return nodes[0]


async def serve(url: str, names: list[str]) -> None:
    settings = Settings(nats_url=url, call_timeout=CALL_TIMEOUT, drain_timeout=0.1, log_format="json")
    async with node_with(names, settings):
        tell("ready")
        await anyio.to_thread.run_sync(sys.stdin.readline)


if __name__ == "__main__":
    SkewedLoop.offset = float(sys.argv[2])
    anyio.run(serve, sys.argv[1], sys.argv[3:], backend="asyncio", backend_options={"loop_factory": SkewedLoop})
