"""The NATS service protocol, seen by whoever asks `$SRV`: who answers, with what, and that it fits the schemas."""

import json
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import jsonschema
import msgspec
import pytest

from cliffracer import (
    Actor,
    Backoff,
    DynamicSupervisor,
    Mailbox,
    Node,
    Refusal,
    Settings,
    Supervisor,
    SupervisorRef,
    Upstream,
    call,
    cast,
    child,
    event,
    every,
    pool,
)
from cliffracer.transport.contract import Transport
from cliffracer.transport.local import LocalBroker, LocalTransport
from cliffracer.transport.nats import NatsOptions, NatsTransport

pytestmark = pytest.mark.anyio

SCHEMAS = {
    kind: json.loads((Path(__file__).parent / "micro_schemas" / f"{kind}_response.json").read_text())
    for kind in ("ping", "info", "stats")
}


class ShelfIsEmpty(Refusal):
    """Nothing left."""


class ShelfIsMute(Refusal):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Delivery(msgspec.Struct):
    qty: int


class Shelf(Actor, mailbox=Mailbox(3), shutdown=0.1):
    """Keeps what is for sale.

    And more that is nobody's business.
    """

    def __init__(self) -> None:
        self.stock = {"A1": 10}
        self.gate = anyio.Event()

    @call
    async def reserve(self, sku: str, qty: int = 1) -> int:
        if self.stock[sku] < qty:
            raise ShelfIsEmpty(f"{sku}: {self.stock[sku]} left")
        self.stock[sku] -= qty
        return self.stock[sku]

    @cast
    async def restock(self, sku: str) -> None:
        self.stock[sku] += 1

    @call
    async def take(self, seconds: float) -> None:
        await anyio.sleep(seconds)

    @call
    async def wait(self) -> None:
        await self.gate.wait()

    @event("deliveries.{sku}")
    async def on_delivery(self, sku: str, delivery: Delivery) -> None:
        self.stock[sku] += delivery.qty

    @event("alarms.*", to="all")
    async def on_alarm(self) -> None:
        raise ShelfIsEmpty("alarmed")

    @every(3600.0)
    async def count(self) -> None:
        pass


class Plain(Actor):
    @call
    async def hello(self) -> str:
        return "hello"


class Asker(Actor):
    @call
    async def ask(self) -> int:
        return await self.ref(Shelf).reserve("nope")


class Network:
    """Nodes on one broker, and a client that knows nothing of us."""

    def __init__(self, new_transport: Callable[[], Transport], log: Any, until_the_end: AsyncExitStack) -> None:
        self._new_transport = new_transport
        self._log = log
        self._until_the_end = until_the_end
        self.nodes: list[Node] = []

    async def connect(self) -> None:
        self.client = self._new_transport()
        await self.client.connect(lambda _: None)
        self._until_the_end.push_async_callback(self.client.close)

    @asynccontextmanager
    async def running(self, *children: Any, **settings: Any) -> AsyncIterator[Node]:
        tree = Supervisor("tree", *children, max_restarts=100)
        settings = {"node_name": f"n{len(self.nodes)}", "drain_timeout": 0.1, **settings}
        node = Node(tree, settings=Settings(**settings), transport=self._new_transport(), log=self._log)
        self.nodes.append(node)
        async with node:
            yield node
        self.nodes.remove(node)

    async def start(self, *children: Any, **settings: Any) -> Node:
        """Run a node to the end of the test."""
        return await self._until_the_end.enter_async_context(self.running(*children, **settings))

    async def all_answers(self, subject: str, headers: dict[str, str] | None = None) -> list[dict[str, Any]]:
        """Return what everybody answers, each held to the published schema."""
        inbox, raw = "_INBOX.everybody", list[tuple[bytes, Any]]()
        subscription = await self.client.subscribe(
            inbox, lambda _, payload, __, headers: raw.append((payload, headers))
        )
        await self.client.publish(subject, b"{}", reply=inbox, headers=headers)
        # Each node answers in the order of the questions: after its tree nothing more comes.
        await self.client.publish("$CLIFFRACER.tree", b"", reply=inbox)
        with anyio.fail_after(5.0):
            while sum(b'"drain_timeout"' in payload for payload, _ in raw) < len(self.nodes):
                await anyio.sleep(0.001)
        await subscription.drain()
        assert all(headers is None for _, headers in raw)
        answers = [json.loads(payload) for payload, _ in raw if b'"drain_timeout"' not in payload]
        for answer in answers:
            jsonschema.validate(answer, SCHEMAS[answer["type"].split(".")[-1].partition("_")[0]])
        return sorted(answers, key=lambda answer: (answer["name"], answer["metadata"]["node"]))

    async def one_answer(self, subject: str) -> dict[str, Any]:
        (answer,) = await self.all_answers(subject)
        return answer

    async def statistics(self, actor: str) -> dict[str, dict[str, Any]]:
        """Return the statistics of a service, by endpoint."""
        answer = await self.one_answer(f"$SRV.STATS.{actor}")
        return {endpoint["name"]: endpoint for endpoint in answer["endpoints"]}


@pytest.fixture(params=["local", "nats"])
async def network(request: pytest.FixtureRequest, anyio_backend, log) -> AsyncIterator[Network]:
    new_transport: Callable[[], Transport]
    if request.param == "nats":
        if anyio_backend[0] != "asyncio":
            pytest.skip("nats-py runs on asyncio only")
        options = NatsOptions(servers=(request.getfixturevalue("nats_url"),))
        new_transport = lambda: NatsTransport(options)  # noqa: E731
    else:
        broker = LocalBroker()
        new_transport = lambda: LocalTransport(broker)  # noqa: E731
    async with AsyncExitStack() as until_the_end:
        network = Network(new_transport, log, until_the_end)
        await network.connect()
        yield network


@pytest.fixture
async def local(log) -> AsyncIterator[Network]:
    broker = LocalBroker()
    async with AsyncExitStack() as until_the_end:
        network = Network(lambda: LocalTransport(broker), log, until_the_end)
        await network.connect()
        yield network


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(5.0):
        while not condition():
            await anyio.sleep(0.001)


# Who answers


async def test_ping_finds_every_instance_on_every_node_each_with_an_id_of_its_own(network):
    await network.start(child(Shelf), child(Plain))
    await network.start(child(Shelf))
    pings = await network.all_answers("$SRV.PING")
    assert [(ping["name"], ping["metadata"]["node"]) for ping in pings] == [
        ("plain", "n0"),
        ("shelf", "n0"),
        ("shelf", "n1"),
    ]
    assert len({ping["id"] for ping in pings}) == 3
    assert {ping["type"] for ping in pings} == {"io.nats.micro.v1.ping_response"}


async def test_id_is_the_same_in_every_answer_of_one_life_and_another_in_the_next(network):
    lives = []
    for _ in range(2):
        async with network.running(child(Plain)):
            answers = [await network.one_answer(f"$SRV.{verb}.plain") for verb in ("PING", "INFO", "STATS")]
            lives.append({answer["id"] for answer in answers})
    first, second = lives
    assert len(first) == len(second) == 1
    assert first != second


@pytest.mark.parametrize("verb", ["PING", "INFO", "STATS"])
async def test_services_can_be_asked_for_by_name_and_by_id(network, verb):
    await network.start(child(Shelf), child(Plain))
    await network.start(child(Shelf))
    shelves = await network.all_answers(f"$SRV.{verb}.shelf")
    assert [answer["name"] for answer in shelves] == ["shelf", "shelf"]
    (second,) = await network.all_answers(f"$SRV.{verb}.shelf.{shelves[1]['id']}")
    assert second["metadata"]["node"] == "n1"


@pytest.mark.parametrize("verb", ["PING", "INFO", "STATS"])
async def test_nobody_answers_to_a_name_or_an_id_that_is_nobodys(network, verb):
    await network.start(child(Shelf), child(Plain))
    plain = await network.one_answer("$SRV.PING.plain")
    for asked in ("nobody", "Shelf", "shelf.nobody", f"shelf.{plain['id']}", f"plain.{plain['id']}.more"):
        assert await network.all_answers(f"$SRV.{verb}.{asked}") == []


async def test_pool_is_one_service_and_its_members_are_none(local):
    await local.start(pool(child(Shelf).replace(name="shelves"), size=3))
    (ping,) = await local.all_answers("$SRV.PING")
    assert (ping["name"], ping["metadata"]["kind"]) == ("shelves", "pool")
    assert await local.all_answers("$SRV.PING.shelves-1") == []
    information = await local.one_answer("$SRV.INFO.shelves")
    assert (information["description"], len(information["endpoints"])) == ("Keeps what is for sale.", 6)


def make_sessions() -> DynamicSupervisor:
    return DynamicSupervisor("sessions")


@pytest.mark.parametrize(
    ("below", "id"),
    [(Supervisor("inner", DynamicSupervisor("sessions")), "sessions"), (child(make_sessions), "make_sessions")],
    ids=["written", "made"],
)
async def test_children_of_dynamic_supervisors_answer_only_to_their_name(local, below, id):
    node = await local.start(child(Plain), below)
    sessions = node.ref(SupervisorRef, id)
    await sessions.start_child(child(Plain).replace(name="ada"))
    await sessions.start_child(pool(child(Plain).replace(name="joes"), size=2))
    assert [ping["name"] for ping in await local.all_answers("$SRV.PING")] == ["plain"]
    assert (await local.one_answer("$SRV.PING.ada"))["name"] == "ada"
    assert (await local.one_answer("$SRV.PING.joes"))["metadata"]["kind"] == "pool"


def make_inner() -> Supervisor:
    return Supervisor("made", child(Plain).replace(name="made-one"))


async def test_actors_below_static_supervisors_answer_wherever_they_stand(local):
    await local.start(Supervisor("inner", Supervisor("innermost", child(Plain))), child(make_inner))
    assert [ping["name"] for ping in await local.all_answers("$SRV.PING")] == ["made-one", "plain"]


async def test_actor_that_was_terminated_is_no_service_any_more(local):
    node = await local.start(child(Plain), child(Shelf))
    root = node.ref(SupervisorRef, "tree")
    await root.terminate_child("plain")
    assert [ping["name"] for ping in await local.all_answers("$SRV.PING")] == ["shelf"]
    assert await local.all_answers("$SRV.PING.plain") == []
    await root.restart_child("plain")
    assert len(await local.all_answers("$SRV.PING")) == 2


async def test_name_of_a_stopped_child_is_not_announced_for_a_session_that_took_it(local):
    node = await local.start(child(Plain), DynamicSupervisor("sessions"))
    await node.ref(SupervisorRef, "tree").terminate_child("plain")
    await node.ref(SupervisorRef, "sessions").start_child(child(Plain))
    assert await local.all_answers("$SRV.PING") == []
    assert len(await local.all_answers("$SRV.PING.plain")) == 1


async def test_actors_of_a_supervisor_that_waits_for_its_restart_are_still_announced(local):
    class Brittle(Actor):
        @call
        async def fall(self) -> None:
            raise RuntimeError("down")

    inner = Supervisor("inner", child(Plain), child(Brittle), max_restarts=0)
    node = await local.start(child(inner).replace(backoff=Backoff(initial=60.0, maximum=60.0)))
    with pytest.raises(Exception, match="crashed"):
        await node.ref(Brittle).fall()
    await until(lambda: node.tree().root.children[0].state == "restarting")
    assert [ping["name"] for ping in await local.all_answers("$SRV.PING")] == ["brittle", "plain"]


async def test_node_that_drains_answers_no_more(local):
    heard = {}

    async def ask_while_it_drains() -> None:
        await until(lambda: not node.is_ready)
        for subject in ("$SRV.PING", "$SRV.PING.shelf"):
            heard[subject] = await local.all_answers(subject)

    async with anyio.create_task_group() as tasks, local.running(child(Shelf), drain_timeout=60.0) as node:
        await local.client.publish("shelf.take", b'{"seconds": 30.0}')
        await until(lambda: node.statistics()["shelf"].in_hand == 1)
        assert len(await local.all_answers("$SRV.PING")) == 1
        tasks.start_soon(ask_while_it_drains)
    assert heard == {"$SRV.PING": [], "$SRV.PING.shelf": []}


async def test_question_without_a_reply_subject_is_dropped(network, lines):
    await network.start(child(Plain))
    await network.client.publish("$SRV.PING", b"")
    assert len(await network.all_answers("$SRV.PING")) == 1
    assert [line for line in lines if line["level"] in ("warning", "error")] == []


async def test_reply_subject_that_nobody_can_publish_to_is_counted_and_the_node_lives(local, lines):
    await local.start(child(Plain))
    local.client._broker.route("$SRV.PING", b"", "not a.subject.*", None)
    assert len(await local.all_answers("$SRV.PING")) == 1
    assert [line["target"] for line in lines if line["event"] == "reply_lost"] == ["$SRV.PING"]


async def test_headers_of_the_question_do_not_come_back(network):
    await network.start(child(Plain))
    # `all_answers` asserts that there are none at all.
    assert len(await network.all_answers("$SRV.PING", {"Authorization": "Bearer secret"})) == 1


# INFO


async def test_info_tells_the_endpoints_with_subject_queue_group_and_kind(network):
    await network.start(child(Shelf))
    information = await network.one_answer("$SRV.INFO.shelf")
    assert information["description"] == "Keeps what is for sale."
    told = [(e["name"], e["subject"], e["queue_group"], e["metadata"]["kind"]) for e in information["endpoints"]]
    assert told == [
        ("on_alarm", "alarms.*", "", "event"),
        ("on_delivery", "deliveries.*", "shelf.on_delivery", "event"),
        ("reserve", "shelf.reserve", "shelf", "call"),
        ("restock", "shelf.restock", "shelf", "cast"),
        ("take", "shelf.take", "shelf", "call"),
        ("wait", "shelf.wait", "shelf", "call"),
    ]


async def test_namespace_is_in_the_subjects_of_calls_and_in_the_queue_groups_and_not_before_srv(network):
    await network.start(child(Shelf), namespace="eu.prod")
    inbox, answers = "_INBOX.mine", list[dict[str, Any]]()
    await network.client.subscribe(inbox, lambda _, payload, *__: answers.append(json.loads(payload)))
    await network.client.publish("$SRV.INFO", b"", reply=inbox)
    await until(lambda: bool(answers))
    assert answers[0]["metadata"]["namespace"] == "eu.prod"
    told = {e["name"]: (e["subject"], e["queue_group"]) for e in answers[0]["endpoints"]}
    assert told["reserve"] == ("eu.prod.shelf.reserve", "eu.prod.shelf")
    assert told["on_delivery"] == ("deliveries.*", "eu.prod.shelf.on_delivery")


async def test_subject_and_payload_that_info_tells_can_be_used_as_they_are(network):
    await network.start(child(Shelf))
    information = await network.one_answer("$SRV.INFO.shelf")
    (endpoint,) = [endpoint for endpoint in information["endpoints"] if endpoint["name"] == "reserve"]
    jsonschema.validate({"sku": "A1", "qty": 2}, json.loads(endpoint["metadata"]["request"]))
    response = await network.client.request(endpoint["subject"], b'{"sku": "A1", "qty": 2}', timeout=5.0)
    jsonschema.validate(json.loads(response.payload), json.loads(endpoint["metadata"]["response"]))


async def test_metadata_holds_the_schemas_of_what_is_sent_and_answered_as_text(local):
    await local.start(child(Shelf))
    information = await local.one_answer("$SRV.INFO.shelf")
    facts = {endpoint["name"]: endpoint["metadata"] for endpoint in information["endpoints"]}
    request = json.loads(facts["reserve"]["request"])
    jsonschema.validate({"sku": "A1"}, request)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"sku": 1}, request)
    assert json.loads(facts["reserve"]["response"]) == {"type": "integer"}
    assert "response" not in facts["restock"]
    jsonschema.validate({"qty": 2}, json.loads(facts["on_delivery"]["request"]))
    assert facts["on_delivery"]["pattern"] == "deliveries.{sku}"
    assert facts["on_alarm"] == {"kind": "event"}


async def test_version_is_that_of_the_settings(local):
    await local.start(child(Plain), app_version="1.4.0-rc.1+build.7")
    assert (await local.one_answer("$SRV.PING"))["version"] == "1.4.0-rc.1+build.7"


async def test_actor_without_a_docstring_has_an_empty_description(local):
    await local.start(child(Plain))
    assert (await local.one_answer("$SRV.INFO.plain"))["description"] == ""


async def test_actor_that_only_ticks_is_a_service_without_endpoints(local):
    class Clock(Actor):
        @every(60.0)
        async def tick(self) -> None:
            pass

    await local.start(child(Clock))
    assert (await local.one_answer("$SRV.INFO.clock"))["endpoints"] == []
    assert (await local.one_answer("$SRV.STATS.clock"))["endpoints"] == []


def wide_actor(handlers: int, fields: int) -> type[Actor]:
    """Return an actor class with large schemas."""
    wide = msgspec.defstruct("Wide", [(f"field_number_{number}", str) for number in range(fields)])

    async def handle(self: Actor, value: Any) -> None:
        pass

    body: dict[str, Any] = {}
    for number in range(handlers):

        async def method(self: Actor, value: wide) -> None:  # type: ignore[valid-type]
            pass

        method.__name__ = f"handle_{number}"
        body[method.__name__] = cast(method)
    return type("Giant", (Actor,), body)


async def test_schemas_are_left_out_where_they_are_too_much_for_the_broker_and_that_is_said(network):
    await network.start(child(wide_actor(handlers=60, fields=500)))
    information = await network.one_answer("$SRV.INFO.giant")
    assert "max_payload" in information["metadata"]["schemas"]
    assert len(information["endpoints"]) == 60
    assert information["endpoints"][7]["metadata"] == {"kind": "cast"}


async def test_answer_that_is_too_large_even_so_is_reported_as_lost(local, lines):
    await local.start(child(wide_actor(handlers=20, fields=1)), child(Plain), app_version="1.0.0-" + "x" * 1_048_600)
    assert await local.all_answers("$SRV.INFO.giant") == []
    (line,) = [line for line in lines if line["event"] == "reply_lost"]
    assert line["target"] == "$SRV.INFO.giant"
    assert "max_payload" in line["problem"]


async def test_default_that_json_does_not_have_costs_its_schema_and_not_the_answer(local):
    nothing: Any = object()

    class Odd(Actor):
        @call
        async def ask(self, what: int = nothing) -> int:
            return 1

    await local.start(child(Odd))
    (endpoint,) = (await local.one_answer("$SRV.INFO.odd"))["endpoints"]
    assert "request" not in endpoint["metadata"]
    assert endpoint["metadata"]["schemas"].startswith("none of the request: ")
    assert json.loads(endpoint["metadata"]["response"]) == {"type": "integer"}


# STATS


async def test_statistics_count_calls_casts_and_events_each_at_its_handler(network):
    node = await network.start(child(Shelf))
    for _ in range(3):
        await network.client.request("shelf.reserve", b'{"sku": "A1"}', timeout=5.0)
    await node.ref(Shelf).restock("A1")
    await network.client.publish("deliveries.A1", b'{"qty": 1}')
    await until(lambda: node.statistics()["shelf"].handled == 5)
    told = await network.statistics("shelf")
    assert {name: endpoint["num_requests"] for name, endpoint in told.items()} == {
        "reserve": 3, "restock": 1, "take": 0, "wait": 0, "on_delivery": 1, "on_alarm": 0,
    }  # fmt: skip
    assert sum(endpoint["num_errors"] for endpoint in told.values()) == 0
    assert {endpoint["last_error"] for endpoint in told.values()} == {""}


async def test_processing_time_is_that_of_the_handler_in_nanoseconds(local):
    class Thinker(Actor):
        @call
        async def think(self) -> None:
            time.sleep(0.02)  # noqa: ASYNC251 - what it computes counts, and not only what it waits for

        @call
        async def rest(self) -> None:
            pass

    node = await local.start(child(Thinker))
    for _ in range(2):
        await node.ref(Thinker).think()
    told = await local.statistics("thinker")
    assert told["think"]["num_requests"] == 2
    assert told["think"]["processing_time"] >= 40_000_000
    assert told["think"]["average_processing_time"] == told["think"]["processing_time"] // 2
    assert (told["rest"]["processing_time"], told["rest"]["average_processing_time"]) == (0, 0)


async def test_refusal_counts_as_an_error_in_the_words_that_the_caller_got(network):
    node = await network.start(child(Shelf))
    with pytest.raises(ShelfIsEmpty):
        await node.ref(Shelf).reserve("A1", 99)
    reserve = (await network.statistics("shelf"))["reserve"]
    assert (reserve["num_requests"], reserve["num_errors"]) == (1, 1)
    assert reserve["last_error"] == "A1: 10 left"


async def test_crash_counts_as_an_error_and_nothing_of_the_inside_is_told(network, lines):
    node = await network.start(child(Shelf))
    with pytest.raises(Exception, match="crashed"):
        await node.ref(Shelf).reserve("secret-sku")
    reserve = (await network.statistics("shelf"))["reserve"]
    (incident,) = [line["incident"] for line in lines if line["event"] == "actor_crashed"]
    assert (reserve["num_requests"], reserve["num_errors"]) == (1, 1)
    assert reserve["last_error"] == (
        f"shelf.reserve: the actor crashed over this message; incident {incident} in the log of its node says why"
    )


async def test_error_that_nobody_waits_for_is_counted_too(network):
    node = await network.start(child(Shelf))
    await network.client.publish("alarms.fire", b"")
    await until(lambda: node.statistics()["shelf"].handled == 1)
    assert (await network.statistics("shelf"))["on_alarm"]["last_error"] == "alarmed"


async def test_failure_of_somebody_else_is_told_as_the_caller_heard_it(local):
    node = await local.start(child(Shelf), child(Asker))
    with pytest.raises(Upstream) as failure:
        await node.ref(Asker).ask()
    ask = (await local.statistics("asker"))["ask"]
    assert (ask["num_errors"], ask["last_error"]) == (1, str(failure.value))


async def test_message_that_a_kill_interrupts_counts_as_an_error(local):
    node = await local.start(child(Shelf).replace(shutdown="brutal_kill"))
    async with anyio.create_task_group() as tasks:

        async def ask() -> None:
            with pytest.raises(Exception, match="killed"):
                await node.ref(Shelf).wait()

        tasks.start_soon(ask)
        await until(lambda: node.statistics()["shelf"].in_hand == 1)
        await node.ref(SupervisorRef, "tree").terminate_child("shelf")
        await node.ref(SupervisorRef, "tree").restart_child("shelf")
    wait = (await local.statistics("shelf"))["wait"]
    assert (wait["num_requests"], wait["num_errors"]) == (1, 1)
    assert wait["last_error"] == "shelf.wait: the actor was killed while it handled this message"


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (ShelfIsEmpty("two\nlines\tand more"), "two lines and more"),
        (ShelfIsEmpty("x" * 1000), "x" * 256),
        (ShelfIsEmpty("lone \ud800"), "lone ?"),
        (ShelfIsEmpty(), "shelf_is_empty"),
        (ShelfIsMute("no"), "shelf_is_mute"),
    ],
    ids=["several lines", "long", "lone surrogate", "empty", "no words"],
)
async def test_last_error_is_one_line_whatever_was_raised(local, raised, told):
    class Sayer(Actor):
        @call
        async def say(self) -> None:
            raise raised

    node = await local.start(child(Sayer))
    with pytest.raises(type(raised)):
        await node.ref(Sayer).say()
    say = (await local.statistics("sayer"))["say"]
    assert (say["num_errors"], say["last_error"]) == (1, told)


async def test_data_tells_of_the_mailbox_at_each_endpoint(network):
    node = await network.start(child(Shelf))
    shelf = network.client
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(node.ref(Shelf).wait)
        await until(lambda: node.statistics()["shelf"].in_hand == 1)
        for _ in range(5):
            await shelf.publish("shelf.restock", b'{"sku": "A1"}')
        await shelf.publish("shelf.restock", b"nonsense")
        await until(lambda: node.statistics()["shelf"].rejected == 1)
        told = await network.statistics("shelf")
        tasks.cancel_scope.cancel()
    assert {json.dumps(endpoint["data"]) for endpoint in told.values()} == {
        json.dumps(
            {
                "mailbox_depth": 3,
                "mailbox_capacity": 3,
                "in_hand": 1,
                "dropped": 2,
                "expired": 0,
                "rejected": 1,
                "turned_away": 0,
                "restarts": 0,
            }
        )
    }


async def test_expired_message_is_in_the_data_and_no_request(network):
    await network.start(child(Shelf))
    await network.client.request("shelf.reserve", b'{"sku": "A1"}', headers={"Cliffracer": "0 - -"}, timeout=5.0)
    reserve = (await network.statistics("shelf"))["reserve"]
    assert (reserve["data"]["expired"], reserve["num_requests"]) == (1, 0)


async def test_statistics_and_start_time_survive_restarts(local):
    node = await local.start(child(Shelf))
    before = await local.one_answer("$SRV.STATS.shelf")
    await anyio.sleep(100.0)
    for _ in range(2):
        with pytest.raises(Exception, match="crashed"):
            await node.ref(Shelf).reserve("nope")
    await until(lambda: node.statistics()["shelf"].incarnation == 3)
    after = await local.one_answer("$SRV.STATS.shelf")
    (reserve,) = [endpoint for endpoint in after["endpoints"] if endpoint["name"] == "reserve"]
    assert (reserve["num_requests"], reserve["num_errors"], reserve["data"]["restarts"]) == (2, 2, 2)
    assert after["started"] == before["started"]


async def test_start_time_is_a_moment_in_utc_and_that_of_the_actor(local):
    node = await local.start(DynamicSupervisor("sessions"), child(Plain))
    await anyio.sleep(1000.0)
    await node.ref(SupervisorRef, "sessions").start_child(child(Plain).replace(name="ada"))
    texts = [(await local.one_answer(f"$SRV.STATS.{name}"))["started"] for name in ("plain", "ada")]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", text) for text in texts)
    plain, ada = (datetime.fromisoformat(text) for text in texts)
    assert (ada - plain).total_seconds() == pytest.approx(1000.0, abs=1.0)
    assert abs((datetime.now(UTC) - plain).total_seconds()) < 60.0


async def test_statistics_of_a_pool_are_the_sum_over_its_members(local):
    node = await local.start(pool(child(Shelf).replace(name="shelves"), size=3, key=None))
    shelves = node.ref(Shelf, "shelves")
    for _ in range(6):
        await shelves.reserve("A1")
    for qty in (50, 60):
        with pytest.raises(ShelfIsEmpty):
            await shelves.reserve("A1", qty)
        await anyio.sleep(1.0)
    await local.client.publish("shelves.nonsense", b"")
    told = await local.statistics("shelves")
    assert told["reserve"]["num_requests"] == 8
    assert (told["reserve"]["num_errors"], told["reserve"]["last_error"]) == (2, "A1: 8 left")
    assert told["reserve"]["processing_time"] > 0
    assert told["take"]["data"]["mailbox_capacity"] == 9
    assert told["take"]["data"]["rejected"] == 1


async def test_services_are_counted_and_answered_while_every_actor_is_stuck(network):
    names = [f"shelf-{number}" for number in range(10)]
    node = await network.start(*(child(Shelf).replace(name=name) for name in names))
    async with anyio.create_task_group() as tasks:
        for name in names:
            for _ in range(4):
                tasks.start_soon(node.ref(Shelf, name).wait)
        await until(lambda: all(node.statistics()[name].mailbox.depth == 3 for name in names))
        answers = await network.all_answers("$SRV.STATS")
        tasks.cancel_scope.cancel()
    assert [answer["name"] for answer in answers] == names
    assert all(answer["endpoints"][0]["data"]["mailbox_depth"] == 3 for answer in answers)
