"""A larger shop: carts that come and go, a pool, jobs, a poller, and a tree that says who needs whom.

    cliffracer run examples/shop.py:shop

Then, in a second terminal:

    cliffracer call desk.open_cart customer=ada
    cliffracer call cart-ada.add sku=A1 qty=2
    cliffracer call cart-ada.check_out
    cliffracer call loyalty.points customer=ada
    cliffracer tree

Read the tree at the bottom first. docs/breaking-the-shop.md breaks the shop on purpose, one piece at a time.
"""

import itertools
from pathlib import Path

import anyio
from msgspec import Struct

from cliffracer import (
    Actor,
    AlreadyStarted,
    Backoff,
    Budget,
    Down,
    DynamicSupervisor,
    Mailbox,
    Refusal,
    Supervisor,
    SupervisorRef,
    TaskSupervisor,
    TaskSupervisorRef,
    call,
    cast,
    child,
    event,
    every,
    pool,
)


class OutOfStock(Refusal):
    """A declared answer, not a crash: the caller gets it, the actor lives on."""


class NoPrice(Refusal):
    """We have no price for that, or none yet."""


class Order(Struct, frozen=True):
    id: str
    customer: str
    sku: str
    qty: int


# Sales


class Inventory(Actor):
    def __init__(self, stock: dict[str, int]) -> None:
        self.stock = dict(stock)  # fresh for every incarnation

    @call
    async def reserve(self, sku: str, qty: int) -> int:
        left = self.stock[sku] - qty  # an unknown sku is a KeyError: this actor crashes and is restarted
        if left < 0:
            raise OutOfStock(f"{sku}: {self.stock[sku]} left")
        self.stock[sku] = left
        return left

    @event("orders.{customer}.cancelled")
    async def on_cancelled(self, customer: str, order: Order) -> None:
        self.stock[order.sku] += order.qty


class Orders(Actor, shutdown=10.0, mailbox=Mailbox(256)):
    """Takes orders. What it has reserved is void when Inventory starts with fresh shelves, so it restarts with it."""

    publishes = {"orders.{customer}.placed": Order, "orders.{customer}.cancelled": Order}

    def __init__(self) -> None:
        self.inventory = self.ref(Inventory)
        self.receipts = self.ref(TaskSupervisorRef, "receipts")
        self.orders: dict[str, Order] = {}
        self.printed: set[str] = set()
        self.ids = (f"order-{self.incarnation}-{number}" for number in itertools.count(1))

    @call
    async def place(self, customer: str, sku: str, qty: int) -> str:
        await self.inventory.reserve(sku, qty)
        order = Order(next(self.ids), customer, sku, qty)
        self.orders[order.id] = order
        await self.publish(f"orders.{customer}.placed", order)
        self.receipts.start_soon(print_receipt, order, self.ref(Orders))
        return order.id

    @call
    async def cancel(self, order_id: str) -> bool:
        order = self.orders.pop(order_id, None)
        if order is not None:
            await self.publish(f"orders.{order.customer}.cancelled", order)
        return order is not None

    @cast
    async def receipt_printed(self, order_id: str) -> None:
        self.printed.add(order_id)


async def print_receipt(order: Order, orders: Orders) -> None:
    """A job: nobody waits for it, and it has no state. If it fails, that is logged, and concerns nobody else."""
    await anyio.sleep(0.2)  # the printer is slow
    await orders.receipt_printed(order.id)


# Loyalty: a pool. Each customer's points are kept by one member, and counted in order.


class Loyalty(Actor):
    def __init__(self) -> None:
        self.earned: dict[str, int] = {}

    @event("orders.{customer}.placed")
    async def on_placed(self, customer: str, order: Order) -> None:
        self.earned[customer] = self.earned.get(customer, 0) + order.qty

    @call
    async def points(self, customer: str) -> int:
        return self.earned.get(customer, 0)


# Pricing: a function polls, an actor answers. A function has no mailbox and no refs, so they share a price list.


async def poll_supplier(prices: dict[str, float]) -> None:
    while True:
        prices.update(await ask_supplier())
        await anyio.sleep(0.5)


async def ask_supplier() -> dict[str, float]:
    """Stands for a request to a machine that is not ours."""
    if is_on_strike():
        raise ConnectionError("the supplier is on strike")
    return {"A1": 2.5, "B2": 4.0}


def is_on_strike() -> bool:
    return Path("strike").exists()  # so you can try it: `touch strike`


class Prices(Actor):
    def __init__(self, prices: dict[str, float]) -> None:
        self.prices = prices

    @call
    async def quote(self, sku: str) -> float:
        if sku not in self.prices:
            raise NoPrice(sku)
        return self.prices[sku]


def pricing() -> Supervisor:
    """A supervisor that is made anew for each start, with a price list of its own."""
    prices: dict[str, float] = {}
    return Supervisor(
        "pricing",
        child(Prices, prices),
        child(poll_supplier, prices).replace(backoff=Backoff(initial=0.5, maximum=30.0)),
        # Waits of 0.5 s, 1 s, 2 s... 30 s are at most eight restarts a minute: no strike is too long for this budget.
        max_restarts=9,
        max_seconds=60.0,
    )


# Carts: one actor for each customer, while there is one.


class Cart(Actor, restart="transient"):
    def __init__(self, customer: str) -> None:
        self.customer = customer
        self.items: dict[str, int] = {}
        self.total = 0.0
        self.idle = 0
        self.orders = self.ref(Orders)
        self.prices = self.ref(Prices)

    @call
    async def add(self, sku: str, qty: int) -> float:
        self.idle = 0
        self.total += qty * await self.prices.quote(sku)
        self.items[sku] = self.items.get(sku, 0) + qty
        return self.total

    @call
    async def remove(self, sku: str) -> None:
        del self.items[sku]  # a bug: who removes what is not in the cart crashes it

    @call
    async def check_out(self) -> list[str]:
        placed: list[str] = []
        while self.items:
            sku, qty = next(iter(self.items.items()))
            placed.append(await self.orders.place(self.customer, sku, qty))
            del self.items[sku]  # ordered is ordered, should the next one be out of stock
        self.stop()  # a normal end: a transient actor is not restarted after that, and its name is free
        return placed

    @every(60.0)
    async def go_home(self) -> None:
        self.idle += 1
        if self.idle > 30:
            self.stop()


class Desk(Actor):
    """Opens carts, and hears how they end."""

    def __init__(self) -> None:
        self.carts = self.ref(SupervisorRef, "carts")

    @call
    async def open_cart(self, customer: str) -> str:
        name = f"cart-{customer}"
        # Whose cart crashes twice within a minute has lost it; all other carts are left in peace.
        spec = child(Cart, customer).replace(name=name, budget=Budget(max_restarts=1, max_seconds=60.0))
        try:
            cart = await self.carts.start_child(spec)
        except AlreadyStarted:
            cart = self.ref(Cart, name)
        self.monitor(cart)  # the incarnation that runs now; once more does no harm
        return name

    async def on_down(self, down: Down) -> None:
        self.log.info("cart_ended", cart=repr(down.ref), reason=str(down.reason))


shop = Supervisor(
    "shop",
    TaskSupervisor("receipts", shutdown=2.0),
    Supervisor(
        "sales",
        child(Inventory, {"A1": 1000, "B2": 1000}),
        child(Orders),
        strategy="rest_for_one",  # Orders needs Inventory, and not the other way round
        max_restarts=3,
        max_seconds=30.0,
    ),
    pool(Loyalty, size=2, key="customer"),
    child(pricing),
    DynamicSupervisor("carts", max_children=1000),
    child(Desk),
    max_restarts=3,
    max_seconds=60.0,
)
