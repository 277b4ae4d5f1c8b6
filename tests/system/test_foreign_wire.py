"""Frames from strangers, written by hand onto a real connection: what no client library would send."""

import json
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import anyio
import anyio.abc
import nats
import pytest

from cliffracer import Actor, Node, Settings, Supervisor, call, cast, child
from tests.node.foreign_corpus import BAD_CONTEXTS, BAD_PAYLOADS, BAD_REPLY_SUBJECTS, BAD_TRACES

pytestmark = [pytest.mark.system, pytest.mark.anyio]

GOOD = b'{"sku": "A1", "qty": 1}'
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def anyio_backend():
    return "asyncio", {"use_uvloop": True}  # as `cliffracer run`


class Ledger(Actor):
    """Notes what its handlers got."""

    def __init__(self, got: list[tuple[Any, ...]]) -> None:
        self.got = got

    @call
    async def put(self, sku: str, qty: int, note: str = "", price: float = 0.0, anything: Any = None) -> int:
        self.got.append((sku, qty))
        return qty

    @cast
    async def nudge(self, number: int) -> None:
        self.got.append(("nudge", number))

    @call
    async def pass_on(self) -> None:
        await self.publish("passed.on", None)


class World:
    """A node with a ledger, a socket on the same server, and a client that hears what is published there."""

    def __init__(self, node: Node, socket: anyio.abc.SocketStream, client: Any, got: list[Any]) -> None:
        self.node = node
        self.client = client
        self.got = got
        self._socket = socket
        self._inboxes = count(1)

    def frame(self, subject: str, payload: bytes, reply: str = "", headers: bytes | None = None) -> bytes:
        """Return a frame; `headers` is the whole block, however malformed."""
        words = f"{subject} {reply} ".encode()
        if headers is None:
            return b"PUB " + words + b"%d\r\n%b\r\n" % (len(payload), payload)
        size = len(headers)
        return b"HPUB " + words + b"%d %d\r\n%b%b\r\n" % (size, size + len(payload), headers, payload)

    async def send(self, subject: str, payload: bytes, reply: str = "", headers: bytes | None = None) -> None:
        await self._socket.send(self.frame(subject, payload, reply, headers))

    async def ask(self, subject: str, payload: bytes, headers: bytes | None = None) -> Any:
        """Send a frame, and return the reply to it."""
        inbox = f"_INBOX.raw.{next(self._inboxes)}"
        replies = await self.client.subscribe(inbox)
        await self.client.flush()
        await self.send(subject, payload, inbox, headers)
        reply = await replies.next_msg(timeout=10)
        await replies.unsubscribe()
        return reply

    @property
    def rejected(self) -> int:
        return self.node.statistics()["ledger"].rejected

    async def until_rejected(self, wanted: int) -> None:
        with anyio.fail_after(10.0):
            while self.rejected < wanted:
                await anyio.sleep(0.01)

    async def assert_lives(self) -> None:
        reply = await self.ask("ledger.put", GOOD)
        assert (reply.data, reply.headers) == (b"1", None)
        assert self.node.statistics()["ledger"].incarnation == 1
        assert self.node.is_ready


@asynccontextmanager
async def world(url, log):
    got: list[Any] = []
    host, port = url.removeprefix("nats://").split(":")
    client = await nats.connect(url)
    node = Node(Supervisor("tree", child(Ledger, got)), settings=Settings(nats_url=url), log=log)
    try:
        async with node, await anyio.connect_tcp(host, int(port)) as socket:
            await socket.send(b'CONNECT {"verbose":false,"headers":true,"no_responders":false}\r\n')
            yield World(node, socket, client, got)
    finally:
        await client.close()


def block(*lines: bytes | str) -> bytes:
    """Return a header block with these lines, each as it is."""
    parts = [line.encode() if isinstance(line, str) else line for line in lines]
    return b"NATS/1.0\r\n" + b"".join(part + b"\r\n" for part in parts) + b"\r\n"


def code_of(reply) -> str:
    assert set(reply.headers) == {"Nats-Service-Error", "Nats-Service-Error-Code", "Cliffracer-Error"}
    return reply.headers["Cliffracer-Error"]


async def test_payloads_of_the_corpus_are_refused_over_a_real_server_as_well(nats_url, log):
    async with world(nats_url, log) as here:
        for number, bad in enumerate(BAD_PAYLOADS, start=1):
            reply = await here.ask("ledger.put", bad.bytes)
            assert code_of(reply) == "invalid_message", bad.id
            assert here.rejected == number
        assert here.got == []
        await here.assert_lives()


async def test_contexts_of_the_corpus_are_refused_over_a_real_server_as_well(nats_url, log):
    async with world(nats_url, log) as here:
        for context in BAD_CONTEXTS:
            reply = await here.ask("ledger.put", GOOD, block(f"Cliffracer: {context}"))
            # NATS takes the blanks around a value away.
            assert reply.data == b"1" if context == " 1 - -" else code_of(reply) == "invalid_message", context
        assert len(here.got) == 1
        await here.assert_lives()


@pytest.mark.parametrize(
    "headers",
    [
        ["Cliffracer: 5 - -", "Cliffracer: 5 - -"],
        ["Cliffracer: 5 - -", "X: y", "Cliffracer: 0 - -"],
        ["Cliffracer:", "Cliffracer: 5 - -"],
        ["Cliffracer: 5 - -"] * 500,
        [f"Cliffracer: 5 {'c' * 60_000} -"],
        [b"Cliffracer: \xff\xfe - -"],
        [b"Cliffracer: 5 - -\x00"],
    ],
    ids=["twice", "twice, one of them in time", "once empty", "500 times", "60 KB", "no UTF-8", "a nul byte"],
)
async def test_context_that_stands_there_twice_or_cannot_be_read_is_refused(nats_url, log, headers):
    async with world(nats_url, log) as here:
        reply = await here.ask("ledger.put", GOOD, block(*headers))
        assert code_of(reply) == "invalid_message"
        assert (here.got, here.rejected) == ([], 1)
        await here.assert_lives()


async def test_malformed_or_repeated_trace_is_not_passed_on_and_a_good_one_is(nats_url, log):
    async with world(nats_url, log) as here:
        passed = await here.client.subscribe("passed.on")
        await here.client.flush()
        for trace in BAD_TRACES:
            await here.ask("ledger.pass_on", b"", block(f"traceparent: {trace}"))
            assert "traceparent" not in (await passed.next_msg(timeout=10)).headers
        await here.ask("ledger.pass_on", b"", block(f"traceparent: {TRACE}", f"traceparent: {TRACE}"))
        assert "traceparent" not in (await passed.next_msg(timeout=10)).headers
        await here.ask("ledger.pass_on", b"", block(f"traceparent: {TRACE}"))
        assert (await passed.next_msg(timeout=10)).headers["traceparent"] == TRACE


async def test_foreign_headers_are_neither_obeyed_nor_echoed_however_large_or_many(nats_url, log):
    foreign = block(
        "Authorization: Bearer s3cret",
        "X-Big: " + "x" * 60_000,
        *(f"X-{number}: {number}" for number in range(2000)),
        "Status: 503",
        "Nats-Service-Error-Code: 500",
        "Cliffracer-Error: crashed",
    )
    async with world(nats_url, log) as here:
        reply = await here.ask("ledger.put", GOOD, foreign)
        assert (reply.data, reply.headers) == (b"1", None)
        reply = await here.ask("ledger.put", b"{", foreign)
        assert code_of(reply) == "invalid_message"
        assert "s3cret" not in str(reply.headers) + reply.data.decode()


BLOCKS = {
    "no version": b"\r\n\r\n",
    "another version": b"NATS/9.9\r\nA: b\r\n\r\n",
    "another protocol": b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n",
    "a status": b"NATS/1.0 503\r\n\r\n",
    "a status that is none": b"NATS/1.0 \xff\xff\xff\r\n\r\n",
    "no end": b"NATS/1.0\r\nA: b",
    "one byte": b"N",
    "zeros": b"\x00" * 100,
    "no colon": block("Cliffracer 5 - -"),
    "no name": block(": x", ":", "::"),
    "a name with a blank": block("Cli ffracer: x"),
    "a name that is no ASCII": block(b"\xff\xfe: x", "\u00fc: x"),
    "folded": block("A: b", "  Cliffracer: soon"),
    "bare line feeds": b"NATS/1.0\nCliffracer: soon\n\n",
    "bare carriage returns": b"NATS/1.0\rCliffracer: soon\r\r",
    "a second block": block("A: b") + block("Cliffracer: soon"),
    "60,000 line ends": b"NATS/1.0" + b"\r\n" * 30_000,
}


@pytest.mark.parametrize("headers", BLOCKS.values(), ids=BLOCKS.keys())
async def test_header_block_that_is_none_costs_at_most_the_message(nats_url, log, lines, headers):
    async with world(nats_url, log) as here:
        await here.send("ledger.nudge", b'{"number": 7}', headers=headers)
        await here.assert_lives()
        dropped = [line for line in lines if line["event"] in ("broker_error", "message_rejected")]
        assert here.got == ([("A1", 1)] if dropped else [("nudge", 7), ("A1", 1)])


async def test_answers_go_to_inboxes_only_and_nothing_reaches_the_brokers_own_interfaces(nats_url, log):
    async with world(nats_url, log) as here:
        spy = await here.client.subscribe(">")
        await here.client.flush()
        evil = json.dumps({"sku": "A1", "qty": 1, "anything": {"name": "evil", "subjects": ["evil"]}}).encode()
        # Those that the server itself takes for an answer to it, it does not let through.
        bad = [reply for reply in BAD_REPLY_SUBJECTS if not reply.startswith("$JS.ACK.")]
        replies = [*bad, "$JS.API.STREAM.CREATE.evil", "$JS.API.STREAM.NAMES"]
        for reply in replies:
            await here.send("ledger.put", evil, reply)
            await here.send("ledger.put", b"{", reply)
            await here.send("ledger.nudge", b'{"number": 7}', reply)
            await here.send("$CLIFFRACER.tree", b"", reply)
        await here.until_rejected(3 * len(replies))
        assert here.got == []
        await here.assert_lives()
        assert not [name for name in await here.client.jsm().streams_info() if name.config.name == "evil"]
        heard = []
        while spy.pending_msgs:
            heard.append((await spy.next_msg(timeout=1)).subject)
        sent = {"ledger.put": 2 * len(replies) + 1, "$CLIFFRACER.tree": len(replies)}  # by the stranger
        assert {reply: heard.count(reply) for reply in replies} == {reply: sent.get(reply, 0) for reply in replies}


async def test_stranger_whose_frames_are_none_is_cut_off_by_the_server_and_nobody_else_notices(nats_url, log, lines):
    host, port = nats_url.removeprefix("nats://").split(":")
    async with world(nats_url, log) as here:
        for junk in (
            b"\x00" * 1000,
            b"PUB ledger.put -1\r\n",
            b"HPUB ledger.put 20 10\r\n",
            b"MSG ledger.put 1 2\r\n{}\r\n",
        ):
            async with await anyio.connect_tcp(host, int(port)) as other:
                await other.send(b'CONNECT {"verbose":false,"headers":true}\r\n' + junk)
                with anyio.fail_after(10.0), pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                    while True:
                        await other.receive()
        assert (here.got, here.rejected) == ([], 0)
        await here.assert_lives()
    assert "broker_disconnected" not in [line["event"] for line in lines]
