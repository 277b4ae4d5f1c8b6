"""One of several nodes with the same tree: `python -m tests.system.replica URL TAG PREFER_LOCAL`.

With the tag `a` it has a pool, too. `python -m tests.system.replica URL TAG COUNT KEYS` instead is a sender to that.
"""

import asyncio
import sys

import anyio
import nats

from cliffracer import Actor, Mailbox, Node, Settings, Supervisor, call, cast, child, event, pool
from tests.system.peers import tell

TAG = ""
COUNTS = {"call": 0, "cast": 0, "one": 0, "all": 0}
PUT: list[tuple[str, str, str, int]] = []  # member, key, sender, number: in the order of handling


class Shared(Actor):
    @call
    async def where(self) -> str:
        COUNTS["call"] += 1
        return TAG

    @cast
    async def note(self) -> None:
        COUNTS["cast"] += 1

    @event("replicas.{number}", to="one")
    async def on_one(self, number: int) -> None:
        COUNTS["one"] += 1

    @event("replicas.*", to="all")
    async def on_all(self) -> None:
        COUNTS["all"] += 1


class Asker(Actor):
    """Asks from within the node; there is one per node, under a name of its own."""

    @call
    async def ask(self, times: int, prefer_local: bool | None) -> list[str]:
        shared = self.ref(Shared, prefer_local=prefer_local)
        return [await shared.where() for _ in range(times)]

    @call
    async def counts(self) -> dict[str, int]:
        return COUNTS

    @call
    async def put(self) -> list[tuple[str, str, str, int]]:
        return PUT


# Room for all: a drop would be no fault of the order.
class Keyed(Actor, mailbox=Mailbox(1_000_000)):
    @cast
    async def put(self, key: str, sender: str, number: int) -> None:
        await anyio.sleep(0.0)
        PUT.append((self.name, key, sender, number))


async def serve(url: str, tag: str, *, prefer_local: bool) -> None:
    global TAG  # noqa: PLW0603 - there is one in a process
    TAG = tag
    children = [child(Shared), child(Asker).replace(name=f"asker-{tag}")]
    if tag == "a":
        children.append(pool(Keyed, size=4, key="key"))
    settings = Settings(nats_url=url, prefer_local=prefer_local, log_format="json")
    async with Node(Supervisor("replica", *children), settings=settings):
        tell("ready")
        await anyio.to_thread.run_sync(sys.stdin.readline)


async def send(url: str, tag: str, count: int, keys: int) -> None:
    client = await nats.connect(url)
    tell("ready")
    await asyncio.to_thread(sys.stdin.readline)
    for number in range(count):
        payload = b'{"key":"k%d","sender":"%s","number":%d}' % (number % keys, tag.encode(), number)
        await client.publish("keyed.put", payload)
        await asyncio.sleep(0)
    await client.flush()
    tell("sent", count)
    await client.close()


if __name__ == "__main__":
    if len(sys.argv) == 4:
        anyio.run(lambda: serve(*sys.argv[1:3], prefer_local=sys.argv[3] == "True"), backend="asyncio")
    else:
        asyncio.run(send(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
