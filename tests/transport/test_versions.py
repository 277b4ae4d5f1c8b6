"""The fast path is taken with the versions of nats-py that the tests hold it to, and with no other."""

import subprocess
import sys
from importlib.metadata import version

import anyio
import pytest

from cliffracer import Actor, Node, Settings, Supervisor, call, child
from cliffracer.transport.contract import SlowPath
from cliffracer.transport.nats import NatsOptions, NatsTransport, transport
from cliffracer.transport.nats.client import StockClient
from cliffracer.transport.nats.fast import FastClient
from cliffracer.transport.nats.versions import COVERED

pytestmark = pytest.mark.anyio

BOUND = 10.0  # seconds; for a hang, not a measure


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def nothing_covered(monkeypatch):
    """As with a version of nats-py that nobody has tested yet."""
    monkeypatch.setattr(transport, "COVERED", frozenset())


class Echo(Actor):
    @call
    async def echo(self, number: int) -> int:
        return number


async def until(condition):
    """Poll until `condition()` holds."""
    with anyio.fail_after(BOUND):
        while not condition():
            await anyio.sleep(0.01)


def test_installed_version_of_nats_py_is_covered():
    installed = version("nats-py")
    assert installed in COVERED, (
        f"nats-py {installed} is installed, and the fast path was tested with {', '.join(sorted(COVERED))} alone.\n"
        "Compare nats/protocol/parser.py and, in nats/aio/client.py, _process_msg, _process_headers, _read_loop, "
        "_process_pong, _attempt_reconnect, _send_publish and _flusher of the two versions.\n"
        "Then add it to COVERED in cliffracer/transport/nats/versions.py, and run "
        "tests/properties/test_fast_parser.py, tests/transport, tests/contract, and `python -m tests.system.soak`."
    )


async def test_covered_version_takes_the_fast_path_and_says_nothing(nats_url):
    events = []
    made = NatsTransport(NatsOptions(servers=(nats_url,)))
    await made.connect(events.append)
    assert type(made._client) is FastClient
    assert events == []
    await made.close()


async def test_other_version_takes_the_slow_path_and_says_so_once(nats_url, nothing_covered):
    events = []
    made = NatsTransport(NatsOptions(servers=(nats_url,)))
    await made.connect(events.append)
    await made.connect(events.append)
    assert type(made._client) is StockClient
    (told,) = events
    assert isinstance(told, SlowPath)
    assert version("nats-py") in told.reason
    await made.close()


async def test_all_works_on_the_slow_path(nats_url, nothing_covered):
    here, there = (NatsTransport(NatsOptions(servers=(nats_url,))) for _ in range(2))
    for one in (here, there):
        await one.connect(lambda _: None)
    heard, shared = [], [[], []]
    await there.subscribe("slow.path.a", lambda *message: heard.append(message))
    await there.subscribe("slow.path.ask", lambda _, payload, reply, __: there.publish_nowait(reply, payload.upper()))
    for one, got in zip((here, there), shared, strict=True):
        await one.subscribe("slow.path.shared", lambda _, payload, *__, got=got: got.append(int(payload)), queue="q")
        await one.flush()
    await here.publish("slow.path.a", b"hello", reply="r", headers={"k": "v"})
    await here.publish("slow.path.a", b"")
    response = await here.request("slow.path.ask", b"hello", timeout=BOUND)
    assert response.payload == b"HELLO"
    for number in range(200):
        await here.publish("slow.path.shared", b"%d" % number)
    await until(lambda: len(shared[0]) + len(shared[1]) == 200)
    assert sorted(shared[0] + shared[1]) == list(range(200))
    assert all(shared)
    assert heard == [("slow.path.a", b"hello", "r", {"k": "v"}), ("slow.path.a", b"", "", None)]
    for one in (here, there):
        await one.close()


@pytest.mark.system
async def test_node_on_the_slow_path_logs_that_once_whatever_happens_to_the_connection(
    nats_url, nothing_covered, log, lines
):
    settings = Settings(nats_url=nats_url, node_name="slow")
    made = NatsTransport(settings.nats_options())
    async with Node(Supervisor("tree", child(Echo)), settings=settings, transport=made, log=log) as node:
        far = node.ref(Echo, prefer_local=False)
        assert await far.echo(1) == 1
        # The connection breaks, and nats-py gets it back.
        made._client._transport._io_writer.transport.abort()
        await until(lambda: any(line["event"] == "broker_reconnected" for line in lines) and node.is_ready)
        assert await far.echo(2) == 2
        # nats-py gives up for good, and another client is made.
        client = made._client
        client._transport.write(b"PUB much 999999999\r\n")
        await until(lambda: made._client is not client and node.is_ready)
        assert await far.echo(3) == 3
        assert type(made._client) is StockClient
    (line,) = [line for line in lines if line["event"] == "broker_slow_path"]
    assert line["level"] == "warning"
    assert version("nats-py") in line["reason"]


async def test_node_on_the_fast_path_logs_nothing_of_it(nats_url, log, lines):
    settings = Settings(nats_url=nats_url, node_name="fast")
    async with Node(Supervisor("tree", child(Echo)), settings=settings, log=log) as node:
        assert await node.ref(Echo, prefer_local=False).echo(1) == 1
    assert not [line for line in lines if line["event"] == "broker_slow_path"]


def test_fast_path_is_not_even_imported_with_another_version():
    """Names that it needs may be gone."""
    script = """
import importlib.metadata, sys
version = importlib.metadata.version
importlib.metadata.version = lambda name: "99.0" if name == "nats-py" else version(name)
import nats.protocol.parser
del nats.protocol.parser.CRLF_SIZE
from cliffracer.transport.nats import NatsOptions, NatsTransport
print(type(NatsTransport(NatsOptions(servers=("nats://127.0.0.1:1",)))._new_client()).__name__)
assert "cliffracer.transport.nats.fast" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("StockClient\n", "")
