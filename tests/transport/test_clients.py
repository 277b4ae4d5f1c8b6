"""What nats-py does badly is mended for both clients: the one with the fast path, and the one for any version."""

import asyncio
from urllib.parse import urlsplit

import pytest

from cliffracer.transport.contract import Trouble
from cliffracer.transport.nats import NatsOptions, NatsTransport
from cliffracer.transport.nats.client import StockClient
from cliffracer.transport.nats.fast import FastClient

pytestmark = pytest.mark.anyio

BOUND = 10.0  # seconds; for a hang, not a measure


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(params=[FastClient, StockClient])
async def connect(request, nats_url):
    """Make transports that are connected, with one kind of client; close them in the end."""
    made = []

    async def connected(events=None):
        transport = NatsTransport(NatsOptions(servers=(nats_url,)))
        transport._new_client = request.param
        await transport.connect((lambda _: None) if events is None else events.append)
        made.append(transport)
        return transport

    yield connected
    for transport in made:
        await transport.close()


async def test_connection_hears_on_after_a_flush_that_was_cancelled_anywhere(connect):
    here, there = await connect(), await connect()
    heard = asyncio.Queue()
    await here.subscribe("clients.flush", lambda _, payload, *__: heard.put_nowait(payload))
    await here.flush()
    for turns in range(12):
        flush = asyncio.create_task(here.flush())
        for _ in range(turns):
            await asyncio.sleep(0)
        flush.cancel()
        await asyncio.wait({flush})
    await there.publish("clients.flush", b"still here")
    async with asyncio.timeout(BOUND):
        assert await heard.get() == b"still here"


async def test_subject_that_is_no_text_costs_its_own_message_and_a_line(connect, nats_url):
    events = []
    here = await connect(events)
    heard = asyncio.Queue()
    await here.subscribe("clients.text.*", lambda subject, *_: heard.put_nowait(subject))
    await here.flush()
    address = urlsplit(nats_url)
    _, stranger = await asyncio.open_connection(address.hostname, address.port)
    stranger.write(b'CONNECT {"verbose":false}\r\nPUB clients.text.\xff 1\r\nx\r\nPUB clients.text.a 1\r\nx\r\n')
    async with asyncio.timeout(BOUND):
        assert await heard.get() == "clients.text.a"
    stranger.close()
    assert [type(event) for event in events] == [Trouble]
    assert "malformed" in events[0].error


async def test_burst_lets_others_run_again_and_again(connect):
    here, there = await connect(), await connect()
    taken, turns = 0, 0

    def take(*_):
        nonlocal taken
        taken += 1
        return taken % 1000 == 0  # as of a mailbox that is full

    async def take_turns():
        nonlocal turns
        while taken < 20_000:
            turns += 1
            await asyncio.sleep(0)

    await here.subscribe("clients.burst", take)
    await here.flush()
    others = asyncio.create_task(take_turns())
    for _ in range(20_000):
        await there.publish("clients.burst", b"x")
    async with asyncio.timeout(BOUND):
        await others
    assert turns >= 20
