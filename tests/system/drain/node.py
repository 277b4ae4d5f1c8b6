"""A replica: `python -m tests.system.drain.node URL HANDLER_MS HOW`. It says `ready`, and at its end what it `handled`.

HOW it stops: `block`, when it is told so on stdin, by leaving the block of its node; `signal`, at SIGTERM.
"""

import sys
import tempfile

import anyio
import msgspec

from cliffracer import Actor, Mailbox, Node, Settings, Supervisor, call, child, event, pool
from tests.system.peers import tell

HEARERS = 50  # for slow events: each of them takes its events one by one
CALLED: list[int] = []
HEARD: list[int] = []


class Worker(Actor):
    @call
    async def work(self, number: int) -> int:
        CALLED.append(number)
        return number


class SlowWorker(Actor, name="worker"):
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    @call(concurrent=True)
    async def work(self, number: int) -> int:
        await anyio.sleep(self.seconds)
        CALLED.append(number)
        return number


# A mailbox that takes all: this is about what a stop loses, not about what a full mailbox drops.
class Hearer(Actor, mailbox=Mailbox(1_000_000)):
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    @event("drain.heard")
    async def on_heard(self, number: int) -> None:
        if self.seconds:
            await anyio.sleep(self.seconds)
        HEARD.append(number)


def node_for(url: str, seconds: float) -> Node:
    async def announce() -> None:
        while not node.is_ready:
            await anyio.sleep(0.01)
        tell("ready")

    worker = child(SlowWorker, seconds) if seconds else child(Worker)
    hearer = pool(child(Hearer, seconds), size=HEARERS) if seconds else child(Hearer, seconds)
    tree = Supervisor("replica", worker, hearer, child(announce).replace(restart="temporary"))
    node = Node(tree, settings=Settings(nats_url=url, log_level="warning", log_format="json"))
    return node


async def live_in_a_block(node: Node) -> None:
    async with node:
        await anyio.to_thread.run_sync(sys.stdin.readline)


def main(url: str, handler_ms: str, how: str) -> None:
    node = node_for(url, float(handler_ms) / 1000)
    if how == "signal":
        node.run()
    else:
        anyio.run(live_in_a_block, node, backend="asyncio")
    # By a file: of a long line to a pipe, asyncio loses what it has not read when the process that wrote it ends.
    with tempfile.NamedTemporaryFile(prefix="cliffracer-drain-", delete=False) as file:
        file.write(msgspec.json.encode({"called": CALLED, "heard": HEARD}))
    tell("handled", file.name)


if __name__ == "__main__":
    main(*sys.argv[1:])
