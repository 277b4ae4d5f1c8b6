"""A burst from the broker: the reader lets an actor that can follow it follow, and waits for no other one."""

import asyncio

import anyio
import pytest

from cliffracer import Actor, Mailbox, Node, Settings, Supervisor, child, event
from cliffracer.testing import virtual_time
from cliffracer.transport.local import LocalTransport
from cliffracer.transport.nats.fast import FastClient
from cliffracer.transport.nats.sinks import DirectSink

pytestmark = pytest.mark.anyio

EVENTS = 10_000
CHUNK = 32 * 1024  # bytes that are read at once


@pytest.fixture
def anyio_backend():
    return virtual_time("asyncio")


class Tapped(LocalTransport):
    """A transport that keeps the sinks it is given, for someone else to fill."""

    def __init__(self):
        super().__init__()
        self.sinks = {}

    async def subscribe(self, subject, sink, *, queue=""):
        self.sinks[subject] = sink
        return await super().subscribe(subject, sink, queue=queue)


class Reader:
    """The parser of a connection over which events come for the actors of a node, and what came of them."""

    def __init__(self, node, transport):
        self.node = node
        self.transport = transport
        self.client = FastClient()
        self.client._flush_queue = asyncio.Queue()  # as `connect` would make it
        # A clock that stands still: what pauses there are, the mailboxes are the reason.
        self.client._ps._clock = lambda: 0.0

    async def read(self, subject, count):
        """Read so many events from the socket at once; return how many turns the rest of the process got meanwhile."""
        sink = DirectSink(self.transport.sinks[subject], lambda trouble: pytest.fail(trouble.error))
        sid = (await self.client.subscribe(subject, future=sink))._id
        stream = b"".join(
            b"MSG %s %d %d\r\n%d\r\n" % (subject.encode(), sid, len(b"%d" % number), number) for number in range(count)
        )
        turns = 0

        async def others():
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        task = asyncio.create_task(others())
        for place in range(0, len(stream), CHUNK):
            await self.client._ps.parse(stream[place : place + CHUNK])
        task.cancel()
        return turns

    def statistics(self, name):
        return self.node.statistics()[name]


@pytest.fixture
def run_reader(log):
    """Run a node with these children, and a reader beside it."""

    async def run(work, *children):
        transport = Tapped()
        settings = Settings(node_name="test", nats_url="none")
        async with Node(Supervisor("tree", *children), settings=settings, transport=transport, log=log) as node:
            await work(Reader(node, transport))

    return run


class Quick(Actor, mailbox=Mailbox(10)):
    def __init__(self, heard: list[int]) -> None:
        self.heard = heard

    @event("quick")
    async def on_event(self, number: int) -> None:
        self.heard.append(number)


class Slow(Actor, mailbox=Mailbox(10)):
    def __init__(self, heard: list[int]) -> None:
        self.heard = heard

    @event("slow")
    async def on_event(self, number: int) -> None:
        await anyio.sleep(1.0)
        self.heard.append(number)


class Rejecting(Actor, mailbox=Mailbox(10)):
    @event("rejecting")
    async def on_event(self, number: str) -> None:
        raise AssertionError("it takes no numbers")


async def test_quick_actor_with_a_small_mailbox_loses_nothing_of_a_large_burst(run_reader):
    heard: list[int] = []

    async def work(reader):
        turns = await reader.read("quick", EVENTS)
        await anyio.wait_all_tasks_blocked()
        assert heard == list(range(EVENTS))
        assert reader.statistics("quick").mailbox.dropped == 0
        # A pause for each full mailbox, and hardly one more.
        assert EVENTS // 10 - 1 <= turns <= EVENTS // 10 + 10

    await run_reader(work, child(Quick, heard))


async def test_slow_actor_does_not_hold_up_the_reader_which_has_others_to_serve(run_reader):
    heard: list[int] = []

    async def work(reader):
        turns = await reader.read("slow", EVENTS)
        assert turns <= 10
        slow = reader.statistics("slow")
        assert slow.mailbox.dropped == EVENTS - slow.mailbox.depth - 1
        assert slow.mailbox.depth == 10
        await anyio.sleep(20.0)
        # What it had room for it has heard, the first ones in order.
        assert heard == list(range(11))

    await run_reader(work, child(Slow, heard))


async def test_burst_at_a_slow_actor_costs_its_quick_neighbour_nothing(run_reader):
    quick, slow = [], []

    async def work(reader):
        await reader.read("slow", EVENTS)
        await reader.read("quick", EVENTS)
        await anyio.wait_all_tasks_blocked()
        assert quick == list(range(EVENTS))
        assert reader.statistics("quick").mailbox.dropped == 0
        assert reader.statistics("slow").handled <= 1

    await run_reader(work, child(Quick, quick), child(Slow, slow))


async def test_messages_that_are_refused_ask_for_no_pause(run_reader):
    async def work(reader):
        assert await reader.read("rejecting", EVENTS) == 0
        assert reader.statistics("rejecting").rejected == EVENTS

    await run_reader(work, child(Rejecting))
