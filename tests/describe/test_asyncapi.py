"""The AsyncAPI document of a tree: valid, complete, and the same each time."""

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from msgspec import Struct

from cliffracer import (
    Actor,
    DefinitionError,
    DynamicSupervisor,
    Supervisor,
    TaskSupervisor,
    call,
    cast,
    child,
    event,
    pool,
)
from cliffracer.describe.asyncapi import asyncapi_of
from examples.quickstart import app
from examples.shop import Cart, shop
from tests.describe.zoo import Animal, Bird, Everything, Fish, Keeper, Point, Row, zoo

HERE = Path(__file__).parent


class Order(Struct):
    """What somebody wants."""

    sku: str
    qty: int = 1


class Brief(Struct):
    sku: str


class Shop(Actor):
    publishes = {"orders.{order_id}.placed": Order, "orders.closed": None}

    @call
    async def place(self, order: Order, customer: str = "somebody") -> int:
        """Take an order.

        It is final.
        """
        return 1

    @cast
    async def clean(self) -> None:
        """Clean up."""

    @event("orders.{number}.placed")
    async def on_placed(self, number: int, order: Brief) -> None: ...

    @event("orders.*.placed", to="all")
    async def on_any(self) -> None: ...

    @event("prices.>", to="all")
    async def on_price(self, price: float) -> None: ...


def described(*children: Any, **options: Any) -> Any:
    return asyncapi_of(Supervisor("root", *children), **options)


@pytest.fixture(scope="session")
def official():
    schema = json.loads(gzip.decompress((HERE / "asyncapi/3.0.0.json.gz").read_bytes()))
    return jsonschema.Draft7Validator(schema)


def references_in(value):
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "$ref" and isinstance(inner, str):
                yield inner
            yield from references_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references_in(inner)


def resolve(document, reference):
    assert re.fullmatch(r"#(/[A-Za-z0-9_.-]+)+", reference), reference  # no escapes, so every tool finds it
    for part in reference[2:].split("/"):
        document = document[part]
    return document


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(asyncapi_of(zoo, namespace="a.b", title="Zoo", version="2"), id="zoo"),
        pytest.param(asyncapi_of(shop, also=[Cart]), id="shop"),
        pytest.param(asyncapi_of(app), id="quickstart"),
        pytest.param(described(child(Shop)), id="small"),
        pytest.param(described(), id="nothing"),
    ],
)
def test_document_is_valid_by_the_official_schema_and_every_reference_leads_somewhere(document, official):
    problems = [f"{error.json_path}: {error.message}" for error in official.iter_errors(document)]
    assert problems == []
    json.dumps(document, allow_nan=False)
    for reference in references_in(document):
        assert isinstance(resolve(document, reference), dict)
    for operation in document["operations"].values():
        # AsyncAPI: an operation refers to messages of its own channel.
        for message in operation["messages"]:
            assert message["$ref"].startswith(f"{operation['channel']['$ref']}/messages/")


def test_official_schema_would_find_what_is_wrong(official):
    document = described(child(Shop))
    document["operations"]["shop.place"]["action"] = "call"
    assert not official.is_valid(document)
    document = described(child(Shop))
    document["operations"]["shop.place"]["bindings"]["nats"]["group"] = "shop"
    assert not official.is_valid(document)


# What stands in it


def test_call_is_received_from_its_subject_by_its_queue_group_and_answered():
    document = described(child(Shop), namespace="eu.prod")
    operation = document["operations"]["shop.place"]
    assert operation["action"] == "receive"
    assert operation["summary"] == "Take an order."
    assert operation["description"] == "Take an order.\n\nIt is final."
    assert operation["bindings"]["nats"]["queue"] == "eu.prod.shop"
    channel = resolve(document, operation["channel"]["$ref"])
    assert channel["address"] == "eu.prod.shop.place"
    payload = resolve(document, channel["messages"]["request"]["payload"]["$ref"])
    assert payload["required"] == ["order"]
    assert payload["properties"]["order"] == {"$ref": "#/components/schemas/Order"}
    assert document["components"]["schemas"]["Order"]["description"] == "What somebody wants."
    reply = resolve(document, operation["reply"]["channel"]["$ref"])
    assert reply["address"] is None
    assert reply["messages"]["result"]["payload"] == {"type": "integer"}
    error = resolve(document, reply["messages"]["error"]["$ref"])
    assert "refused" in error["headers"]["properties"]["Cliffracer-Error"]["enum"]


def test_cast_is_received_and_not_answered():
    document = described(child(Shop))
    operation = document["operations"]["shop.clean"]
    assert operation["action"] == "receive"
    assert operation["summary"] == "Clean up."
    assert "description" not in operation
    assert "reply" not in operation
    assert document["channels"]["shop.clean"]["address"] == "shop.clean"


def test_what_is_published_is_sent_to_a_subject_with_parameters_and_without_a_namespace():
    document = described(child(Shop), namespace="eu.prod")
    operation = document["operations"]["shop.publish.orders.order_id.placed"]
    assert operation["action"] == "send"
    assert "bindings" not in operation
    channel = resolve(document, operation["channel"]["$ref"])
    assert channel["address"] == "orders.{order_id}.placed"
    assert set(channel["parameters"]) == {"order_id"}
    (message,) = operation["messages"]
    assert resolve(document, message["$ref"])["payload"] == {"$ref": "#/components/schemas/Order"}
    assert document["channels"]["orders.closed"]["messages"]["event"]["payload"] == {"type": "null"}


def test_who_publishes_and_who_listens_share_a_channel_each_with_its_own_message():
    document = described(child(Shop))
    listens = document["operations"]["shop.on_placed"]
    assert listens["channel"] == document["operations"]["shop.publish.orders.order_id.placed"]["channel"]
    assert listens["messages"] == [{"$ref": "#/channels/orders.order_id.placed/messages/Brief"}]
    assert listens["bindings"]["nats"]["queue"] == "shop.on_placed"
    assert set(resolve(document, listens["channel"]["$ref"])["messages"]) == {"Order", "Brief", "any"}


def test_event_for_every_replica_has_no_queue_group():
    operation = described(child(Shop))["operations"]["shop.on_any"]
    assert "bindings" not in operation
    assert operation["description"] == "Every replica hears it."


def test_wildcard_in_an_address_is_explained():
    document = described(child(Shop))
    channel = resolve(document, document["operations"]["shop.on_price"]["channel"]["$ref"])
    assert channel["address"] == "prices.>"
    assert "`>` for one or more" in channel["description"]


def test_actors_of_nested_supervisors_and_pools_are_there_and_what_is_not_known_is_said():
    def made_anew():
        return Supervisor("made_anew", child(Shop))

    async def function() -> None: ...

    document = described(
        Supervisor("inner", child(Shop)),
        pool(Keeper, size=3),
        TaskSupervisor("jobs"),
        DynamicSupervisor("sessions"),
        child(function),
        child(made_anew),
    )
    assert document["channels"]["shop.place"]["address"] == "shop.place"
    assert document["channels"]["keeper.nothing"]["address"] == "keeper.nothing"
    assert not any("keeper-0" in key for key in document["channels"])
    description = document["info"]["description"]
    assert "- `root/sessions`: its children are started while it runs\n" in description
    assert description.endswith("- `root/made_anew`: it is made anew at each start")
    assert "jobs" not in description


def test_each_name_of_a_class_has_channels_of_its_own_and_shares_its_schemas():
    document = described(child(Shop), child(Shop).replace(name="other"))
    assert document["channels"]["other.place"]["address"] == "other.place"
    payloads = [document["channels"][f"{name}.place"]["messages"]["request"]["payload"] for name in ("shop", "other")]
    assert payloads[0] == payloads[1]
    assert set(document["components"]["schemas"]) == {"Shop.place", "Shop.clean", "Order", "Brief"}


def test_actor_that_comes_while_the_tree_runs_has_its_name_as_a_parameter():
    document = described(also=[Cart], namespace="eu")
    channel = document["channels"]["cart.add"]
    assert channel["address"] == "eu.{cart}.add"
    assert channel["parameters"] == {"cart": {"description": "The name that a Cart was given."}}
    assert "bindings" not in document["operations"]["cart.add"]


def test_actor_that_is_sent_message_pack_says_so():
    document = asyncapi_of(zoo)
    assert document["channels"]["boss.nothing"]["messages"]["request"]["contentType"] == "application/msgpack"
    assert "contentType" not in document["channels"]["keeper.nothing"]["messages"]["request"]


def test_two_classes_of_one_name_have_two_schemas():
    def another():
        class Order(Struct):
            b: str

        return Order

    other = another()

    class Second(Actor):
        @call
        async def two(self, order: other, first: Order) -> None: ...

    schemas = described(child(Second))["components"]["schemas"]
    titles = [name for name, schema in schemas.items() if schema["title"] == "Order"]
    assert len(titles) == 2


def test_subjects_that_look_alike_do_not_fall_together():
    class Alike(Actor):
        publishes = {"a.{b}.c": int, "a-2.b": str}

        @call
        async def reply(self) -> int: ...

        @event("a.b.c")
        async def on_b(self, value: str) -> None: ...

        @event("alike.reply.reply")
        async def on_reply(self, value: str) -> None: ...

        @event("ü/~.x")
        async def on_odd(self, value: str) -> None: ...

    document = described(child(Alike))
    addresses = [channel["address"] for channel in document["channels"].values()]
    assert sorted(map(str, addresses)) == sorted(
        ["None", "a-2.b", "a.b.c", "a.{b}.c", "alike.reply", "alike.reply.reply", "ü/~.x"]
    )
    for reference in references_in(document):
        resolve(document, reference)


def test_schemas_are_of_draft_07_so_that_every_tool_reads_them():
    document = asyncapi_of(zoo)
    text = json.dumps(document)
    assert '"prefixItems"' not in text
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        jsonschema.Draft7Validator.check_schema(schema)
    # A tagged union, a tuple, an array with a fixed order: what is valid here is what msgspec takes.
    for value, kind in [
        (Bird("Tweety"), Bird),
        (Fish("Nemo"), Fish),
        (Point(1, 2), Point),
        (Row(1, "x"), Row),
        (Everything(boolean=True, integer=2, raw=msgspec.Raw(b"1"), required_too=1, number=1.0, text="a."), Everything),
    ]:
        whole = {"$ref": f"#/components/schemas/{kind.__name__}", "components": document["components"]}
        validator = jsonschema.Draft7Validator(whole)
        good = msgspec.json.decode(msgspec.json.encode(value))
        validator.validate(good)
        assert not validator.is_valid(
            [*good, "one more", "and more"] if isinstance(good, list) and kind is Point else 7
        )
    assert schemas["Bird"]["properties"]["type"] == {"enum": ["Bird"]}
    assert issubclass(Bird, Animal)


def test_default_without_a_json_form_is_an_error_with_the_handler():
    class Odd(Actor):
        @call
        async def take(self, value: Any = object()) -> None: ...  # noqa: B008

    with pytest.raises(DefinitionError, match=r"Odd\.take has no schema: .*object"):
        described(child(Odd))


def test_same_tree_gives_the_same_document_in_another_process():
    code = (
        "import json; from cliffracer.describe.asyncapi import asyncapi_of; from tests.describe.zoo import zoo;"
        "print(json.dumps(asyncapi_of(zoo)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=HERE.parents[1], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == json.dumps(asyncapi_of(zoo))
