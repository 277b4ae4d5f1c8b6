"""Pools over the wire: another node, or any other client, sees one actor; a key goes where it goes at home."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
import pytest

from cliffracer import (
    Actor,
    CallCycle,
    Mailbox,
    MailboxFull,
    NoActor,
    Node,
    Settings,
    Supervisor,
    SupervisorRef,
    Upstream,
    call,
    cast,
    child,
    event,
    pool,
)
from cliffracer.actor.pool import partition_of
from cliffracer.errors import NoResponders
from cliffracer.transport.contract import Transport
from cliffracer.transport.local import LocalBroker, LocalTransport

pytestmark = pytest.mark.anyio

SIZE = 4
SKUS = [f"sku-{number}" for number in range(20)]


class Inventory(Actor):
    def __init__(self, done: list[tuple[str, str, int]] | None = None) -> None:
        self.done = done if done is not None else []

    @call
    async def reserve(self, sku: str, number: int = 0, seconds: float = 0.0) -> str:
        await anyio.sleep(seconds)
        self.done.append((self.name, sku, number))
        return self.name

    @cast
    async def restock(self, number: int, *, sku: str) -> None:
        self.done.append((self.name, sku, number))

    @event("deliveries.{sku}")
    async def on_delivery(self, number: int, sku: str) -> None:
        self.done.append((self.name, sku, number))

    @event("audits.{sku}", to="all")
    async def on_audit(self, sku: str) -> None:
        self.done.append((self.name, sku, -1))

    @call
    async def relay(self, sku: str, last: str) -> str:
        """Have `Agent`, on another node, ask the pool for `last`."""
        return await self.ref(Agent).ask(last)

    @call
    async def ask_over_the_wire(self, sku: str, last: str) -> str:
        try:
            return await self.ref(Inventory, prefer_local=False).reserve(last)
        except CallCycle as error:
            return error.code


class Agent(Actor):
    @call
    async def ask(self, sku: str) -> str:
        return await self.ref(Inventory).reserve(sku)


class Router(Actor):
    @call
    async def ask(self, sku: str) -> str:
        return await self.ref(Inventory).reserve(sku)


MakeNode = Callable[..., Node]


@pytest.fixture
def make_node(log) -> MakeNode:
    broker = LocalBroker()

    def make(*children: Any, **settings: Any) -> Node:
        tree = Supervisor("tree", *children)
        return Node(tree, settings=Settings(**settings), transport=LocalTransport(broker), log=log)

    make.broker = broker  # type: ignore[attr-defined]
    return make


@asynccontextmanager
async def bare_client(make_node: Any) -> AsyncIterator[Transport]:
    client = LocalTransport(make_node.broker)
    await client.connect(lambda _: None)
    try:
        yield client
    finally:
        await client.close()


def member_of(sku: str) -> str:
    return f"inventory-{partition_of(sku, SIZE)}"


def other_key(sku: str) -> str:
    return next(other for other in SKUS if member_of(other) != member_of(sku))


async def test_key_goes_to_the_same_member_from_everywhere(make_node):
    there = make_node(pool(Inventory, size=SIZE, key="sku"))
    async with there, make_node() as here, bare_client(make_node) as client:
        for sku in SKUS:
            payload = msgspec.json.encode({"sku": sku})
            answers = {
                await there.ref(Inventory).reserve(sku),
                await here.ref(Inventory).reserve(sku),
                await here.ref(Inventory).reserve(sku=sku, number=1),
                msgspec.json.decode((await client.request("inventory.reserve", payload, timeout=5.0)).payload),
            }
            assert answers == {member_of(sku)}


async def test_casts_and_events_from_elsewhere_are_handled_in_order_for_each_key(make_node):
    done: list[tuple[str, str, int]] = []
    async with make_node(pool(child(Inventory, done), size=SIZE, key="sku")), make_node() as here:
        for number in range(10):
            for sku in SKUS:
                if number % 2:
                    await here.ref(Inventory).restock(number, sku=sku)
                else:
                    await here.publish(f"deliveries.{sku}", number)
        await anyio.wait_all_tasks_blocked()
    for sku in SKUS:
        assert [(name, number) for name, key, number in done if key == sku] == [
            (member_of(sku), number) for number in range(10)
        ]


async def test_calls_from_elsewhere_run_side_by_side_if_their_members_differ(make_node):
    async with make_node(pool(Inventory, size=SIZE, key="sku")), make_node() as here:
        begin = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            for sku in ("sku-0", other_key("sku-0")):
                tasks.start_soon(here.ref(Inventory).reserve, sku, 1, 1.0)
                tasks.start_soon(here.ref(Inventory).reserve, sku, 2, 1.0)
        assert anyio.current_time() - begin == pytest.approx(2.0)


async def test_without_a_key_calls_from_elsewhere_go_to_an_idle_member(make_node):
    async with make_node(pool(Inventory, size=2)) as there, make_node() as here, anyio.create_task_group() as tasks:
        tasks.start_soon(there.ref(Inventory, "inventory-0").reserve, "x", 1, 2.0)
        await anyio.wait_all_tasks_blocked()
        assert {await here.ref(Inventory).reserve("x") for _ in range(4)} == {"inventory-1"}


async def test_full_mailbox_of_one_member_refuses_what_is_for_that_one_alone(make_node):
    member = child(Inventory).replace(mailbox=Mailbox(1))
    async with make_node(pool(member, size=SIZE, key="sku")) as there, make_node() as here:
        sku = "sku-0"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(there.ref(Inventory).reserve, sku, 1, 2.0)
            await anyio.wait_all_tasks_blocked()
            await there.ref(Inventory).restock(2, sku=sku)
            with pytest.raises(MailboxFull, match=f"'{member_of(sku)}' holds 1 of 1 messages"):
                await here.ref(Inventory).reserve(sku)
            await here.ref(Inventory).restock(3, sku=sku)
            assert await here.ref(Inventory).reserve(other_key(sku)) == member_of(other_key(sku))
        assert there.statistics()[member_of(sku)].mailbox.dropped == 1


@pytest.mark.parametrize(
    ("subject", "payload", "code"),
    [
        ("inventory.nothing", b"{}", "unknown_handler"),
        ("inventory.reserve", b'{"number": 1}', "invalid_message"),
        ("inventory.reserve", b'{"sku": 7}', "invalid_message"),
        ("inventory.on_delivery", b"{}", "unknown_handler"),
    ],
)
async def test_message_that_fits_no_handler_is_refused_before_a_member_is_chosen(
    make_node, lines, subject, payload, code
):
    async with make_node(pool(Inventory, size=SIZE, key="sku")) as there, bare_client(make_node) as client:
        response = await client.request(subject, payload, timeout=5.0)
        assert response.headers is not None
        assert response.headers["Cliffracer-Error"] == code
        assert there._running().registry.find_pool("inventory").rejected == 1
    (rejected,) = [line for line in lines if line["event"] == "message_rejected"]
    assert (rejected["actor"], rejected["subject"]) == ("inventory", subject)


async def test_member_has_no_subject_of_its_own(make_node):
    async with make_node(pool(Inventory, size=SIZE, key="sku")) as there, make_node() as here:
        assert await there.ref(Inventory, "inventory-1").reserve("any") == "inventory-1"
        with pytest.raises(NoActor, match="no actor 'inventory-1' runs on any node"):
            await here.ref(Inventory, "inventory-1").reserve("any")


async def test_namespace_keeps_pools_apart(make_node):
    blue = make_node(pool(Inventory, size=SIZE, key="sku"), namespace="blue")
    async with blue, make_node(namespace="blue") as near, make_node(namespace="green") as far:
        assert await near.ref(Inventory).reserve("sku-0") == member_of("sku-0")
        with pytest.raises(NoActor):
            await far.ref(Inventory).reserve("sku-0")


async def test_pools_of_two_nodes_share_what_comes_and_each_hears_what_is_for_all(make_node):
    done: dict[str, list[tuple[str, str, int]]] = {"left": [], "right": []}
    nodes = [make_node(pool(child(Inventory, notes), size=SIZE, key="sku")) for notes in done.values()]
    async with nodes[0], nodes[1], make_node() as here:
        for number in range(10):
            await here.ref(Inventory).reserve("sku-0", number)
        await here.publish("deliveries.sku-1", 100)
        await here.publish("audits.sku-2", None)
        await anyio.wait_all_tasks_blocked()
    both = [*done["left"], *done["right"]]
    assert Counter(number for _, sku, number in both if sku == "sku-0") == dict.fromkeys(range(10), 1)
    assert {name for name, sku, _ in both if sku == "sku-0"} == {member_of("sku-0")}
    assert all(any(sku == "sku-0" for _, sku, _ in notes) for notes in done.values())
    assert [entry for entry in both if entry[1] == "sku-1"] == [(member_of("sku-1"), "sku-1", 100)]
    assert [entry for entry in both if entry[1] == "sku-2"] == [(member_of("sku-2"), "sku-2", -1)] * 2


async def test_what_nobody_waits_for_is_dropped_with_a_number_if_its_member_is_gone(make_node, lines):
    sku = "sku-0"
    member = child(Inventory).replace(restart="temporary")
    async with make_node(pool(member, size=SIZE, key="sku")) as there, make_node() as here:
        await there.stop(there.ref(Inventory, member_of(sku)))
        await anyio.wait_all_tasks_blocked()
        for send in (lambda: here.ref(Inventory).restock(1, sku=sku), lambda: here.publish(f"deliveries.{sku}", 2)):
            lines.clear()
            await send()
            await anyio.sleep(2.0)  # each is told at most once a second
            assert [line["count"] for line in lines if line["event"] == "messages_dropped"] == [1]


# Calls that come back


async def test_call_that_comes_back_by_way_of_another_node_is_refused_only_at_the_same_member(make_node, lines):
    mine, other = "sku-0", other_key("sku-0")
    async with make_node(pool(Inventory, size=SIZE, key="sku")) as there, make_node(child(Agent)):
        begin = anyio.current_time()
        assert await there.ref(Inventory).relay(mine, other) == member_of(other)
        with pytest.raises(Upstream):
            await there.ref(Inventory).relay(mine, mine)
        assert anyio.current_time() == begin  # and not after five seconds
    agent = [line for line in lines if line["event"] == "handler_answered_with_error" and line["actor"] == "agent"]
    assert ["would wait for itself" in line["error"] for line in agent] == [True]


async def test_call_of_a_member_to_itself_is_refused_over_the_wire_too(make_node):
    mine, other = "sku-0", other_key("sku-0")
    async with make_node(pool(Inventory, size=SIZE, key="sku")) as there:
        begin = anyio.current_time()
        assert await there.ref(Inventory).ask_over_the_wire(mine, other) == member_of(other)
        assert await there.ref(Inventory).ask_over_the_wire(mine, mine) == "call_cycle"
        assert anyio.current_time() == begin


async def test_actor_in_front_of_a_pool_is_no_cycle(make_node):
    async with make_node(pool(Inventory, size=SIZE, key="sku"), child(Router)), make_node() as here:
        assert await here.ref(Router).ask("sku-0") == member_of("sku-0")


# Stopping


async def test_pool_that_was_terminated_is_no_actor_for_other_nodes(make_node):
    async with make_node(pool(Inventory, size=SIZE, key="sku")) as there, make_node() as here:
        tree = there.ref(SupervisorRef, "tree")
        await tree.terminate_child("inventory")
        with pytest.raises(NoActor, match="no actor 'inventory' runs on any node"):
            await here.ref(Inventory).reserve("sku-0")
        async with bare_client(make_node) as client:
            with pytest.raises(NoResponders):
                await client.request("inventory.reserve", b'{"sku": "x"}', timeout=5.0)
        await tree.restart_child("inventory")
        assert await here.ref(Inventory).reserve("sku-0") == member_of("sku-0")


async def test_call_from_elsewhere_waits_while_the_pool_is_restarted(make_node):
    class Slow(Inventory, name="inventory"):
        async def on_start(self) -> None:
            if self.incarnation > 1:
                await anyio.sleep(1.0)

    async with make_node(pool(Slow, size=2, key="sku")) as there, make_node() as here:
        await there.stop(there.ref(SupervisorRef, "inventory"))
        await anyio.wait_all_tasks_blocked()
        begin = anyio.current_time()
        assert (await here.ref(Inventory).reserve("sku-0")).startswith("inventory-")
        assert anyio.current_time() > begin


async def test_node_that_stops_answers_what_its_pool_has_taken_in(make_node):
    answers: list[str] = []

    async def ask(here: Node, number: int) -> None:
        answers.append(await here.ref(Inventory).reserve("sku-0", number, 1.0))

    async with make_node() as here, anyio.create_task_group() as tasks:
        async with make_node(pool(Inventory, size=SIZE, key="sku")):
            for number in range(3):
                tasks.start_soon(ask, here, number)
            await anyio.wait_all_tasks_blocked()
    assert answers == [member_of("sku-0")] * 3
