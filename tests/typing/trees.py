"""A child's arguments are those of its constructor; the type checker holds them to it. Never run."""

from typing import Any, assert_type

from cliffracer import (
    Actor,
    Backoff,
    Budget,
    ChildRef,
    ChildSpec,
    DynamicSupervisor,
    Mailbox,
    Node,
    Supervisor,
    TaskSupervisor,
    child,
    pool,
)


class Inventory(Actor, restart="transient", shutdown=10.0, mailbox=Mailbox(256, "drop_old")):
    def __init__(self, stock: dict[str, int], *, strict: bool = False) -> None:
        self.stock = stock
        self.strict = strict


class Orders(Actor):
    pass


class NoActor:
    pass


async def poll(url: str, *, seconds: float = 1.0) -> None: ...


def plain(url: str) -> None: ...


def customer(name: str, *, size: int = 2) -> Supervisor:
    return Supervisor(name, *(child(Orders).replace(name=f"{name}-{number}") for number in range(size)))


assert_type(child(Inventory, {"A1": 10}), ChildSpec[Inventory])
assert_type(child(Inventory, stock={"A1": 10}, strict=True), ChildSpec[Inventory])
assert_type(child(Orders), ChildSpec[Orders])
assert_type(child(poll, "http://x", seconds=2.0), ChildSpec[ChildRef])
assert_type(child(Supervisor("part")), ChildSpec[ChildRef])
assert_type(child(DynamicSupervisor("sessions", max_children=100)), ChildSpec[ChildRef])
assert_type(child(TaskSupervisor("jobs", shutdown="brutal_kill")), ChildSpec[ChildRef])
assert_type(child(customer, "ann", size=3), ChildSpec[ChildRef])
assert_type(child(Orders).replace(restart="permanent"), ChildSpec[Orders])
assert_type(child(Orders).replace(backoff=Backoff(initial=1.0), budget=Budget(3, 5.0)), ChildSpec[Orders])
assert_type(pool(Orders, size=4), ChildSpec[Orders])
assert_type(pool(child(Inventory, {"A1": 10}), size=4, key="sku", max_restarts=10), ChildSpec[Inventory])

tree = Supervisor(
    "shop",
    child(Inventory, {"A1": 10}),
    Supervisor("back", child(Orders), strategy="one_for_all"),
    DynamicSupervisor("sessions"),
    TaskSupervisor("jobs"),
    pool(child(Inventory, {"A1": 10}).replace(name="shelf"), size=4),
    child(poll, "http://x"),
    child(customer, "ann"),
    strategy="rest_for_one",
    max_restarts=3,
    max_seconds=5.0,
)
assert_type(tree.children, tuple[ChildSpec[Any], ...])
assert_type(Node(tree).is_ready, bool)

child(Inventory)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
child(Inventory, {"A1": "ten"})  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
child(Inventory, {"A1": 10}, True)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
child(Inventory, {"A1": 10}, colour="red")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
child(Orders, 1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
child(poll)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
child(poll, 1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
child(plain, "http://x")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
child(NoActor)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
child(Orders())  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
child(poll("http://x"))  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
child(Supervisor("part"), 1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]

child(customer)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
child(customer, "a", size="")  # type: ignore[type-var,arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]

pool(poll, size=4)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
pool(Supervisor("part"), size=4)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
pool(child(poll, "http://x"), size=4)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
pool(Orders)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
pool(Orders, size="four")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
pool(Orders, size=4, key=7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

DynamicSupervisor("sessions", child(Orders))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
TaskSupervisor("jobs", max_restarts=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Supervisor("shop", Orders)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Supervisor("shop", [child(Orders)])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Supervisor("shop", strategy="one_for_some")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Supervisor("shop", max_restart=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Node(child(Orders))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Mailbox(10, "drop_all")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
tree.max_restarts = 7  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
