"""A small shop: start it, watch it crash, watch it go on.

    cliffracer run examples/quickstart.py:app

`Inventory` owns the stock. `Orders` reserves from it. Three customers place orders over NATS, a few a second.
Now and then Eve asks for a sku that nobody stocks. This shop has no answer to that: `Inventory` crashes, is restarted
with fresh shelves, and the orders go on.
"""

import itertools
import random

from msgspec import Struct

from cliffracer import Actor, CallError, Exit, Refusal, Supervisor, call, cast, child, event, every


class OutOfStock(Refusal):
    """A declared answer, not a crash: the caller gets it, the actor lives on."""


class OrderPlaced(Struct, frozen=True):
    """What the shop announces after each sale."""

    customer: str
    sku: str
    qty: int


class Inventory(Actor):
    """The only owner of the stock: no locks, no database, one message at a time."""

    def __init__(self, stock: dict[str, int]) -> None:
        self.stock = dict(stock)  # fresh for every incarnation

    @call
    async def reserve(self, sku: str, qty: int) -> int:
        left = self.stock[sku] - qty  # an unknown sku is a KeyError: this actor crashes and is restarted
        if left < 0:
            raise OutOfStock(f"{sku}: {self.stock[sku]} left")
        self.stock[sku] = left
        return left

    @cast
    async def restock(self, sku: str, qty: int) -> None:
        self.stock[sku] = self.stock.get(sku, 0) + qty

    @every(5.0)
    async def report(self) -> None:
        self.log.info("stock_report", stock=self.stock)


class Orders(Actor):
    """Takes orders; asks Inventory for each."""

    def __init__(self) -> None:
        self.inventory = self.ref(Inventory)

    @call
    async def place(self, sku: str, qty: int, customer: str = "somebody") -> str:
        left = await self.inventory.reserve(sku, qty)
        await self.publish(f"orders.{customer}.placed", OrderPlaced(customer, sku, qty))
        if left < 10:
            await self.inventory.restock(sku, 50)
        return f"{qty} x {sku} for {customer}"


class Till(Actor):
    """Hears every sale, wherever in the cluster it was made."""

    def __init__(self) -> None:
        self.sold = 0

    @event("orders.{customer}.placed")
    async def on_placed(self, customer: str, order: OrderPlaced) -> None:
        self.sold += order.qty

    @call
    async def total(self) -> int:
        return self.sold

    async def on_stop(self, reason: Exit) -> None:
        self.log.info("till_closed", sold=self.sold, reason=str(reason))


class Customer(Actor):
    """Places an order every now and then; a clumsy one mistypes every eighth."""

    def __init__(self, first_name: str, *, clumsy: bool = False) -> None:
        self.first_name = first_name
        self.clumsy = clumsy
        self.visits = itertools.count(1)
        # Orders runs in this very process; prefer_local=False sends each order over NATS all the same.
        self.orders = self.ref(Orders, prefer_local=False)

    @every(0.7)
    async def shop(self) -> None:
        mistyped = next(self.visits) % 8 == 0 and self.clumsy
        sku = "C3PO" if mistyped else random.choice(["A1", "B2"])
        try:
            order = await self.orders.place(sku, random.randint(1, 3), self.first_name)
        except OutOfStock as refusal:
            self.log.info("turned_away", refusal=str(refusal))
        except CallError as error:
            self.log.warning("order_failed", sku=sku, error=str(error), retry=error.retry)
        else:
            self.log.info("order_placed", order=order)


app = Supervisor(
    "shop",
    child(Inventory, {"A1": 100, "B2": 100}),
    child(Orders),
    child(Till),
    Supervisor(
        "customers",
        child(Customer, "ada").replace(name="ada"),
        child(Customer, "joe").replace(name="joe"),
        child(Customer, "eve", clumsy=True).replace(name="eve"),
    ),
    max_restarts=3,
    max_seconds=5.0,
)
