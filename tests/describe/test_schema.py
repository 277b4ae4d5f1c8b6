"""Schemas of types: tidy descriptions, names without modules, and the words of draft 07."""

from math import inf
from typing import Annotated, Generic, NamedTuple, TypeVar

import msgspec
import pytest
from msgspec import Meta, Struct

from cliffracer.describe.schema import components_of, draft_07, schema_of, tidy

T = TypeVar("T")


class Page(Struct, Generic[T]):
    items: list[T]


class Order(Struct):
    """What somebody wants.

    Two lines down.
    """

    sku: Annotated[str, Meta(description="  Of the shop.  ")]
    limit: float = inf


class Pair(NamedTuple):
    first: int
    description: str = "x"


class One(Struct, tag=True):
    a: int


class Two(Struct, tag=True):
    b: int


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, ""),
        ("  \n ", ""),
        ("One.", "One."),
        ("One.\n\n    Two.\n      In.\n    ", "One.\n\nTwo.\n  In."),
        ("One.  \n\tTwo.", "One.\nTwo."),
        ("One.\r\n    Two.", "One.\n\nTwo."),
    ],
)
def test_docstring_is_tidy_wherever_its_class_stands(text, expected):
    assert tidy(text) == expected
    assert tidy(expected) == expected


def test_descriptions_are_tidy_and_a_property_called_description_is_left_alone():
    schema = schema_of(Order)["$defs"]["Order"]
    assert schema["description"] == "What somebody wants.\n\nTwo lines down."
    assert schema["properties"]["sku"]["description"] == "Of the shop."
    assert schema_of(dict[str, Pair])["$defs"]["Pair"]["prefixItems"][1] == {"type": "string", "default": "x"}


def test_default_that_json_cannot_hold_is_left_out():
    schema = schema_of(Order)["$defs"]["Order"]
    assert "default" not in schema["properties"]["limit"]
    assert schema["required"] == ["sku"]


def test_names_of_generic_classes_do_not_tell_their_modules():
    schema = schema_of(Page[Page[Order]])
    assert schema["$ref"] == "#/$defs/Page_Page_Order__"
    assert schema["$defs"]["Page_Page_Order__"]["title"] == "Page[Page[Order]]"
    assert schema["$defs"]["Page_Page_Order__"]["properties"]["items"] == {
        "type": "array",
        "items": {"$ref": "#/$defs/Page_Order_"},
    }
    assert set(schema["$defs"]) == {"Page_Page_Order__", "Page_Order_", "Order"}


def test_type_without_classes_has_no_components():
    assert schema_of(list[int]) == {"type": "array", "items": {"type": "integer"}}


def test_two_classes_that_cannot_be_told_apart_are_an_error_and_no_crash():
    first, second = (msgspec.defstruct("Same", [(name, int)]) for name in "ab")
    with pytest.raises(TypeError, match="two classes that are both called"):
        components_of([first, second], "#/")


def test_tuples_and_tagged_unions_are_said_in_the_words_of_draft_07():
    assert draft_07(schema_of(tuple[int, str])) == {
        "type": "array",
        "minItems": 2,
        "maxItems": 2,
        "items": [{"type": "integer"}, {"type": "string"}],
        "additionalItems": False,
    }
    (union,), _ = components_of([dict[str, One | Two]], "#/")
    assert union["additionalProperties"]["discriminator"]["mapping"] == {"One": "#/One", "Two": "#/Two"}
    assert draft_07(union)["additionalProperties"]["discriminator"] == "type"
