"""The handler table: built and checked when the class is made."""

import inspect
import linecache
import runpy
import textwrap
from enum import Enum
from typing import Any, Literal
from uuid import UUID

import msgspec
import pytest
from msgspec import Struct

from cliffracer import Actor, DefinitionError, call, cast, event, every
from cliffracer.actor.handlers import Kind


class Order(Struct, frozen=True):
    sku: str
    qty: int = 1


class Colour(Enum):
    RED = "red"


class Shop(Actor):
    @call
    async def place(self, order: Order, customer: str = "somebody") -> str:
        return f"{order.qty} x {order.sku} for {customer}"

    @call(concurrent=True)
    async def look(self) -> list[Order]:
        return []

    @call(concurrent=3)
    async def price(self, sku: str, *, currency: str = "EUR") -> float:
        return 1.0

    @cast
    async def clean(self, room: int):
        pass

    @event("orders.{order_id}.cancelled")
    async def on_cancelled(self, order_id: int, order: Order) -> None:
        pass

    @event("prices.>", to="all")
    async def on_price(self) -> None:
        pass

    @every(60)
    async def report(self, *, verbose: bool = False) -> None:
        pass

    async def not_a_handler(self, anything):
        pass


TABLE = Shop.__handlers__


def test_table_holds_what_is_decorated_and_nothing_else():
    assert {name: handler.kind for name, handler in TABLE.items()} == {
        "place": Kind.CALL,
        "look": Kind.CALL,
        "price": Kind.CALL,
        "clean": Kind.CAST,
        "on_cancelled": Kind.EVENT,
        "on_price": Kind.EVENT,
        "report": Kind.EVERY,
    }


def test_actor_without_handlers_is_fine():
    class Silent(Actor):
        pass

    assert Silent.__handlers__ == {}


def test_decorated_method_is_still_a_method():
    assert inspect.iscoroutinefunction(Shop.place)
    assert Shop.place.__name__ == "place"


def test_handler_runs_one_message_at_a_time_unless_it_says_otherwise():
    assert {name: TABLE[name].concurrent for name in ("place", "look", "price", "clean")} == {
        "place": 1,
        "look": 100,
        "price": 3,
        "clean": 1,
    }


def test_signature_does_not_show_self():
    assert list(TABLE["place"].signature.parameters) == ["order", "customer"]


def test_interval_is_in_float_seconds():
    assert TABLE["report"].seconds == 60.0


def test_event_knows_its_pattern_and_which_replicas_hear_it():
    assert TABLE["on_cancelled"].pattern.subject == "orders.*.cancelled"
    assert (TABLE["on_cancelled"].to, TABLE["on_price"].to) == ("one", "all")


# Bind


def test_bind_gives_the_arguments_in_order_with_defaults_filled_in():
    assert TABLE["place"].bind((Order("A1"),), {}) == ((Order("A1"), "somebody"), None)
    assert TABLE["place"].bind((), {"customer": "ada", "order": Order("A1")}) == ((Order("A1"), "ada"), None)
    assert TABLE["look"].bind((), {}) == ((), None)


def test_bind_keeps_keyword_only_arguments_apart():
    assert TABLE["price"].bind(("A1",), {}) == (("A1",), {"currency": "EUR"})
    assert TABLE["price"].bind(("A1",), {"currency": "SEK"}) == (("A1",), {"currency": "SEK"})


@pytest.mark.parametrize(
    ("args", "kwargs", "problem"),
    [
        ((), {}, "missing a required argument: 'order'"),
        ((1, 2, 3), {}, "too many positional arguments"),
        ((1,), {"order": 2}, "multiple values for argument 'order'"),
        ((1,), {"colour": "red"}, "got an unexpected keyword argument 'colour'"),
    ],
)
def test_misfit_is_a_type_error_in_pythons_own_words_with_the_signature(args, kwargs, problem):
    with pytest.raises(TypeError) as caught:
        TABLE["place"].bind(args, kwargs)
    assert str(caught.value).startswith("place(order: ")
    assert problem in str(caught.value)


def test_keyword_only_argument_cannot_be_given_by_position():
    with pytest.raises(TypeError, match="too many positional arguments"):
        TABLE["price"].bind(("A1", "SEK"), {})


@pytest.mark.parametrize("name", ["on_cancelled", "report"])
def test_what_cannot_be_called_cannot_be_bound(name):
    with pytest.raises(TypeError, match=f"{name} is no @call and no @cast"):
        TABLE[name].bind((), {})


# Events


def listening(method, subject):
    return type("Listener", (Actor,), {"on": event(subject)(method)}).__handlers__["on"]


def test_fields_of_the_subject_are_decoded_to_their_types():
    async def on(self, number: int, id: UUID, colour: Colour, size: Literal["s", "m"], name: str):
        pass

    handler = listening(on, "x.{number}.{id}.{colour}.{size}.{name}")
    id = UUID(int=7)
    assert handler.decode_event(f"x.17.{id}.red.s.17", b"") == (17, id, Colour.RED, "s", "17")


def test_arguments_are_in_the_order_of_the_method_and_not_of_the_subject():
    async def on(self, b: str, order: Order, a: int):
        pass

    assert listening(on, "x.{a}.y.{b}").decode_event("x.1.y.two", b'{"sku": "A1"}') == ("two", Order("A1"), 1)


def test_event_without_a_payload_parameter_ignores_the_payload():
    assert TABLE["on_price"].decode_event("prices.eu.a1", b"\xffnonsense") == ()


def test_event_may_take_nothing_but_the_payload():
    async def on(self, anything: Any):
        pass

    assert listening(on, "x.*").decode_event("x.y", b"[1, null]") == ([1, None],)


def test_field_of_the_wrong_type_is_a_value_error_that_names_it():
    with pytest.raises(ValueError, match=r"`int`.*in the field 'order_id' of 'orders.{order_id}.cancelled'"):
        TABLE["on_cancelled"].decode_event("orders.abc.cancelled", b'{"sku": "A1"}')


@pytest.mark.parametrize("payload", [b"", b"[]", b'{"sku": 1}', b"{"])
def test_event_payload_that_does_not_fit_is_a_value_error(payload):
    with pytest.raises(ValueError):
        TABLE["on_cancelled"].decode_event("orders.17.cancelled", payload)


def test_empty_event_brings_the_default_of_the_payload_parameter():
    async def on(self, order: Order | None = None):
        pass

    assert listening(on, "x").decode_event("x", b"") == (None,)


def test_event_handler_can_be_called_with_what_is_decoded_for_it():
    async def on(self, *, order_id: int):
        pass

    try:
        handler = listening(on, "orders.{order_id}")
    except DefinitionError:
        return  # saying so when the class is made is as good
    handler.signature.bind(*handler.decode_event("orders.17", b""))


# Inheritance


def test_handlers_are_inherited_and_can_be_overridden():
    class Base(Actor):
        @call
        async def kept(self) -> int:
            return 1

        @call
        async def changed(self) -> int:
            return 1

    class Derived(Base):
        @call
        async def changed(self, twice: bool) -> str:
            return ""

    assert list(Derived.__handlers__) == ["changed", "kept"]
    assert list(Derived.__handlers__["changed"].signature.parameters) == ["twice"]
    assert list(Base.__handlers__["changed"].signature.parameters) == []


def test_handlers_of_a_mixin_are_in_the_table():
    class Health:
        @call
        async def ping(self) -> str:
            return "pong"

    class Service(Health, Actor):
        pass

    assert list(Service.__handlers__) == ["ping"]


def test_two_event_handlers_for_one_subject_are_refused_across_inheritance_too():
    class Base(Actor):
        @event("orders.{id}")
        async def first(self, id: str) -> None: ...

    with pytest.raises(DefinitionError, match=r"both listen to 'orders\.\*'"):

        class Derived(Base):
            @event("orders.{number}")
            async def second(self, number: str) -> None: ...


def test_overriding_an_event_handler_does_not_count_as_a_second_one():
    class Base(Actor):
        @event("orders.{id}")
        async def on_order(self, id: str) -> None: ...

    class Derived(Base):
        @event("orders.{id}")
        async def on_order(self, id: int) -> None: ...

    assert Derived.__handlers__["on_order"].decode_event("orders.17", b"") == (17,)


# Where annotations are looked up


def run_module(path, source):
    path.write_text(textwrap.dedent(source))
    return runpy.run_path(str(path))


SHOP = """
    from __future__ import annotations
    from msgspec import Struct
    from cliffracer import Actor, call

    def make():
        class Item(Struct):
            sku: str

        class Shop(Actor):
            @call
            async def sell(self, item: Item) -> list[Item]:
                return [item]

        return Shop, Item
"""


def test_postponed_annotations_can_name_types_that_stand_beside_the_class(tmp_path):
    shop, item = run_module(tmp_path / "shop.py", SHOP)["make"]()
    assert shop.__handlers__["sell"].payload.decode(b'{"item": {"sku": "A1"}}') == ((item("A1"),), None)


def test_class_can_be_inherited_where_its_local_types_are_out_of_sight(tmp_path):
    shop, item = run_module(tmp_path / "shop.py", SHOP)["make"]()

    class Corner(shop):
        pass

    assert Corner.__handlers__["sell"].payload.decode(b'{"item": {"sku": "A1"}}') == ((item("A1"),), None)


def test_inherited_handler_keeps_the_types_of_its_own_module(tmp_path):
    base = run_module(
        tmp_path / "base.py",
        """
        from __future__ import annotations
        from msgspec import Struct
        from cliffracer import Actor, call

        class Item(Struct):
            sku: str

        class Shop(Actor):
            @call
            async def sell(self, item: Item) -> Item:
                return item
        """,
    )

    class Item(msgspec.Struct):  # another one of the same name, in sight of the subclass
        colour: str

    class Corner(base["Shop"]):
        kind = Item

    assert Corner.__handlers__["sell"].payload.decode(b'{"item": {"sku": "A1"}}') == ((base["Item"]("A1"),), None)


def test_line_of_a_class_with_a_metaclass_is_its_own():
    import abc

    with pytest.raises(DefinitionError) as caught:

        class Orders(Actor, abc.ABC, restart="always"):
            pass

    path, _, line = caught.value.where.rpartition(":")
    assert "class Orders" in linecache.getline(path, int(line))
