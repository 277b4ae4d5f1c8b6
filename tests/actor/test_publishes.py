"""What a class declares that it publishes is checked when it is made, and holds what it publishes."""

import inspect
from dataclasses import dataclass
from datetime import date
from typing import Any, TypedDict

import pytest
from msgspec import Struct

from cliffracer import Actor, DefinitionError, call, child, event

pytestmark = pytest.mark.anyio


class Order(Struct, frozen=True):
    sku: str
    qty: int = 1


class LargeOrder(Order, frozen=True):
    pallets: int = 1


@dataclass
class Receipt:
    lines: list[int]


class Weather(TypedDict):
    degrees: float


class Shop(Actor):
    publishes = {
        "orders.{order_id}.placed": Order,
        "orders.{order_id}.cancelled": Order,
        "receipts": Receipt,
        "prices.{sku}": dict[str, int],
        "weather": Weather,
        "closed": None,
        "holiday": date,
        "degrees": float,
        "anything": Any,
        "either": Order | int,
    }

    @call
    async def say(self, subject: str) -> None:
        await self.publish(subject, VALUES[subject])


class Listener(Actor):
    def __init__(self) -> None:
        self.heard: list[Any] = []

    @event(">")
    async def on_all(self, value: Any) -> None:
        self.heard.append(value)

    @call
    async def tell(self) -> list[Any]:
        return self.heard


VALUES: dict[str, Any] = {}


@pytest.fixture
def say(run_node):
    """Have a `Shop` publish a value, and return what was heard."""

    async def publish(subject, value, actor=Shop):
        VALUES[subject] = value
        outcome = None

        class Caught(actor):
            @call
            async def say(self, subject: str) -> None:
                nonlocal outcome
                try:
                    await self.publish(subject, VALUES[subject])
                except (TypeError, ValueError) as error:
                    outcome = error

        async with run_node(child(Listener), child(Caught)) as node:
            await node.ref(Caught).say(subject)
            heard = await node.ref(Listener).tell()
        if outcome is not None:
            assert heard == []
            raise outcome
        return heard

    return publish


@pytest.mark.parametrize(
    ("subject", "value", "heard"),
    [
        ("orders.7.placed", Order("A1", 2), {"sku": "A1", "qty": 2}),
        ("orders.7-a.cancelled", LargeOrder("A1"), {"sku": "A1", "qty": 1, "pallets": 1}),
        ("receipts", Receipt([1, 2]), {"lines": [1, 2]}),
        ("prices.A1", {"EUR": 3}, {"EUR": 3}),
        ("weather", {"degrees": 3.5}, {"degrees": 3.5}),
        ("closed", None, None),
        ("holiday", date(2024, 5, 1), "2024-05-01"),
        ("degrees", 3, 3),
        ("anything", [Order("A1")], [{"sku": "A1", "qty": 1}]),
        ("either", 3, 3),
        ("either", Order("A1"), {"sku": "A1", "qty": 1}),
    ],
)
async def test_what_is_declared_is_published(say, subject, value, heard):
    assert await say(subject, value) == [heard]


@pytest.mark.parametrize(
    "subject", ["orders", "orders.placed", "orders.7.8.placed", "orders.7.placed.twice", "xorders.7.placed", "price.A1"]
)
async def test_subject_that_is_not_declared_is_refused_with_those_that_are(say, subject):
    with pytest.raises(ValueError) as caught:
        await say(subject, Order("A1"))
    assert f"does not declare that it publishes to {subject!r}" in str(caught.value)
    assert "'orders.{order_id}.placed', 'orders.{order_id}.cancelled', 'receipts'" in str(caught.value)


@pytest.mark.parametrize(
    ("subject", "value", "problem"),
    [
        ("orders.7.placed", {"sku": "A1", "qty": "two"}, "Expected `int`, got `str` - at `$.qty`"),
        ("orders.7.placed", {"sku": "A1"}, "Expected `Order` - at `$`"),
        ("orders.7.placed", None, "Expected `object`, got `null`"),
        ("orders.7.placed", Receipt([]), "Object missing required field `sku`"),
        ("receipts", Receipt([1, "2"]), "Expected `int`, got `str` - at `$.lines[1]`"),
        ("prices.A1", {"EUR": 3.5}, "Expected `int`, got `float` - at `$[...]`"),
        ("weather", {}, "Object missing required field `degrees`"),
        ("closed", 0, "Expected `null`, got `int`"),
        ("holiday", "2024-05-01", "Expected `date` - at `$`"),
        ("either", "3", "Expected `int | object`, got `str`"),
        ("receipts", object(), "Encoding objects of type object is unsupported"),
    ],
)
async def test_value_of_another_type_is_refused_with_the_path_of_the_bad_field(say, subject, value, problem):
    with pytest.raises(TypeError) as caught:
        await say(subject, value)
    assert problem in str(caught.value)


async def test_forgotten_f_of_an_f_string_is_still_told(say):
    with pytest.raises(ValueError, match="Is the f of an f-string missing"):
        await say("orders.{order_id}.placed", Order("A1"))


async def test_class_that_declares_nothing_publishes_what_it_likes(say):
    class Free(Actor):
        pass

    assert await say("a.b.c", 5, Free) == [5]


async def test_subclass_publishes_what_its_bases_declare_and_what_it_adds(say):
    class Mixin:
        publishes = {"mixed": str}

    class Sub(Mixin, Shop):
        publishes = {"sub": int}

    assert await say("sub", 1, Sub) == [1]
    assert await say("mixed", "x", Sub) == ["x"]
    assert await say("receipts", Receipt([]), Sub) == [{"lines": []}]
    with pytest.raises(ValueError, match="does not declare"):
        await say("sub", 1, Shop)


# What is wrong is told when the class is made


@pytest.mark.parametrize(
    ("publishes", "problem", "fix"),
    [
        ([("orders", Order)], "publishes is [('orders'", "a subject and the type of its payload"),
        ({}, "publishes is empty", "a subject and the type of its payload"),
        ({7: Order}, "7 is no subject", "a subject and the type of its payload"),
        ({"orders..placed": Order}, "it has an empty token", "a subject and the type of its payload"),
        ({"orders.{id}x": Order}, "a field is a whole token", "a subject and the type of its payload"),
        ({"orders.*.placed": Order}, "holds a wildcard", "name what varies, as a field"),
        ({"orders.>": Order}, "holds a wildcard", "name what varies, as a field"),
        ({"orders.{id}.*": Order}, "holds a wildcard", "name what varies, as a field"),
        ({"orders": object()}, "publishes: 'orders': ", "give a type that msgspec can encode"),
        ({"orders": Actor}, "'Actor' is not supported", "give a type that msgspec can encode"),
        ({"orders": "Order"}, "publishes: 'orders': ", "give a type that msgspec can encode"),
        ({"orders.{a}.x": int, "orders.7.{b}": str}, "may fit both 'orders.{a}.x' and 'orders.7.{b}'", "the same type"),
    ],
)
def test_declaration_that_is_wrong_is_an_error_of_the_class_with_its_line_and_the_fix(publishes, problem, fix):
    with pytest.raises(DefinitionError) as caught:
        line = inspect.currentframe().f_lineno + 1
        type("Wrong", (Actor,), {"publishes": publishes, "__module__": __name__})
    assert caught.value.where == f"{__file__}:{line}"
    assert problem in caught.value.problem
    assert fix in caught.value.fix


def test_subjects_that_overlap_may_have_one_type():
    class Fine(Actor):
        publishes = {"orders.{a}.x": int, "orders.7.{b}": int, "sales.{a}.y": str, "orders": str}

    assert len(list(Fine.__publications__)) == 4


def test_subclass_cannot_give_a_subject_of_its_base_another_type():
    with pytest.raises(DefinitionError, match=r"may fit both 'receipts' and 'receipts', with Receipt for the one"):

        class Wrong(Shop):
            publishes = {"receipts": int}
