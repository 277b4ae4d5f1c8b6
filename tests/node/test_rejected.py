"""What the log says of a message that was rejected."""

import anyio
import msgspec
import pytest

from cliffracer import Actor, Node, Settings, Supervisor, call, child, event
from cliffracer.transport.local import LocalBroker, LocalTransport

pytestmark = pytest.mark.anyio


class Parcel(msgspec.Struct):
    sku: str

    def __post_init__(self) -> None:
        raise FileNotFoundError(2, "No such file or directory", "/srv/prices.csv")


class Depot(Actor):
    @call
    async def take(self, parcel: Parcel) -> None: ...

    @event("parcels")
    async def on_parcel(self, parcel: Parcel) -> None: ...


@pytest.mark.parametrize(
    ("subject", "payload"), [("depot.take", b'{"parcel":{"sku":"A1"}}'), ("parcels", b'{"sku":"A1"}')]
)
async def test_exception_in_the_checks_of_a_type_stands_in_the_log_of_the_receiver(subject, payload, log, lines):
    broker = LocalBroker()
    client = LocalTransport(broker)
    await client.connect(lambda _: None)
    settings = Settings(node_name="depot")
    async with Node(Supervisor("tree", child(Depot)), settings=settings, transport=LocalTransport(broker), log=log):
        await client.publish(subject, payload)
        await anyio.sleep(1.0)
    (line,) = [line for line in lines if line["event"] == "message_rejected"]
    assert "FileNotFoundError" in line["problem"]
    assert "/srv/prices.csv" in line["problem"]
