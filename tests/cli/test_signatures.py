"""A line of text for what a handler takes and answers, from the JSON Schemas that a service tells."""

import datetime as dt
from typing import Any, Literal

import msgspec
import pytest

from cliffracer import Actor, call, cast, event
from cliffracer.cli.signatures import signature_of, types_of
from cliffracer.node.micro import _facts_of


class Item(msgspec.Struct):
    sku: str
    tags: list[str] = []


class Order(msgspec.Struct):
    items: list[Item]
    rush: bool = False


class Many(Actor):
    @call
    async def plain(self, sku: str, qty: int = 1, share: float = 0.5, *, note: str | None = None) -> int:
        return 1

    @call
    async def nested(self, order: Order, by_sku: dict[str, Item]) -> list[Order]:
        return []

    @call
    async def odd(self, pair: tuple[int, str], way: Literal["up", "down"], when: dt.datetime, what: Any) -> None:
        pass

    @call
    async def bare(self, table: dict[str, Any], anything: list[Any]) -> dict[str, int] | None:
        pass

    @cast
    async def told(self) -> None:
        pass

    @event("orders.{customer}.{number}.placed")
    async def on_placed(self, customer: str, number: int, order: Order) -> None:
        pass

    @event("alarms")
    async def on_alarm(self) -> None:
        pass


def facts_of(name: str) -> dict[str, str]:
    return _facts_of(Many.__handlers__[name], schemas=True)


@pytest.mark.parametrize(
    "line",
    [
        "plain(sku: str, qty: int = 1, share: float = 0.5, note: str | None = null) -> int",
        "nested(order: Order, by_sku: dict[str, Item]) -> list[Order]",
        'odd(pair: tuple[int, str], way: "down" | "up", when: str, what: Any) -> None',
        "bare(table: dict, anything: list[Any]) -> dict[str, int] | None",
        "told()",
        "on_placed(customer, number, event: Order)",
        "on_alarm()",
    ],
)
def test_signature_reads_like_the_handlers_own(line):
    name = line.partition("(")[0]
    assert signature_of(name, facts_of(name)) == line


def test_types_that_are_only_named_are_told_with_their_fields():
    assert types_of(facts_of("nested")) == {
        "Order": "{items: list[Item], rush: bool = false}",
        "Item": "{sku: str, tags: list[str] = []}",
    }
    assert types_of(facts_of("on_placed")).keys() == {"Order", "Item"}
    assert types_of(facts_of("plain")) == {}


def test_handler_without_schemas_is_told_without_its_parameters():
    assert signature_of("plain", {"kind": "call"}) == "plain(...)"
    assert types_of({"kind": "call"}) == {}


@pytest.mark.parametrize("text", ["no json", "[1, 2]", '{"$ref": 5, "$defs": []}', '{"properties": 7}', "{" * 5000])
def test_nonsense_instead_of_a_schema_does_no_harm(text):
    facts = {"kind": "call", "request": text, "response": text}
    assert signature_of("plain", facts).startswith("plain(")
    assert types_of(facts) == {}
