"""Whatever Structs and enums a handler has: the stub of it has the same schema."""

import datetime as dt
import decimal
import enum
import itertools
import sys
import types
import uuid
from typing import Annotated, Any, Literal, Optional

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Meta

from cliffracer import Actor, Supervisor, call, child
from cliffracer.describe.client import client_of
from cliffracer.describe.handlers import request_schema, response_schema

FIELDS = st.sampled_from(["a", "b_c", "list", "int", "datetime", "msgspec", "field", "type", "uuid", "x1", "Optional"])
NAMES = st.sampled_from(["Order", "Struct", "call", "Any", "Enum", "list", "Page"])  # some of them are taken
TEXTS = st.text(max_size=8).filter(lambda text: "\0" not in text)


@st.composite
def enums(draw):
    values = draw(st.one_of(st.lists(TEXTS, min_size=1, max_size=4, unique=True), st.just([1, -5])))
    return enum.Enum(
        draw(NAMES), {f"M{index}": value for index, value in enumerate(values)}, module=f"module_{next(numbers)}"
    )


NUMBERS = st.one_of(st.integers(-(2**40), 2**40), st.floats(-1e6, 1e6))


@st.composite
def constrained(draw):
    if draw(st.booleans()):
        low = draw(NUMBERS)
        return Annotated[float, Meta(ge=low, description=draw(TEXTS) or None)]
    return Annotated[str, Meta(max_length=draw(st.integers(0, 9)), title=draw(TEXTS) or None, examples=[draw(TEXTS)])]


SIMPLE = st.sampled_from([int, float, str, bool, bytes, Any, None, dt.datetime, dt.date, decimal.Decimal, uuid.UUID])
LITERALS = st.lists(st.one_of(TEXTS, st.integers(-9, 9)), min_size=1, max_size=3, unique_by=repr).map(
    lambda values: Literal[tuple(values)]
)


def containers(inner):
    return st.one_of(
        inner.map(lambda kind: list[kind]),
        inner.map(lambda kind: dict[str, kind]),
        inner.map(lambda kind: tuple[kind, ...]),
        st.tuples(inner, inner).map(lambda kinds: tuple[kinds]),
        inner.map(lambda kind: Optional[kind]),  # noqa: UP045
        structs(inner),
    )


DEFAULTS = {
    int: st.integers(-9, 9),
    float: st.floats(allow_nan=False),
    str: TEXTS,
    bool: st.booleans(),
    bytes: st.binary(max_size=4),
    dt.date: st.dates(),
    dt.datetime: st.datetimes(timezones=st.just(dt.UTC)),
    decimal.Decimal: st.decimals(allow_nan=False, allow_infinity=False),
    uuid.UUID: st.uuids(),
}
numbers = itertools.count()


@st.composite
def structs(draw, inner):
    kinds = draw(st.dictionaries(FIELDS, inner, max_size=4))
    fields: list[Any] = []
    for name, kind in kinds.items():
        options: dict[str, Any] = {}
        if kind in (list, dict, set) or isinstance(kind, types.GenericAlias):
            pass
        elif kind in DEFAULTS and draw(st.booleans()):
            options["default"] = draw(DEFAULTS[kind])
        elif isinstance(kind, type) and issubclass(kind, enum.Enum) and draw(st.booleans()):
            options["default"] = next(iter(kind))
        if draw(st.booleans()):
            options["name"] = f"{name}-{draw(st.sampled_from(['ä', 'x']))}"
        fields.append((name, kind, msgspec.field(**options)) if options else (name, kind))
    tag = draw(st.sampled_from([None, None, "t"]))
    return msgspec.defstruct(
        draw(NAMES),
        fields,
        kw_only=True,
        module=f"module_{next(numbers)}",
        frozen=draw(st.booleans()),
        array_like=draw(st.booleans()),
        forbid_unknown_fields=draw(st.booleans()),
        omit_defaults=draw(st.booleans()),
        tag=f"t{next(numbers)}" if tag else None,
        tag_field="tag" if tag else None,
        namespace={"__doc__": draw(st.one_of(st.none(), st.text('a"\\ \n\t\r\0', max_size=9)))},
    )


TYPES = st.recursive(st.one_of(SIMPLE, LITERALS, constrained(), enums()), containers, max_leaves=6)


@given(kinds=st.lists(TYPES, min_size=1, max_size=3), result=TYPES)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_stub_of_any_handler_has_the_schemas_of_the_handler(kinds, result):
    parameters = [f"p{index}" for index in range(len(kinds))]
    namespace: dict[str, Any] = {}
    exec(f"async def take(self, {', '.join(parameters)}): ...", namespace)
    take = namespace["take"]
    take.__annotations__ = {**dict(zip(parameters, kinds, strict=True)), "return": result}
    original = type("Shop", (Actor,), {"take": call(take), "__module__": __name__})
    text = client_of(Supervisor("shop", child(original)))
    module = sys.modules["stubs_of_a_shop"] = types.ModuleType("stubs_of_a_shop")
    try:
        exec(compile(text, "stubs_of_a_shop.py", "exec"), vars(module))
        stub = module.Shop
        assert fitting(stub) == fitting(original), text
    finally:
        del sys.modules["stubs_of_a_shop"]


def fitting(actor):
    """Return the schemas of the handler without the names of classes, of which the stubs may have to change some."""
    handler = actor.__handlers__["take"]
    return [inlined(schema, schema.get("$defs", {})) for schema in (request_schema(handler), response_schema(handler))]


def inlined(schema, components):
    if isinstance(schema, dict):
        if "$ref" in schema:
            rest = {key: value for key, value in schema.items() if key not in ("$ref", "$defs")}
            return {**inlined(components[schema["$ref"].removeprefix("#/$defs/")], components), **rest, "title": "-"}
        return {key: inlined(value, components) for key, value in schema.items() if key != "$defs"}
    if isinstance(schema, list):
        return [inlined(one, components) for one in schema]
    return schema
