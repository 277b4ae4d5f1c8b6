"""Whatever is sent arrives; whatever arrives is decoded or a ValueError, and nothing else."""

from contextlib import suppress
from datetime import UTC, datetime
from math import isnan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from cliffracer.actor.actor import Actor
from cliffracer.actor.handlers import event
from cliffracer.codec import Parameter, PayloadCodec, ValueCodec, encode, wire_of
from cliffracer.envelope import CONTEXT_HEADER, Message, pack_context, unpack_context
from cliffracer.names import is_name


class Line(Struct, frozen=True):
    sku: str
    qty: int
    price: float | None = None


class Order(Struct, frozen=True):
    id: int
    lines: list[Line] = []
    tags: dict[str, str] = {}
    placed: datetime | None = None


class Till(Actor):
    @event("orders.{number}.{sku}")
    async def on_order(self, number: int, order: Order, sku: str) -> None: ...


CODEC = PayloadCodec(
    "Orders.place",
    [
        Parameter("order", Order),
        Parameter("customer", str),
        Parameter("urgent", bool, False),
        Parameter("note", Any, None),
    ],
    frozenset({"urgent", "note"}),
)
FLAT = PayloadCodec("Inventory.reserve", [Parameter("sku", str), Parameter("qty", int, 1)], frozenset())

WIRES = st.sampled_from(["json", "msgpack"])
TEXTS = st.text(alphabet=st.characters(codec="utf-8"), max_size=10)
INTS = st.integers(-200, 300) | st.integers(-(2**63), 2**64 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
LINES = st.builds(Line, TEXTS, INTS, st.none() | FLOATS)
TIMES = st.datetimes(datetime(1970, 1, 2), datetime(2999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds it
ORDERS = st.builds(
    Order, INTS, st.lists(LINES, max_size=3), st.dictionaries(TEXTS, TEXTS, max_size=3), st.none() | TIMES
)
PLAIN = st.recursive(
    st.none() | st.booleans() | INTS | FLOATS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
# Not "-" alone: in the header it says that there is nothing.
NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}", fullmatch=True)


@given(ORDERS, TEXTS, st.booleans(), PLAIN, WIRES)
def test_arguments_survive_the_wire(order, customer, urgent, note, wire):
    args, kwargs = CODEC.bind((order, customer), {"urgent": urgent, "note": note})
    payload = CODEC.encode(args, kwargs, wire)
    assert wire_of(payload) == wire
    assert CODEC.decode(payload) == (args, kwargs)


@given(TEXTS, INTS, WIRES)
def test_arguments_without_keyword_only_ones_survive_the_wire(sku, qty, wire):
    payload = FLAT.encode((sku, qty), None, wire)
    assert wire_of(payload) == wire
    assert FLAT.decode(payload) == ((sku, qty), None)


@given(st.none() | st.booleans() | INTS | FLOATS | TEXTS | PLAIN, WIRES)
def test_result_survives_the_wire(value, wire):
    assert ValueCodec(Any).decode_from(encode(value, wire), wire) == value


@given(ORDERS, WIRES)
def test_result_of_a_declared_type_survives_the_wire(order, wire):
    assert ValueCodec(Order).decode(encode(order, wire)) == order


@given(PLAIN)
def test_json_is_never_taken_for_messagepack(value):
    assert wire_of(encode(value, "json")) == "json"


@st.composite
def damaged(draw):
    """A payload that was right before some of its bytes were lost, changed or repeated."""
    args, kwargs = CODEC.bind((draw(ORDERS), draw(TEXTS)), {})
    payload = bytearray(CODEC.encode(args, kwargs, draw(WIRES)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(payload) - 1))
        payload[at : at + draw(st.integers(0, 4))] = draw(st.binary(max_size=4))
        payload = payload or bytearray(b"\x00")
    return bytes(payload)


@pytest.mark.parametrize("codec", [CODEC, FLAT, ValueCodec(Order), ValueCodec(Any), ValueCodec(int)])
@given(payload=st.binary(max_size=64) | damaged())
def test_bytes_from_anywhere_are_decoded_or_a_value_error(codec, payload):
    with suppress(ValueError):  # any other exception fails the test
        codec.decode(payload)


@pytest.mark.parametrize("codec", [CODEC, ValueCodec(Order)])
@given(value=PLAIN, wire=WIRES)
def test_well_formed_payloads_of_the_wrong_shape_are_value_errors(codec, value, wire):
    if isinstance(value, dict):
        value = {**value, "id": "not a number", "order": "not an order"}
    with pytest.raises(ValueError):
        codec.decode(encode(value, wire))


@given(
    subject=st.lists(TEXTS.filter(lambda text: text and "." not in text), min_size=2, max_size=2), payload=st.binary()
)
def test_events_from_anywhere_are_decoded_or_a_value_error(subject, payload):
    try:
        number, order, sku = Till.__handlers__["on_order"].decode_event(f"orders.{'.'.join(subject)}", payload)
    except ValueError:
        return
    assert (type(number), type(order), sku) == (int, Order, subject[1])


@given(
    st.floats(-1e6, 1e6), st.from_regex(r"[a-f0-9]{1,32}-[a-f0-9]{1,8}", fullmatch=True), st.lists(NAMES, max_size=8)
)
def test_context_survives_the_wire(left, correlation, chain):
    sent = Message("a", "b", deadline=1000.0 + left, correlation=correlation, chain=tuple(chain))
    received = Message("a", "b")
    unpack_context(pack_context(sent, 1000.0), received, lambda: 5000.0)
    assert received.deadline == pytest.approx(5000.0 + left, rel=1e-5, abs=1e-5)
    assert (received.correlation, received.chain) == (correlation, tuple(chain))


@given(TEXTS | st.lists(st.text("-019.einfa, \t\x00", max_size=8), min_size=3, max_size=3).map(" ".join))
def test_header_from_anywhere_is_unpacked_or_a_value_error(packed):
    message = Message("a", "b")
    try:
        unpack_context({CONTEXT_HEADER: packed}, message, lambda: 100.0)
    except ValueError:
        return
    assert not isnan(message.deadline)
    assert message.correlation.isprintable()
    assert all(is_name(name) for name in message.chain)
