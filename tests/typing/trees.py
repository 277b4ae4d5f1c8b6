"""A child's arguments are those of its constructor; the type checker holds them to it. Never run."""

from typing import assert_type

from cliffracer import Actor, ChildSpec, Mailbox, Node, Supervisor, child


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


assert_type(child(Inventory, {"A1": 10}), ChildSpec)
assert_type(child(Inventory, stock={"A1": 10}, strict=True), ChildSpec)
assert_type(child(Orders), ChildSpec)
assert_type(child(poll, "http://x", seconds=2.0), ChildSpec)
assert_type(child(Supervisor("part")), ChildSpec)
assert_type(child(Orders).replace(restart="permanent"), ChildSpec)

tree = Supervisor(
    "shop",
    child(Inventory, {"A1": 10}),
    Supervisor("back", child(Orders), strategy="one_for_all"),
    child(poll, "http://x"),
    strategy="rest_for_one",
    max_restarts=3,
    max_seconds=5.0,
)
assert_type(tree.children, tuple[ChildSpec, ...])
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

Supervisor("shop", Orders)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Supervisor("shop", [child(Orders)])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Supervisor("shop", strategy="one_for_some")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Supervisor("shop", max_restart=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Node(child(Orders))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Mailbox(10, "drop_all")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
tree.max_restarts = 7  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
