"""A real server, and clients that know nothing of us."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time

import anyio
import anyio.abc
import nats
import pytest

from cliffracer import Actor, ConnectFailed, Disconnected, Node, Settings, Supervisor, call, child, event
from cliffracer.transport.nats import NatsOptions, NatsTransport
from cliffracer.transport.server import find_server_binary, run_server

pytestmark = [pytest.mark.system, pytest.mark.anyio]


@pytest.fixture
def anyio_backend():
    return "asyncio"


class Inventory(Actor):
    def __init__(self) -> None:
        self.stock = {"A1": 10}

    @call
    async def reserve(self, sku: str, qty: int) -> int:
        self.stock[sku] -= qty
        return self.stock[sku]


class Echo(Actor):
    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    @call
    async def echo(self, number: int) -> int:
        await anyio.sleep(self.seconds)
        return number


class Hearer(Actor):
    def __init__(self, heard: list[str]) -> None:
        self.heard = heard

    @event("news.{topic}", to="one")
    async def on_one(self, topic: str) -> None:
        self.heard.append("one")

    @event("news.*", to="all")
    async def on_all(self) -> None:
        self.heard.append("all")


def node(url: str, *children, log, **settings) -> Node:
    return Node(Supervisor("tree", *children), settings=Settings(nats_url=url, **settings), log=log)


async def test_bare_nats_client_calls_with_json_and_reads_json(nats_url, log):
    async with node(nats_url, child(Inventory), log=log):
        client = await nats.connect(nats_url)
        reply = await client.request("inventory.reserve", b'{"sku": "A1", "qty": 2}', timeout=5)
        assert json.loads(reply.data) == 8
        assert not reply.headers
        reply = await client.request("inventory.reserve", b'{"sku": "nope", "qty": 2}', timeout=5)
        assert reply.headers["Nats-Service-Error-Code"] == "500"
        assert re.search(r"incident [0-9a-f]{12}", reply.headers["Nats-Service-Error"])
        assert reply.headers["Cliffracer-Error"] == "crashed"
        assert json.loads(reply.data)["code"] == "crashed"
        reply = await client.request("inventory.reserve", b'{"sku": "A1"}', timeout=5)
        assert reply.headers["Nats-Service-Error-Code"] == "400"
        await client.close()


async def test_replicas_share_calls_and_each_hears_what_is_for_all(nats_url, log):
    heard: dict[str, list[str]] = {"a": [], "b": []}
    async with (
        node(nats_url, child(Hearer, heard["a"]), child(Inventory), log=log) as a,
        node(nats_url, child(Hearer, heard["b"]), child(Inventory), log=log) as b,
    ):
        for _ in range(100):
            await a.ref(Inventory, prefer_local=False).reserve("A1", 0)
            await a.publish("news.today", None)
        with anyio.fail_after(5.0):
            while sum(map(len, heard.values())) < 300:
                await anyio.sleep(0.01)
        handled = [n.statistics()["inventory"].handled for n in (a, b)]
    assert sum(handled) == 100
    assert min(handled) > 10
    assert [heard[name].count("all") for name in "ab"] == [100, 100]
    assert heard["a"].count("one") + heard["b"].count("one") == 100
    assert min(heard[name].count("one") for name in "ab") > 10


@pytest.mark.parametrize("seconds", [0.0, 0.002], ids=["quick", "slow"])
async def test_node_that_stops_under_load_leaves_no_call_unanswered(nats_url, log, seconds):
    """Two replicas, a client in a process of its own; one replica stops in the middle."""
    script = textwrap.dedent("""
        import asyncio, sys, nats
        async def main():
            client = await nats.connect(sys.argv[1])
            answered = 0
            async def caller(first):
                nonlocal answered
                for number in range(first, first + 100):
                    reply = await client.request("echo.echo", b'{"number": %d}' % number, timeout=10)
                    assert reply.headers is None and reply.data == b"%d" % number, (reply.headers, reply.data)
                    answered += 1
                    if answered == 500:
                        print("half", flush=True)
            await asyncio.gather(*(caller(first * 1000) for first in range(20)))
            print("answered", answered)
            await client.close()
        asyncio.run(main())
    """)
    async with node(nats_url, child(Echo, seconds), log=log) as stays:
        async with node(nats_url, child(Echo, seconds), log=log) as leaves:
            client = await anyio.open_process([sys.executable, "-c", script, nats_url], stderr=subprocess.STDOUT)
            assert client.stdout is not None
            text = b""
            while not text.endswith(b"\n"):
                text += await client.stdout.receive()
            left = leaves.statistics()["echo"]
        assert left.handled > 0
        with anyio.fail_after(30.0):
            async for chunk in client.stdout:
                text += chunk
            assert await client.wait() == 0, text.decode()
        await client.aclose()
        assert stays.statistics()["echo"].handled > 0
    assert text == b"half\nanswered 2000\n"


async def test_calls_in_flight_fail_at_once_when_the_server_dies_and_the_node_comes_back_with_it(log, lines, tmp_path):
    port = _free_port()
    command = [str(find_server_binary()), "-a", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    url = f"nats://127.0.0.1:{port}"
    try:
        slow = child(Echo, 600.0).replace(name="slow", shutdown=0.1)
        async with node(url, child(Echo), slow, log=log, nats_connect_timeout=10.0, drain_timeout=0.1) as running:
            far = running.ref(Echo, prefer_local=False)
            with anyio.fail_after(15.0):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(_expect_disconnected, running.ref(Echo, "slow", prefer_local=False))
                    while not running.statistics()["slow"].in_hand:
                        await anyio.sleep(0.01)
                    server.send_signal(signal.SIGKILL)
                    server.wait()
            with pytest.raises(Disconnected):
                await far.echo(2)
            assert not running.is_ready
            assert await running.ref(Echo).echo(3) == 3  # the actor lives
            server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
            with anyio.fail_after(15.0):
                while not running.is_ready:
                    await anyio.sleep(0.02)
            assert await far.echo(4) == 4
    finally:
        server.kill()
        server.wait()
    names = [line["event"] for line in lines]
    assert names.index("broker_disconnected") < names.index("broker_reconnected")


async def _expect_disconnected(far: Echo) -> None:
    with pytest.raises(Disconnected) as error, anyio.fail_after(600.0):
        await far.echo(1)
    assert error.value.retry == "unsafe"


async def test_unsubscribe_is_on_the_wire_ahead_of_the_ping_whose_pong_is_waited_for(nats_url):
    """nats-py's own drain sends PING first; then a PONG proves nothing about the UNSUB behind it."""
    sent: list[bytes] = []
    transport = NatsTransport(NatsOptions(servers=(nats_url,)))
    await transport.connect(lambda _: None)
    subscription = await transport.subscribe("order.of.things", lambda *_: None)
    await transport.flush()
    wire = transport._client._transport
    write, writelines = wire.write, wire.writelines
    wire.write = lambda payload: (sent.append(bytes(payload)), write(payload))
    wire.writelines = lambda payload: (sent.extend(bytes(p) for p in payload), writelines(payload))
    await subscription.drain()
    await transport.close()
    verbs = [chunk.split()[0] for chunk in sent]
    assert verbs.index(b"UNSUB") < verbs.index(b"PING")


AUTH = [
    (["--user", "joe", "--pass", "s3cret"], {"nats_user": "joe", "nats_password": "s3cret"}),
    (["--auth", "t0ken"], {"nats_token": "t0ken"}),
]


@pytest.mark.parametrize(("options", "settings"), AUTH, ids=["password", "token"])
async def test_credentials_reach_the_server_and_wrong_ones_are_refused_at_once(options, settings, log):
    port = _free_port()
    server = subprocess.Popen(
        [str(find_server_binary()), "-a", "127.0.0.1", "-p", str(port), *options], stderr=subprocess.DEVNULL
    )
    try:
        url = f"nats://127.0.0.1:{port}"
        async with node(url, child(Echo), log=log, **settings) as running:
            assert await running.ref(Echo, prefer_local=False).echo(1) == 1
        begin = time.monotonic()
        with pytest.raises(ConnectFailed, match="refused the credentials") as error:
            async with node(url, child(Echo), log=log, nats_connect_timeout=60.0):
                pytest.fail("the block must not run")
        assert time.monotonic() - begin < 10.0
        assert "CLIFFRACER_NATS_" in str(error.value)
    finally:
        server.kill()
        server.wait()


async def test_server_that_accepts_and_says_nothing_is_given_up_in_time(log):
    async def say_nothing(stream) -> None:
        async with stream:
            await anyio.sleep_forever()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, say_nothing)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        with anyio.fail_after(5.0), pytest.raises(ConnectFailed, match="within 0.5 s"):
            await NatsTransport(NatsOptions(servers=(f"nats://127.0.0.1:{port}",), connect_timeout=0.5)).connect(
                lambda _: None
            )
        tasks.cancel_scope.cancel()


async def test_creds_file_reaches_the_server(log, tmp_path):
    nkeys = pytest.importorskip("nkeys")
    port = _free_port()
    config, creds = _jwt_server(tmp_path, port, nkeys)
    server = subprocess.Popen([str(find_server_binary()), "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        async with node(f"nats://127.0.0.1:{port}", child(Echo), log=log, nats_creds_file=str(creds)) as running:
            assert await running.ref(Echo, prefer_local=False).echo(1) == 1
    finally:
        server.kill()
        server.wait()


async def test_tls_with_a_private_ca_reaches_the_server(log, tmp_path):
    _certificates(tmp_path)
    port = _free_port()
    server = subprocess.Popen(
        [str(find_server_binary()), "-a", "127.0.0.1", "-p", str(port), "--tlsverify", "--tlscacert",
         f"{tmp_path}/ca.pem", "--tlscert", f"{tmp_path}/server.pem", "--tlskey", f"{tmp_path}/server.key"],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        url = f"tls://localhost:{port}"
        files = {
            "nats_tls_ca_file": f"{tmp_path}/ca.pem",
            "nats_tls_cert_file": f"{tmp_path}/client.pem",
            "nats_tls_key_file": f"{tmp_path}/client.key",
        }
        async with node(url, child(Echo), log=log, **files) as running:
            assert await running.ref(Echo, prefer_local=False).echo(1) == 1
        with pytest.raises(ConnectFailed):
            async with node(url, child(Echo), log=log, nats_connect_timeout=2.0):
                pytest.fail("the block must not run")
    finally:
        server.kill()
        server.wait()


async def test_embedded_server_has_jetstream_on_and_leaves_nothing_behind():
    async with run_server(port=0) as url:
        client = await nats.connect(url)
        info = await client.jsm().account_info()
        assert info.limits is not None
        await client.close()
    with pytest.raises(ConnectFailed):
        await NatsTransport(NatsOptions(servers=(url,), connect_timeout=0.3)).connect(lambda _: None)


async def test_reply_subject_that_cannot_be_published_to_costs_one_line_a_second_and_nobody_else(nats_url, log, lines):
    host, port = nats_url.removeprefix("nats://").split(":")
    async with node(nats_url, child(Echo), log=log) as running:
        async with await anyio.connect_tcp(host, int(port)) as raw:
            await raw.send(b"CONNECT {}\r\n" + b'PUB echo.echo _a..b 12\r\n{"number":1}\r\n' * 50 + b"PING\r\n")
            with anyio.fail_after(5.0):
                while running.statistics()["echo"].handled < 50:
                    await anyio.sleep(0.01)
        assert await running.ref(Echo, prefer_local=False).echo(2) == 2
    assert [line["total"] for line in lines if line["event"] == "reply_lost"] == [1]


async def test_burst_that_a_quick_actor_can_follow_is_not_dropped(nats_url, log):
    heard: list[str] = []
    async with node(nats_url, child(Hearer, heard), log=log) as running:
        sender = NatsTransport(NatsOptions(servers=(nats_url,)))
        await sender.connect(lambda _: None)
        for _ in range(20_000):
            await sender.publish("news.burst", b"")
        await sender.close()
        with anyio.fail_after(10.0):
            while len(heard) + running.statistics()["hearer"].mailbox.dropped < 40_000:
                await anyio.sleep(0.01)
        assert running.statistics()["hearer"].mailbox.dropped == 0


@pytest.mark.parametrize(
    "frame",
    [
        b"PUB deaf.\xff 2\r\n{}\r\n",
        b"PUB deaf.x in\xffbox 2\r\n{}\r\n",
        b"HPUB deaf.x 8 10\r\nNATS/1.0{}\r\n",
        b"HPUB deaf.x 16 18\r\nNATS/1.0 \xff\xff\xff\r\n\r\n{}\r\n",
    ],
    ids=["subject", "reply", "short header", "status"],
)
async def test_malformed_message_is_dropped_and_the_next_one_is_heard(nats_url, frame):
    heard: list[str] = []
    events: list[object] = []
    transport = NatsTransport(NatsOptions(servers=(nats_url,)))
    await transport.connect(events.append)
    await transport.subscribe("deaf.>", lambda subject, *_: heard.append(subject))
    await transport.flush()
    host, port = nats_url.removeprefix("nats://").split(":")
    async with await anyio.connect_tcp(host, int(port)) as raw:
        await raw.send(b'CONNECT {"verbose":false,"headers":true}\r\n' + frame + b"PUB deaf.next 2\r\n{}\r\nPING\r\n")
        with anyio.fail_after(5.0):
            while "deaf.next" not in heard:
                await anyio.sleep(0.01)
    assert transport.is_connected
    await transport.close()


@pytest.mark.parametrize("value", ["x\r\nEvil: y", "x\nEvil: y", "x\r\n\r\n{}"])
async def test_line_break_in_a_header_value_makes_no_header_of_its_own(nats_url, value):
    heard: list[object] = []
    transport = NatsTransport(NatsOptions(servers=(nats_url,)))
    await transport.connect(lambda _: None)
    await transport.subscribe("breaks.x", lambda _, payload, __, headers: heard.append((payload, headers)))
    await transport.publish("breaks.x", b"body", headers={"Good": value})
    await transport.flush()
    assert [(payload, list(headers)) for payload, headers in heard] == [(b"body", ["Good"])]
    await transport.close()


async def test_oversized_header_and_payload_never_reach_the_server_which_would_close_the_connection(nats_url, log):
    async with node(nats_url, child(Echo), log=log) as running:
        with pytest.raises(Exception, match="max_payload") as error:
            await running.publish("big.news", "x" * (1024 * 1024))
        assert error.value.code == "too_large"
        assert await running.ref(Echo, prefer_local=False).echo(1) == 1


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _certificates(folder) -> None:
    """Make a CA, and a server's and a client's certificate signed by it."""
    import trustme

    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    for name, identity in (("server", "localhost"), ("client", "client@example.org")):
        certificate = authority.issue_cert(identity)
        certificate.private_key_pem.write_to_path(folder / f"{name}.key")
        certificate.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")


def _jwt_server(folder, port: int, nkeys):
    """Write the configuration of a server with an operator and one account, and the creds file of a user of it."""
    import base64
    import hashlib

    def pair(prefix: int):
        seed = nkeys.encode_seed(os.urandom(32), prefix)
        return nkeys.from_seed(bytearray(seed)), seed

    def b64(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    def public(keys) -> str:
        return keys.public_key.decode()

    def jwt(subject, issuer, name: str, claims: dict) -> str:
        body = {
            "iat": int(time.time()),
            "iss": public(issuer),
            "sub": public(subject),
            "name": name,
            "nats": {"version": 2, **claims},
        }
        digest = hashlib.new("sha512_256", json.dumps(body, sort_keys=True).encode()).digest()
        body["jti"] = base64.b32encode(digest).rstrip(b"=").decode()
        head = b64(json.dumps({"typ": "JWT", "alg": "ed25519-nkey"}).encode()) + "." + b64(json.dumps(body).encode())
        return head + "." + b64(issuer.sign(head.encode()))

    operator, _ = pair(nkeys.PREFIX_BYTE_OPERATOR)
    account, _ = pair(nkeys.PREFIX_BYTE_ACCOUNT)
    user, user_seed = pair(nkeys.PREFIX_BYTE_USER)
    operator_jwt = jwt(operator, operator, "op", {"type": "operator"})
    unlimited = {
        "subs": -1,
        "data": -1,
        "payload": -1,
        "imports": -1,
        "exports": -1,
        "wildcards": True,
        "conn": -1,
        "leaf": -1,
    }
    account_jwt = jwt(account, operator, "acc", {"type": "account", "limits": unlimited})
    user_jwt = jwt(user, account, "user", {"type": "user", "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1})
    config = folder / "server.conf"
    config.write_text(
        f'listen: "127.0.0.1:{port}"\noperator: "{operator_jwt}"\nresolver: MEMORY\n'
        f'resolver_preload: {{ {public(account)}: "{account_jwt}" }}\n'
    )
    creds = folder / "user.creds"
    creds.write_text(
        f"-----BEGIN NATS USER JWT-----\n{user_jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{bytes(user_seed).decode()}\n------END USER NKEY SEED------\n"
    )
    return config, creds
