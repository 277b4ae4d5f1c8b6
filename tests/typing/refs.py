"""A ref is typed as the actor it points to, so a wrong call is an error of the type checker. Never run."""

from typing import assert_type

from msgspec import Struct

from cliffracer import Actor, CallError, Down, Exit, Node, Refusal, Supervisor, call, cast, child, event, every
from cliffracer.testing import Probe, ProbeMessage, TestNode


class Order(Struct, frozen=True):
    sku: str
    qty: int


class Inventory(Actor):
    def __init__(self, stock: dict[str, int]) -> None:
        self.stock = dict(stock)

    @call
    async def reserve(self, sku: str, qty: int = 1) -> int:
        return self.stock[sku] - qty

    @call(concurrent=True)
    async def find(self, sku: str, *, exact: bool) -> list[Order] | None:
        return None

    @cast
    async def restock(self, sku: str, qty: int) -> None: ...

    @event("orders.{order_id}.cancelled", to="all")
    async def on_cancelled(self, order_id: str, order: Order) -> None: ...

    @every(60.0)
    async def report(self) -> None: ...

    async def on_stop(self, reason: Exit) -> None: ...


class Orders(Actor):
    def __init__(self) -> None:
        self.inventory = self.ref(Inventory)
        assert_type(self.inventory, Inventory)

    @call
    async def place(self, order: Order) -> str:
        assert_type(await self.inventory.reserve("A1", 2), int)
        assert_type(await self.inventory.reserve(sku="A1"), int)
        assert_type(await self.inventory.find("A1", exact=True), list[Order] | None)
        await self.inventory.restock(order.sku, order.qty)
        await self.publish("orders.placed", order)
        self.log.info("order_placed", incarnation=self.incarnation)
        return self.name

    @call
    async def place_wrongly(self) -> str:
        await self.inventory.reserve()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        await self.inventory.reserve(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        await self.inventory.reserve("A1", "two")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        await self.inventory.reserve("A1", 2, 3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        await self.inventory.reserve("A1", colour=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        await self.inventory.find("A1")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        await self.inventory.find("A1", True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        await self.inventory.sell("A1")  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
        return await self.inventory.reserve("A1")  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


async def embed(tree: Supervisor) -> None:
    async with Node(tree, nats="nats://127.0.0.1:4222") as node:
        assert_type(node, Node)
        inventory = node.ref(Inventory, "inventory-2", prefer_local=False)
        assert_type(inventory, Inventory)
        assert_type(await inventory.reserve("A1", 2), int)
        assert_type(await node.ref(Orders).place(Order("A1", 2)), str)
        await node.publish("orders.1.cancelled", Order("A1", 2))

        await inventory.reserve(2, "A1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        await node.ref(Orders).place("A1", 2)  # type: ignore[call-arg,arg-type]  # pyright: ignore[reportCallIssue]
        node.ref(Order)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
        node.ref("inventory")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
        node.ref(Inventory({}))  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
        node.ref(Orders, name=7)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]


async def under_test() -> None:
    async with TestNode(child(Inventory, {}), Probe.of(Orders)) as node:
        assert_type(node, TestNode)
        assert_type(node.ref(Inventory), Inventory)
        assert_type(await node.ref(Inventory).reserve("A1", 2), int)
        probe = await node.probe(Orders, "others")
        assert_type(probe, Probe)
        assert_type(await probe.expect(Orders.place), ProbeMessage)
        assert_type(await probe.expect_down(node.ref(Inventory)), Down)

        await node.ref(Inventory).reserve(2, "A1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        await node.probe(Order)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def tell(error: CallError, refusal: Refusal) -> str:
    assert_type(error.target, str)
    assert_type(error.incident, str)
    assert_type(refusal.message, str)
    often = error.retry == "often"  # type: ignore[comparison-overlap]  # pyright: ignore[reportUnnecessaryComparison]
    return error.code if error.retry == "safe" or often else refusal.code
