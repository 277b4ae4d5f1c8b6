"""A node with an actor that cannot follow: `python -m tests.system.overload.node URL`. It says `ready`."""

import sys

import anyio

from cliffracer import Actor, Mailbox, Node, Settings, Supervisor, call, cast, child, event
from tests.system.peers import tell

CAPACITY = 100
SECONDS = 0.001  # that a handler takes
RUNNING: list[Node] = []


class Slow(Actor, mailbox=Mailbox(CAPACITY)):
    def __init__(self) -> None:
        self.local = 0

    @cast
    async def note(self, number: int) -> None:
        await anyio.sleep(SECONDS)

    @event("overload.news")
    async def on_news(self, number: int) -> None:
        await anyio.sleep(SECONDS)

    @call
    async def ask(self, number: int) -> int:
        await anyio.sleep(SECONDS)
        return number

    @cast
    async def note_local(self) -> None:
        await anyio.sleep(SECONDS)
        self.local += 1


class Neighbour(Actor):
    """A sender on the same node: it waits for room, and loses nothing."""

    @cast
    async def send(self, count: int) -> None:
        for _ in range(count):
            with anyio.fail_after(60.0):
                await self.ref(Slow).note_local()


class Observer(Actor):
    @call
    async def report(self) -> dict[str, int]:
        node = RUNNING[-1]
        slow = node.statistics()["slow"]
        subscriptions = node._transport._client._subs.values()  # type: ignore[attr-defined]
        return {
            "handled": slow.handled,
            "dropped": slow.mailbox.dropped,
            "waiting": slow.mailbox.depth,
            "senders": slow.mailbox.senders_waiting,
            "local": (await node.get_state(self.ref(Slow)))["local"],
            "in_nats_py": sum(one._pending_queue.qsize() + one._pending_size for one in subscriptions),
        }


async def serve(url: str) -> None:
    tree = Supervisor("overload", child(Slow), child(Neighbour), child(Observer))
    node = Node(tree, settings=Settings(nats_url=url, log_level="error", log_format="json"))
    async with node:
        RUNNING.append(node)
        tell("ready")
        await anyio.to_thread.run_sync(sys.stdin.readline)


if __name__ == "__main__":
    anyio.run(serve, sys.argv[1], backend="asyncio")
