"""Bytes to values and back: two forms, told apart by the first byte; misfits name the field."""

from asyncio import CancelledError
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec import Struct

from cliffracer.codec import Parameter, PayloadCodec, ValueCodec, encode, wire_of

WIRES = ["json", "msgpack"]


class Order(Struct, frozen=True):
    sku: str
    qty: int = 1


RESERVE = PayloadCodec("Inventory.reserve", [Parameter("sku", str), Parameter("qty", int, 1)], frozenset())
PLACE = PayloadCodec(
    "Orders.place", [Parameter("order", Order), Parameter("urgent", bool, False)], frozenset({"urgent"})
)


@pytest.mark.parametrize("payload", [b"", b"{}", b"[1]", b'"text"', b"17", b"null", b" {}", b"-1"])
def test_what_begins_like_json_is_json(payload):
    assert wire_of(payload) == "json"


@pytest.mark.parametrize("value", [{}, {"a": 1}, [], [1, 2], "text", None, True, 1.5, Order("A1"), -1, 200])
def test_what_is_encoded_as_messagepack_is_recognised_as_such(value):
    assert wire_of(encode(value, "msgpack")) == "msgpack"


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("number", [-33, -32, -1, 0, 1, 8, 48, 57, 91, 123, 127, 128, 255, 256, 2**40])
def test_whole_number_survives_either_form(number, wire):
    # Small ones are a single byte in MessagePack, and that byte may be a digit of JSON.
    assert ValueCodec(int).decode_from(encode(number, wire), wire) == number


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("value_type", "value"),
    [
        (str, "größe"),
        (float, 1.5),
        (bool, False),
        (type(None), None),
        (list[int], [1, 2]),
        (dict[str, int], {"a": 1}),
        (Order, Order("A1", 2)),
        (Order | None, None),
        (datetime, datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)),
        (Any, {"a": [1, None, "x"]}),
    ],
)
def test_value_survives_either_form(value_type, value, wire):
    assert ValueCodec(value_type).decode(encode(value, wire)) == value


@pytest.mark.parametrize("wire", WIRES)
def test_value_of_another_type_is_refused_with_the_path_of_the_field(wire):
    with pytest.raises(ValueError, match=r"`\$\.qty`"):
        ValueCodec(Order).decode(encode({"sku": "A1", "qty": "two"}, wire))


@pytest.mark.parametrize("payload", [b"{", b"\xff\xfe", b"\x81", b"{} {}", b"[1,]"])
def test_bytes_that_are_no_payload_are_a_value_error(payload):
    with pytest.raises(ValueError):
        ValueCodec(dict[str, int]).decode(payload)


@pytest.mark.parametrize("payload", [b"[" * 100_000 + b"]" * 100_000, b"\x91" * 100_000 + b"\x90"])
def test_payload_that_is_nested_too_deeply_is_a_value_error(payload):
    with pytest.raises(ValueError, match="nested too deeply"):
        ValueCodec(Any).decode(payload)


@pytest.mark.parametrize("payload", [b"[[1], [2]]", b"[{}]"])
def test_set_of_what_no_set_can_hold_is_a_value_error(payload):
    with pytest.raises(ValueError):
        ValueCodec(set[Any]).decode(payload)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("exception", [ValueError, TypeError])
def test_what_the_own_checks_of_a_type_say_is_told_to_the_sender(exception, wire):
    class Checked(Struct):
        sku: str

        def __post_init__(self):
            raise exception(self.sku)

    with pytest.raises(ValueError, match="A1"):
        ValueCodec(Checked).decode(encode({"sku": "A1"}, wire))


class Unspeakable(ValueError):
    def __str__(self):
        raise LookupError("no entry for /srv/A1")


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    "exception",
    [
        FileNotFoundError(2, "No such file", "/srv/A1"),
        LookupError("/srv/A1"),
        ExceptionGroup("/srv/A1", [ValueError("/srv/A1")]),
        Unspeakable(),
        CancelledError("/srv/A1"),
    ],
    ids=lambda exception: type(exception).__name__,
)
def test_other_exceptions_in_the_own_checks_of_a_type_are_told_to_the_operator_and_not_to_the_sender(exception, wire):
    class Checked(Struct):
        sku: str

        def __post_init__(self):
            raise exception

    with pytest.raises(ValueError) as error:
        ValueCodec(Checked).decode(encode({"sku": "A1"}, wire))
    assert "A1" not in str(error.value)
    assert "/srv/A1" in str(error.value.__cause__)


@pytest.mark.parametrize("wire", WIRES)
def test_value_that_cannot_be_encoded_is_a_type_error(wire):
    with pytest.raises(TypeError):
        encode(object(), wire)


def test_type_that_cannot_be_decoded_is_a_type_error():
    with pytest.raises(TypeError, match="not supported"):
        ValueCodec(list[int] | set[int])


def test_arguments_are_bound_by_position_and_by_name():
    assert RESERVE.bind(("A1", 2), {}) == (("A1", 2), None)
    assert RESERVE.bind(("A1",), {"qty": 2}) == (("A1", 2), None)
    assert RESERVE.bind((), {"qty": 2, "sku": "A1"}) == (("A1", 2), None)


def test_binding_fills_in_defaults():
    assert RESERVE.bind(("A1",), {}) == (("A1", 1), None)


def test_keyword_only_arguments_stay_apart():
    assert PLACE.bind((Order("A1"),), {"urgent": True}) == ((Order("A1"),), {"urgent": True})
    assert PLACE.bind((Order("A1"),), {}) == ((Order("A1"),), {"urgent": False})


@pytest.mark.parametrize(
    ("codec", "args", "kwargs"),
    [
        (RESERVE, (), {}),
        (RESERVE, ("A1", 2, 3), {}),
        (RESERVE, ("A1",), {"sku": "A1"}),
        (RESERVE, ("A1",), {"colour": "red"}),
        (PLACE, (Order("A1"), True), {}),
        (PLACE, (), {"urgent": True}),
        (PLACE, (Order("A1"),), {"order": Order("A1")}),
    ],
)
def test_arguments_that_do_not_fit_are_a_type_error(codec, args, kwargs):
    with pytest.raises(TypeError):
        codec.bind(args, kwargs)


def test_payload_is_an_object_keyed_by_the_names_of_the_parameters():
    assert RESERVE.encode(("A1", 2), None, "json") == b'{"sku":"A1","qty":2}'
    assert PLACE.encode((Order("A1"),), {"urgent": True}, "json") == b'{"order":{"sku":"A1","qty":1},"urgent":true}'


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("codec", "args", "kwargs"), [(RESERVE, ("A1", 2), None), (PLACE, (Order("A1", 3),), {"urgent": True})]
)
def test_arguments_survive_either_form(codec, args, kwargs, wire):
    assert codec.decode(codec.encode(args, kwargs, wire)) == (args, kwargs)


def test_defaults_are_filled_in_on_arrival():
    assert RESERVE.decode(b'{"sku": "A1"}') == (("A1", 1), None)
    assert PLACE.decode(b'{"order": {"sku": "A1"}}') == ((Order("A1"),), {"urgent": False})


def test_empty_payload_is_an_empty_object():
    nothing = PayloadCodec("Till.total", [], frozenset())
    assert nothing.decode(b"") == ((), None)
    assert nothing.decode(b"{}") == ((), None)
    with pytest.raises(ValueError, match="sku"):
        RESERVE.decode(b"")


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        (b'{"qty": 2}', "required field `sku`"),
        (b'{"sku": "A1", "qty": "two"}', r"`\$\.qty`"),
        (b'{"sku": "A1", "colour": "red"}', "unknown field `colour`"),
        (b'["A1", 2]', "Expected `object`"),
        (b"17", "Expected `object`"),
        (b"null", "Expected `object`"),
        (b"not json", "JSON"),
    ],
)
def test_payload_that_does_not_fit_says_where(payload, problem):
    with pytest.raises(ValueError, match=problem):
        RESERVE.decode(payload)


def test_path_of_a_bad_field_leads_into_nested_values():
    with pytest.raises(ValueError, match=r"`\$\.order\.qty`"):
        PLACE.decode(b'{"order": {"sku": "A1", "qty": 1.5}}')


def test_default_that_can_be_changed_is_fresh_for_each_call():
    codec = PayloadCodec("Shop.tag", [Parameter("tags", list[str], [])], frozenset())
    first, _ = codec.bind((), {})
    first[0].append("changed")
    assert codec.bind((), {}) == (([],), None)


def test_structs_among_the_arguments_are_not_taken_apart():
    args, _ = PLACE.bind((Order("A1", 2),), {})
    assert isinstance(args[0], Order)
