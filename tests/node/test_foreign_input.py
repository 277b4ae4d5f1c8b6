"""Messages from strangers: what does not fit is refused or dropped with a count, and no handler ever runs on it."""

import json
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
import pytest
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from cliffracer import Actor, Node, Settings, Supervisor, call, cast, child, event, every
from cliffracer.observe.logs import make_logger
from cliffracer.transport.contract import Response
from cliffracer.transport.local import LocalBroker, LocalTransport
from tests.node.foreign_corpus import BAD_CONTEXTS, BAD_PAYLOADS, BAD_REPLY_SUBJECTS, BAD_TRACES, BAD_WORDS

GOOD = b'{"sku": "A1", "qty": 1}'
INBOX = "_INBOX.stranger"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Closing(Struct, forbid_unknown_fields=True):
    sku: str
    amounts: list[float] = []


class Ledger(Actor):
    """Notes what its handlers got."""

    def __init__(self, got: list[tuple[Any, ...]]) -> None:
        self.got = got

    @call
    async def put(self, sku: str, qty: int, note: str = "", price: float = 0.0, anything: Any = None) -> int:
        self.got.append(("put", sku, qty, note, price, anything))
        return qty

    @cast
    async def nudge(self, number: int) -> None:
        self.got.append(("nudge", number))

    @call
    async def pass_on(self) -> None:
        """Send what came with the message to whoever listens."""
        self.got.append(("pass_on",))
        await self.publish("passed.on", None)

    @event("orders.{number}.closed")
    async def on_closed(self, number: int, closing: Closing) -> None:
        self.got.append(("on_closed", number, closing))

    @every(3600.0)
    async def report(self) -> None:
        self.got.append(("report",))


class World:
    """A node with a ledger, and a stranger on the same broker who can send anything and hears everything."""

    def __init__(self, node: Node, stranger: LocalTransport, got: list[tuple[Any, ...]]) -> None:
        self.node = node
        self.got = got
        self.heard: list[tuple[str, bytes, dict[str, str] | None]] = []
        self.sent = 0
        self._stranger = stranger

    def send(self, subject: str, payload: bytes, *, reply: str = "", headers: dict[str, str] | None = None) -> None:
        """Send a message past every check of ours."""
        self.sent += 1
        self._stranger._broker.route(subject, payload, reply, headers)

    def hear(self, subject: str, payload: bytes, _: str, headers: Any) -> None:
        if not (subject == "$CLIFFRACER.nodes" and self.node.id.encode() in payload):  # it asks who is there
            self.heard.append((subject, payload, headers))

    async def ask(self, subject: str, payload: bytes, headers: dict[str, str] | None = None) -> Response:
        return await self._stranger.request(subject, payload, headers=headers, timeout=5.0)

    @property
    def rejected(self) -> int:
        return self.node.statistics()["ledger"].rejected

    async def assert_lives(self) -> None:
        """The node still answers, and the ledger is the one that it was in the beginning."""
        assert (await self.ask("ledger.put", GOOD)).payload == b"1"
        assert self.got[-1] == ("put", "A1", 1, "", 0.0, None)
        assert self.node.statistics()["ledger"].incarnation == 1


@asynccontextmanager
async def world(log=None, **options):
    broker, got = LocalBroker(), []
    stranger = LocalTransport(broker)
    await stranger.connect(lambda _: None)
    tree = Supervisor("tree", child(Ledger, got), child(Ledger, got).replace(name="other"))
    node = Node(
        tree,
        settings=Settings(node_name="test", **options),
        transport=LocalTransport(broker),
        log=log or make_logger("critical"),
    )
    async with node:
        made = World(node, stranger, got)
        await stranger.subscribe(">", made.hear)
        yield made


def code_of(response: Response) -> str:
    """Return the error that a reply says in its header, its number and its body alike."""
    assert response.headers is not None
    decode = msgspec.json.decode if response.payload.startswith(b"{") else msgspec.msgpack.decode
    body = decode(response.payload)
    assert response.headers["Cliffracer-Error"] == body["code"]
    assert set(response.headers) == {"Nats-Service-Error", "Nats-Service-Error-Code", "Cliffracer-Error"}
    assert response.headers["Nats-Service-Error"].isprintable()
    assert len(response.headers["Nats-Service-Error"]) <= 256
    return body["code"]


def message_of(response: Response) -> str:
    decode = msgspec.json.decode if response.payload.startswith(b"{") else msgspec.msgpack.decode
    return decode(response.payload)["message"]


# Payloads


@pytest.mark.anyio
@pytest.mark.parametrize("bad", BAD_PAYLOADS, ids=lambda bad: bad.id)
async def test_call_with_a_bad_payload_is_refused_with_the_reason_and_no_handler_runs(bad, log, lines):
    async with world(log) as here:
        response = await here.ask("ledger.put", bad.bytes)
        assert code_of(response) == "invalid_message"
        assert bad.problem in message_of(response)
        assert len(response.payload) < 2000
        assert (here.got, here.rejected) == ([], 1)
        await here.assert_lives()
    (line,) = [line for line in lines if line["event"] == "message_rejected"]
    assert bad.problem in line["problem"]
    assert len(line["problem"]) < 1000


@pytest.mark.anyio
async def test_casts_and_events_with_bad_payloads_are_dropped_and_counted(log, lines):
    bad_for_all = [bad for bad in BAD_PAYLOADS if "`qty`" not in bad.problem]  # the event needs none
    async with world(log) as here:
        for bad in bad_for_all:
            here.send("ledger.nudge", bad.bytes)
            here.send("orders.7.closed", bad.bytes)
        for subject in ("orders.seven.closed", "orders.7.5.closed", "orders.99999999999999999999999.9.closed"):
            here.send(subject, b'{"sku": "A1"}')
        await anyio.sleep(1.0)
        assert here.got == []
        assert here.rejected == 2 * len(bad_for_all) + 1
        assert len(here.heard) == here.sent, "nobody answers a cast or an event"
        await here.assert_lives()
    # A flood of bad messages is no flood of lines.
    assert len([line for line in lines if line["event"] == "message_rejected"]) == 2


@pytest.mark.anyio
@pytest.mark.parametrize(
    "handler",
    [
        "nope", "PUT", "on_start", "on_stop", "on_closed", "report", "got", "ref", "publish", "__init__", "__class__",
        "_x", "put ", "*", ">", "\u00fc", "x" * 60_000, "\x1b[2J",
    ],
    ids=lambda name: repr(name[:10]),
)  # fmt: skip
async def test_what_is_no_call_and_no_cast_cannot_be_reached(handler, log, lines):
    async with world(log) as here:
        here.send(f"ledger.{handler}", GOOD, reply=INBOX)
        (reply,) = [Response(payload, headers) for subject, payload, headers in here.heard if subject == INBOX]
        assert code_of(reply) == "unknown_handler"
        assert "it has nudge, pass_on, put" in message_of(reply)
        assert (here.got, here.rejected) == ([], 1)
        await here.assert_lives()
    assert [line["event"] for line in lines].count("message_rejected") == 1


# Headers


@pytest.mark.anyio
@pytest.mark.parametrize("context", BAD_CONTEXTS, ids=lambda text: repr(text[:20]))
async def test_call_with_a_malformed_context_is_refused_and_no_handler_runs(context):
    async with world() as here:
        response = await here.ask("ledger.put", GOOD, {"Cliffracer": context})
        assert code_of(response) == "invalid_message"
        assert len(response.payload) < 2000
        here.send("ledger.nudge", b'{"number": 1}', headers={"Cliffracer": context})
        here.send("orders.7.closed", b'{"sku": "A1"}', headers={"Cliffracer": context})
        await anyio.sleep(1.0)
        assert (here.got, here.rejected) == ([], 3)
        await here.assert_lives()


@pytest.mark.anyio
async def test_time_that_has_run_out_is_not_started_and_a_time_beyond_measure_does_no_harm():
    async with world() as here:
        for left in ("0", "-1", "-1e300"):
            response = await here.ask("ledger.put", GOOD, {"Cliffracer": f"{left} - -"})
            assert code_of(response) == "timeout"
        assert here.got == []
        response = await here.ask("ledger.put", GOOD, {"Cliffracer": "1e300 - -"})
        assert response.payload == b"1"


@pytest.mark.anyio
@pytest.mark.parametrize("trace", BAD_TRACES, ids=lambda text: repr(text[:40]))
async def test_malformed_trace_is_ignored_and_not_passed_on(trace):
    async with world() as here:
        response = await here.ask("ledger.pass_on", b"", {"traceparent": trace})
        assert response.headers is None
        (passed,) = [headers for subject, _, headers in here.heard if subject == "passed.on"]
        assert "traceparent" not in passed


@pytest.mark.anyio
async def test_trace_is_passed_on_as_it_came():
    async with world() as here:
        await here.ask("ledger.pass_on", b"", {"traceparent": TRACE})
        (passed,) = [headers for subject, _, headers in here.heard if subject == "passed.on"]
        assert passed["traceparent"] == TRACE


@pytest.mark.anyio
async def test_replies_never_carry_headers_of_the_request_and_neither_does_what_the_message_causes():
    foreign = {
        "Authorization": "Bearer s3cret",
        "X-Big": "x" * 60_000,
        "Nats-Service-Error": "mine",
        "Nats-Service-Error-Code": "200",
        "Cliffracer-Error": "crashed",
        "Nats-Msg-Id": "1",
        "Status": "503",
        "traceparent": TRACE,
    }
    async with world() as here:
        assert (await here.ask("ledger.put", GOOD, foreign)).headers is None
        refused = await here.ask("ledger.put", b"{", foreign)
        assert code_of(refused) == "invalid_message"
        assert "s3cret" not in str(refused)
        unknown = await here.ask("ledger.nope", b"", foreign)
        assert "s3cret" not in str(unknown)
        await here.ask("ledger.pass_on", b"", foreign)
        (passed,) = [headers for subject, _, headers in here.heard if subject == "passed.on"]
        assert set(passed) == {"Cliffracer", "traceparent"}


# Reply subjects


@pytest.mark.anyio
@pytest.mark.parametrize("reply", BAD_REPLY_SUBJECTS)
async def test_message_whose_answer_would_go_to_no_inbox_is_dropped_and_counted(reply, log, lines):
    async with world(log) as here:
        here.send("ledger.put", GOOD, reply=reply)  # would be answered
        here.send("ledger.put", b"{", reply=reply)  # would be refused
        here.send("ledger.nope", GOOD, reply=reply)
        here.send("ledger.nudge", b'{"number": 1}', reply=reply)
        await anyio.sleep(1.0)
        assert (here.got, here.rejected) == ([], 4)
        assert len(here.heard) == here.sent, "nothing goes there"
        await here.assert_lives()
    (line,) = [line for line in lines if line["event"] == "message_rejected"]
    assert repr(reply) in line["problem"]
    assert "CLIFFRACER_REPLY_PREFIXES" in line["problem"]


@pytest.mark.anyio
@pytest.mark.parametrize("reply", BAD_REPLY_SUBJECTS)
async def test_tree_of_a_node_goes_to_inboxes_only(reply):
    async with world() as here:
        here.send("$CLIFFRACER.tree", b"", reply=reply)
        await anyio.sleep(1.0)
        assert len(here.heard) == here.sent
        assert b'"tree"' in (await here.ask("$CLIFFRACER.tree", b"")).payload


@pytest.mark.anyio
async def test_event_is_never_answered_wherever_its_answer_would_go():
    async with world() as here:
        for reply in (*BAD_REPLY_SUBJECTS, INBOX):
            here.send("orders.7.closed", b'{"sku": "A1"}', reply=reply)
            here.send("orders.7.closed", b"{", reply=reply)
        await anyio.sleep(1.0)
        assert len(here.heard) == here.sent
        assert here.got == [("on_closed", 7, Closing("A1"))] * 2 * (len(BAD_REPLY_SUBJECTS) + 1)


@pytest.mark.anyio
async def test_reply_prefixes_allow_inboxes_elsewhere_and_nothing_beside_them():
    async with world(reply_prefixes="answers.eu,inbox") as here:
        for reply in ("answers.eu.7", "inbox.7", INBOX, "answers.us.7", "inboxes.7", "answers.eu", "other.put"):
            here.send("ledger.put", GOOD, reply=reply)
        await anyio.sleep(1.0)
        answered = [subject for subject, payload, _ in here.heard if payload == b"1"]
        assert sorted(answered) == sorted(["answers.eu.7", "inbox.7", INBOX])
        assert here.rejected == 4


@pytest.mark.anyio
@pytest.mark.parametrize("reply", ["_INBOX.>", "_INBOX.*", "_INBOX..x", "_INBOX.", "_INBOX.a b", "_INBOX.\x1b", "_"])
async def test_inbox_that_cannot_be_published_to_costs_its_sender_the_answer_and_nobody_else_anything(reply):
    async with world() as here:
        here.send("ledger.put", GOOD, reply=reply)
        await anyio.sleep(1.0)
        await here.assert_lives()


# What nodes say to each other


@pytest.mark.anyio
async def test_words_between_nodes_that_are_none_change_nothing(log, lines):
    async with world(log) as here:
        me = here.node.id
        for subject in ("$CLIFFRACER.nodes", f"$CLIFFRACER.nodes.{me}", f"$CLIFFRACER.monitors.{me}"):
            for word in (*(bad.bytes for bad in BAD_PAYLOADS), *BAD_WORDS):
                here.send(subject, word, reply=INBOX)
                here.send(subject, word, reply="other.nudge")
        await anyio.sleep(1.0)
        assert here.node.nodes() == ()
        assert len(here.heard) == here.sent, "nobody answers"
        await here.assert_lives()
    assert not {"node_joined", "node_left"} & {line["event"] for line in lines}
    assert all(len(line["problem"]) < 1000 for line in lines if line["event"] == "message_rejected")


@pytest.mark.anyio
async def test_question_for_the_end_of_an_actor_that_is_none_is_refused():
    async with world() as here:
        for word in (*(bad.bytes for bad in BAD_PAYLOADS), *BAD_WORDS):
            response = await here.ask("ledger.$monitor", word)
            assert code_of(response) == "invalid_message"
            assert len(response.payload) < 2000
        before = here.sent
        for reply in BAD_REPLY_SUBJECTS:
            here.send("ledger.$monitor", b'{"id": "x", "name": "x", "monitor": "1"}', reply=reply)
        assert here.rejected == here.sent - before
        assert here.node.nodes() == ()
        await here.assert_lives()


# Lines in the log


@pytest.mark.anyio
async def test_foreign_text_cannot_forge_lines_of_the_log_or_talk_to_the_terminal(tmp_path):
    evil = b'{"x\\n00:00:00 [critical ] node_failed \\u001b[2J\\u001b[31m": 1}'
    for form in ("console", "json"):
        for subject, payload in (("ledger.put", evil), ("ledger.\x1b[2J", GOOD)):
            path = tmp_path / "lines.log"
            with path.open("w") as stream:
                async with world(make_logger("info", form, stream)) as here:
                    here.send(subject, payload)
            text = path.read_text()
            assert "message_rejected" in text
            assert "\x1b" not in text
            assert not [line for line in text.splitlines() if line.startswith("00:00:00 [critical")]


# Anything at all

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)
FIELDS = st.sampled_from(["sku", "qty", "note", "price", "anything", "number", "amounts", "self", "SKU", ""])
PAIRS = st.lists(st.tuples(FIELDS, VALUES | st.just("A1") | st.just(1)), max_size=6)


def json_of(pairs: list[tuple[str, Any]]) -> bytes:
    """Return an object in JSON that may have a key twice, and Python's NaN."""
    return ("{" + ", ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in pairs) + "}").encode(
        "utf-8", "surrogatepass"
    )


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A payload that nearly fits, with bytes changed, taken out or put in."""
    payload = bytearray(draw(st.sampled_from([GOOD, msgspec.msgpack.encode({"sku": "A1", "qty": 1})])))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(payload)))
        payload[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    return bytes(payload)


PAYLOADS = st.binary(max_size=40) | PAIRS.map(json_of) | damaged()


def fits(payload: bytes) -> tuple[Any, ...] | None:
    """Return what `put` is to get, by a reading of the payload that is not ours, or None if nothing."""

    outermost: list[list[tuple[str, Any]]] = []

    def note(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        outermost.append(pairs)
        return dict(pairs)

    if payload and payload[0] >= 0x80:
        try:
            found = msgspec.msgpack.decode(payload)
        except (ValueError, RecursionError):
            return None
    else:
        try:
            found = json.loads(payload or b"{}", object_pairs_hook=note)
        except (ValueError, RecursionError):
            return None
        if outermost and len(dict(outermost[-1])) < len(outermost[-1]):
            return None
    types = {"sku": str, "qty": int, "note": str, "price": float | int, "anything": object}
    if not isinstance(found, dict) or not {"sku", "qty"} <= set(found) <= set(types):
        return None
    if any(
        not isinstance(found[k], t) or (k != "anything" and isinstance(found[k], bool))
        for k, t in types.items()
        if k in found
    ):
        return None
    given = {"note": "", "price": 0.0, "anything": None, **found}
    return ("put", given["sku"], given["qty"], given["note"], given["price"], given["anything"])


def run(test: Callable[[World], Awaitable[None]]) -> None:
    """Run on trio's virtual clock, in a world of one's own."""

    async def main() -> None:
        async with world() as here:
            await test(here)
            await here.assert_lives()

    anyio.run(main, backend="trio", backend_options={"clock": trio.testing.MockClock(autojump_threshold=0)})


@settings(max_examples=100)
@given(st.lists(PAYLOADS, min_size=1, max_size=20))
def test_handler_runs_on_what_fits_and_everything_else_gets_an_error(payloads):
    async def test(here: World) -> None:
        for payload in payloads:
            before = len(here.got)
            response = await here.ask("ledger.put", payload)
            ran = here.got[before:]
            if response.headers is None:
                assert repr(ran) == repr([fits(payload)]) or ran == [fits(payload)], payload
            else:
                assert code_of(response) == "invalid_message"
                assert ran == []
                assert fits(payload) is None or not _is_strict(payload), payload

    run(test)


def _is_strict(payload: bytes) -> bool:
    """Tell whether it is what every reader takes for JSON: numbers in range, nothing that only Python knows."""
    return not any(word in payload for word in (b"NaN", b"Infinity", b"\\ud"))


SUBJECTS = ["ledger.put", "ledger.nudge", "ledger.nope", "ledger.pass_on", "orders.1.closed", "orders.x.closed"]
HEADER_VALUES = (
    st.text(max_size=12) | st.text("0123456789-. ,eE_naif", max_size=12) | st.sampled_from(BAD_CONTEXTS + BAD_TRACES)
)


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(SUBJECTS),
            PAYLOADS,
            st.sampled_from(["", INBOX, *BAD_REPLY_SUBJECTS]) | st.text(max_size=8).map("_INBOX.".__add__),
            st.none() | st.dictionaries(
                st.sampled_from(["Cliffracer", "traceparent", "Authorization", "Nats-Service-Error", "Status"]),
                HEADER_VALUES,
            ),
        ),
        max_size=20,
    )
)  # fmt: skip
def test_whatever_is_sent_the_node_lives_and_answers_inboxes_only(messages):
    async def test(here: World) -> None:
        for subject, payload, reply, headers in messages:
            here.send(subject, payload, reply=reply, headers=headers)
        await anyio.sleep(1.0)
        known = {subject for subject, _, _, _ in messages} | {"passed.on"}
        for subject, _, headers in here.heard:
            assert subject in known or subject.startswith("_INBOX."), subject
            if subject.startswith("_INBOX."):
                assert headers is None or set(headers) == {
                    "Nats-Service-Error", "Nats-Service-Error-Code", "Cliffracer-Error",
                }  # fmt: skip
        for got in here.got:
            if got[0] == "put":
                assert [type(value) for value in got[1:4]] == [str, int, str]
                assert isinstance(got[4], float)
            elif got[0] == "nudge":
                assert type(got[1]) is int
            elif got[0] == "on_closed":
                assert (type(got[1]), type(got[2])) == (int, Closing)

    run(test)
