"""What pool(...) describes, and what it refuses before anything starts."""

import anyio
import pytest

from cliffracer import Actor, Mailbox, SpecError, Supervisor, call, child, event, pool


class Inventory(Actor):
    @call
    async def reserve(self, sku: str) -> None: ...


class Worker(Actor):
    pass


def test_pool_is_described_by_its_members():
    spec = pool(child(Inventory).replace(mailbox=Mailbox(7), restart="transient"), size=3, key="sku")
    assert (spec.id, spec.name, spec.restart, spec.shutdown) == ("inventory", "inventory", "permanent", "infinity")
    assert spec.is_supervisor
    members = spec.start.members.children
    assert [(m.id, m.name) for m in members] == [(f"inventory-{n}", f"inventory-{n}") for n in range(3)]
    assert {(m.mailbox, m.restart) for m in members} == {(Mailbox(7), "transient")}
    assert pool(Inventory, size=2, key="sku") == pool(Inventory, size=2, key="sku")
    assert pool(child(Inventory).replace(name="stock"), size=1).start.members.children[0].name == "stock-0"


async def idle() -> None:
    await anyio.sleep_forever()


class Mixed(Actor):
    @call
    async def by_sku(self, sku: str) -> None: ...

    @event("orders.{order_id}")
    async def on_order(self, order_id: str) -> None: ...


class NeedsStock(Actor):
    def __init__(self, stock: dict[str, int]) -> None:
        self.stock = stock


@pytest.mark.parametrize(
    ("arguments", "options", "problem"),
    [
        (Mixed, {"size": 2, "key": "sku"}, r"key='sku', and Mixed\.on_order\(.* has no such parameter"),
        (Inventory, {"size": 2, "key": "colour"}, "key='colour', and Inventory.*has no such parameter"),
        (Inventory, {"size": 2, "key": 7}, "key=7"),
        (Inventory, {"size": 0}, "size=0"),
        (Inventory, {"size": -1}, "size=-1"),
        (Inventory, {"size": 2.0}, r"size=2\.0"),
        (Inventory, {"size": True}, "size=True"),
        (Inventory, {"size": 2, "max_restarts": -1}, "max_restarts=-1"),
        (Inventory, {"size": 2, "max_seconds": 0.0}, r"max_seconds=0\.0"),
        (NeedsStock, {"size": 2}, "missing a required argument: 'stock'"),
        (Actor, {"size": 2}, "Actor itself has no handlers"),
        (idle, {"size": 2}, "only actors can be pooled"),
        (Supervisor("part"), {"size": 2}, "only actors can be pooled"),
        (pool(Inventory, size=2), {"size": 2}, "only actors can be pooled"),
        ("inventory", {"size": 2}, "takes an actor class"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_wrong_pool_is_refused_before_anything_starts(arguments, options, problem):
    with pytest.raises(SpecError, match=problem):
        pool(arguments, **options)


@pytest.mark.parametrize("change", [{"name": "stock"}, {"mailbox": Mailbox(1)}], ids=str)
def test_name_and_mailbox_belong_to_the_members(change):
    with pytest.raises(SpecError, match="the members of a pool have its name and mailbox"):
        pool(Inventory, size=2).replace(**change)


@pytest.mark.parametrize(
    "children",
    [
        [child(Inventory).replace(id="other"), pool(Inventory, size=2)],
        [child(Worker).replace(name="inventory-1"), pool(Inventory, size=2)],
        [child(Inventory), Supervisor("part", pool(Inventory, size=2))],
        [pool(Inventory, size=2), Supervisor("part", child(Worker).replace(name="inventory"))],
        [Supervisor("left", pool(Inventory, size=2)), Supervisor("right", pool(Inventory, size=2))],
    ],
    ids=["beside", "a member", "above", "below", "another pool"],
)
def test_name_of_a_pool_is_no_other_actors(children):
    with pytest.raises(SpecError, match="two actors have the name 'inventory"):
        Supervisor("root", *children)
