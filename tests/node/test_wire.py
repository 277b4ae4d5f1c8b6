"""What goes over the wire, seen from a client that knows nothing of us: subjects, payloads, headers, errors."""

from collections.abc import AsyncIterator

import anyio
import msgspec
import pytest

from cliffracer import Actor, Mailbox, Node, Refusal, Settings, Supervisor, call, cast, child, event, pool
from cliffracer.transport.contract import Transport
from cliffracer.transport.local import LocalBroker, LocalTransport
from cliffracer.transport.nats import NatsOptions, NatsTransport

pytestmark = pytest.mark.anyio


class SoldOut(Refusal):
    """Nothing left."""


class Careless(Refusal):
    def __init__(self) -> None:
        pass


class Mute(Refusal):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Sly(Exception):
    exceptions = None


class Stock(msgspec.Struct):
    sku: str
    qty: int


class Shelf(Actor, mailbox=Mailbox(2)):
    def __init__(self) -> None:
        self.stock = {"A1": 10}
        self.gate = anyio.Event()

    @call
    async def reserve(self, sku: str, qty: int = 1) -> int:
        if self.stock[sku] < qty:
            raise SoldOut(f"{sku}: {self.stock[sku]} left", data={"left": self.stock[sku]})
        self.stock[sku] -= qty
        return self.stock[sku]

    @call
    async def show(self, *, low: int) -> list[Stock]:
        return [Stock(sku, qty) for sku, qty in self.stock.items() if qty >= low]

    @cast
    async def restock(self, sku: str, qty: int) -> None:
        self.stock[sku] = self.stock.get(sku, 0) + qty

    @call
    async def wait(self) -> str:
        await self.gate.wait()
        return "done"

    @call
    async def huge(self) -> str:
        return "x" * (2 * 1024 * 1024)

    @call
    async def refuse_badly(self, how: str) -> None:
        match how:
            case "data that cannot be encoded":
                raise SoldOut("no", data=object())
            case "data nested too deep":
                data: list[object] = []
                for _ in range(100_000):
                    data = [data]
                raise SoldOut("no", data=data)
            case "lone surrogate":
                raise SoldOut("\ud800")
            case "no super().__init__":
                raise Careless
            case "no text":
                raise Mute("no")
            case _:
                raise Sly

    @call
    async def liar(self) -> int:
        return object()  # type: ignore[return-value]

    @event("deliveries.{sku}")
    async def on_delivery(self, sku: str, qty: int) -> None:
        self.stock[sku] = self.stock.get(sku, 0) + qty


class Wire:
    """A node that runs Shelf, and a bare connection to the same broker."""

    def __init__(self, node: Node, client: Transport) -> None:
        self.node = node
        self.client = client

    async def ask(self, subject: str, payload: bytes, headers: dict[str, str] | None = None):
        return await self.client.request(subject, payload, headers=headers, timeout=5.0)

    async def fails(self, subject: str, payload: bytes, headers: dict[str, str] | None = None) -> tuple[str, str, dict]:
        """Return our code, the status and the body of the error that a request gets."""
        response = await self.ask(subject, payload, headers)
        assert response.headers is not None
        text = response.headers["Nats-Service-Error"]
        assert text
        assert "\n" not in text
        status = response.headers["Nats-Service-Error-Code"]
        decode = msgspec.msgpack.decode if payload[:1] >= b"\x80" else msgspec.json.decode
        return response.headers["Cliffracer-Error"], status, decode(response.payload)


@pytest.fixture(params=["local", "nats"])
async def wire(request: pytest.FixtureRequest, anyio_backend, log) -> AsyncIterator[Wire]:
    transports: list[Transport]
    if request.param == "nats":
        if anyio_backend[0] != "asyncio":
            pytest.skip("nats-py runs on asyncio only")
        options = NatsOptions(servers=(request.getfixturevalue("nats_url"),))
        transports = [NatsTransport(options), NatsTransport(options)]
    else:
        broker = LocalBroker()
        transports = [LocalTransport(broker), LocalTransport(broker)]
    tree = Supervisor("tree", child(Shelf).replace(shutdown=0.1), max_restarts=100)
    async with Node(tree, settings=Settings(drain_timeout=0.1), transport=transports[0], log=log) as node:
        await transports[1].connect(lambda _: None)
        yield Wire(node, transports[1])
        await transports[1].close()


async def test_reply_to_a_call_is_the_result_itself_as_json(wire):
    response = await wire.ask("shelf.reserve", b'{"sku": "A1", "qty": 2}')
    assert (response.payload, response.headers) == (b"8", None)


async def test_default_of_a_parameter_holds_on_the_wire_too(wire):
    assert (await wire.ask("shelf.reserve", b'{"sku": "A1"}')).payload == b"9"


async def test_keyword_only_parameters_and_struct_results_cross_the_wire(wire):
    assert (await wire.ask("shelf.show", b'{"low": 5}')).payload == b'[{"sku":"A1","qty":10}]'
    assert await wire.node.ref(Shelf, prefer_local=False).show(low=5) == [Stock("A1", 10)]
    assert await wire.node.ref(Shelf).show(low=11) == []


async def test_reply_comes_in_the_form_it_was_asked_in(wire):
    payload = msgspec.msgpack.encode({"sku": "A1", "qty": 2})
    assert msgspec.msgpack.decode((await wire.ask("shelf.reserve", payload)).payload) == 8


async def test_refusal_has_its_own_code_and_data_in_the_body(wire):
    code, status, body = await wire.fails("shelf.reserve", b'{"sku": "A1", "qty": 99}')
    assert (code, status) == ("refused", "422")
    assert (body["code"], body["message"], body["data"]) == ("sold_out", "A1: 10 left", {"left": 10})


async def test_refusal_known_to_the_caller_comes_back_as_its_own_class(wire):
    with pytest.raises(SoldOut, match="A1: 10 left") as refusal:
        await wire.node.ref(Shelf, prefer_local=False).reserve("A1", 99)
    assert refusal.value.data == {"left": 10}


async def test_crash_is_told_with_an_incident_and_nothing_of_the_inside(wire, lines):
    code, status, body = await wire.fails("shelf.reserve", b'{"sku": "nope"}')
    assert (code, status) == ("crashed", "500")
    (logged,) = [line for line in lines if line["event"] == "actor_crashed"]
    assert body["incident"] == logged["incident"]
    assert "KeyError" not in str(body)
    assert "nope" not in str(body)


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        (b'{"sku": "A1", "qty": "two"}', "Expected `int`, got `str` - at `$.qty`"),
        (b"{}", "missing required field `sku`"),
        (b'{"sku": "A1", "color": "red"}', "unknown field `color`"),
        (b"[1, 2]", "Expected `object`, got `array`"),
        (b"not json", "malformed"),
        (b"\xff\xfe", "Expected `object`, got `int`"),
    ],
)
async def test_payload_that_does_not_fit_is_told_with_the_path_of_the_bad_field(wire, payload, problem):
    code, status, body = await wire.fails("shelf.reserve", payload)
    assert (code, status) == ("invalid_message", "400")
    assert problem in body["message"]
    assert wire.node.statistics()["shelf"].handled == 0


async def test_unknown_handler_is_told_with_those_that_there_are(wire):
    code, status, body = await wire.fails("shelf.steal", b"{}")
    assert (code, status) == ("unknown_handler", "405")
    assert "reserve" in body["message"]


async def test_event_handler_cannot_be_called(wire):
    code, _, _ = await wire.fails("shelf.on_delivery", b"{}")
    assert code == "unknown_handler"


async def test_cast_sent_as_a_request_is_answered_when_it_is_queued(wire):
    assert (await wire.ask("shelf.restock", b'{"sku": "B2", "qty": 5}')).payload == b"null"
    assert (await wire.ask("shelf.reserve", b'{"sku": "B2", "qty": 5}')).payload == b"0"


async def test_cast_published_is_handled_without_an_answer(wire):
    await wire.client.publish("shelf.restock", b'{"sku": "B2", "qty": 5}')
    assert (await wire.ask("shelf.reserve", b'{"sku": "B2", "qty": 5}')).payload == b"0"


async def test_foreign_event_is_heard(wire):
    await wire.client.publish("deliveries.C3", b"7")
    await wire.client.flush()
    assert (await wire.ask("shelf.reserve", b'{"sku": "C3", "qty": 7}')).payload == b"0"


async def test_remote_call_to_a_full_mailbox_is_refused_at_once_and_casts_are_dropped_and_counted(wire, lines):
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wire.ask, "shelf.wait", b"{}")
        await _until(lambda: wire.node.statistics()["shelf"].in_hand == 1)
        for _ in range(2):
            tasks.start_soon(wire.ask, "shelf.wait", b"{}")
        await _until(lambda: wire.node.statistics()["shelf"].mailbox.depth == 2)
        code, status, body = await wire.fails("shelf.reserve", b'{"sku": "A1"}')
        assert (code, status) == ("mailbox_full", "429")
        assert "'shelf' holds 2 of 2 messages; nothing was queued" in body["message"]
        for _ in range(10):
            await wire.client.publish("shelf.restock", b'{"sku": "B2", "qty": 5}')
        await _until(lambda: wire.node.statistics()["shelf"].mailbox.dropped == 10)
        tasks.cancel_scope.cancel()
    (line,) = [line for line in lines if line["event"] == "messages_dropped"]
    assert (line["actor"], line["policy"], line["capacity"]) == ("shelf", "drop_new", 2)


async def _until(condition) -> None:
    with anyio.fail_after(5.0):
        while not condition():
            await anyio.sleep(0.001)


async def test_expired_message_is_answered_with_timeout_and_not_handled(wire):
    code, status, _ = await wire.fails("shelf.reserve", b'{"sku": "A1"}', {"Cliffracer": "-1 - -"})
    assert (code, status) == ("timeout", "504")
    assert wire.node.statistics()["shelf"].expired == 1


@pytest.mark.parametrize(
    "header", ["", "1", "x - -", "nan - -", "1 - a,,b", "1 - " + ",".join(["a"] * 99), "- " + "c" * 99 + " -"]
)
async def test_malformed_context_header_is_an_invalid_message(wire, header):
    code, _, _ = await wire.fails("shelf.reserve", b'{"sku": "A1"}', {"Cliffracer": header})
    assert code == "invalid_message"


async def test_correlation_id_of_the_caller_is_in_the_callees_log(wire, lines):
    await wire.fails("shelf.reserve", b'{"sku": "nope"}', {"Cliffracer": "- my-request-1 -"})
    assert any(line["event"] == "actor_crashed" for line in lines)


async def test_answer_over_the_limit_is_told_instead_of_being_lost(wire):
    code, status, body = await wire.fails("shelf.huge", b"{}")
    assert (code, status) == ("too_large", "413")
    assert "max_payload" in body["message"]


async def test_answer_that_cannot_be_encoded_is_a_crash_of_the_actor(wire):
    code, _, _ = await wire.fails("shelf.liar", b"{}")
    assert code == "crashed"


@pytest.mark.parametrize(
    "how",
    [
        "data that cannot be encoded",
        "data nested too deep",
        "lone surrogate",
        "no super().__init__",
        "no text",
        "exceptions that is no list",
    ],
)
async def test_refusal_that_cannot_be_told_is_a_crash_of_the_actor_alone(wire, how):
    code, _, _ = await wire.fails("shelf.refuse_badly", msgspec.json.encode({"how": how}))
    assert code == "crashed"
    assert (await wire.ask("shelf.reserve", b'{"sku": "A1"}')).payload == b"9"


async def test_reply_headers_do_not_echo_those_of_the_request(wire):
    response = await wire.ask("shelf.reserve", b'{"sku": "A1"}', {"Authorization": "Bearer secret"})
    assert response.headers is None
    response = await wire.ask("shelf.nothing", b"{}", {"Authorization": "Bearer secret"})
    assert "Authorization" not in response.headers


class Boxes(Actor):
    @call
    async def put(self, key: set[int | str]) -> str:
        return self.name

    @event("boxes.filled")
    async def on_filled(self, key: set[int | str]) -> None: ...


async def test_key_of_a_pool_that_cannot_be_told_from_others_is_refused_and_counted(log, lines):
    broker = LocalBroker()
    client = LocalTransport(broker)
    await client.connect(lambda _: None)
    tree = Supervisor("tree", pool(child(Boxes), size=2, key="key"))
    async with Node(tree, settings=Settings(), transport=LocalTransport(broker), log=log):
        reply = await client.request("boxes.put", b'{"key": [1, "a"]}', timeout=5)
        assert reply.headers is not None
        assert reply.headers["Cliffracer-Error"] == "invalid_message"
        await client.publish("boxes.filled", b'[1, "a"]')
        await anyio.sleep(2)
        (line, *_) = [line for line in lines if line["event"] == "message_rejected"]
        assert "the value of the key 'key' cannot be told from others" in line["problem"]
