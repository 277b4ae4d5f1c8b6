"""`cliffracer services` and `cliffracer describe`: what can be called, seen from another terminal, and by nats-py."""

import json

import anyio
import nats
import nats.micro
import pytest

pytestmark = pytest.mark.system

SHOP = """
import anyio
from msgspec import Struct
from cliffracer import (
    Actor, DynamicSupervisor, Mailbox, Refusal, Supervisor, SupervisorRef, call, cast, child, event, pool,
)

class OutOfStock(Refusal):
    pass

class Order(Struct):
    sku: str
    qty: int = 1

class Inventory(Actor, mailbox=Mailbox(5), shutdown=0.1):
    "Owns the stock."

    def __init__(self) -> None:
        self.stock = {"A1": 10}

    @call
    async def reserve(self, order: Order, note: str | None = None) -> dict[str, int]:
        if self.stock[order.sku] < order.qty:
            raise OutOfStock(f"{order.sku}: {self.stock[order.sku]} left")
        self.stock[order.sku] -= order.qty
        return self.stock

    @call
    async def wait(self) -> None:
        await anyio.sleep(3600)

    @event("orders.{sku}.cancelled", to="all")
    async def on_cancelled(self, sku: str, order: Order) -> None:
        pass

    @call
    async def open(self, name: str) -> str:
        await self.ref(SupervisorRef, "sessions").start_child(child(Session).replace(name=name))
        return name

class Session(Actor):
    @cast
    async def wait(self) -> None:
        await anyio.sleep(3600)

app = Supervisor(
    "shop",
    child(Inventory),
    pool(child(Session).replace(name="greeters", mailbox=Mailbox(2), shutdown=0.1), size=2),
    DynamicSupervisor("sessions"),
    max_restarts=100,
)
"""
PATIENCE = 20.0


@pytest.fixture
def namespace(request):
    return f"t{abs(hash(request.node.nodeid))}"


@pytest.fixture
def shop(start, nats_url, tmp_path, namespace):
    path = tmp_path / "shop.py"
    path.write_text(SHOP)

    def run(name="node-1", version="1.2.3"):
        env = {
            "CLIFFRACER_NAMESPACE": namespace,
            "CLIFFRACER_NODE_NAME": name,
            "CLIFFRACER_APP_VERSION": version,
            "CLIFFRACER_DRAIN_TIMEOUT": "0.1",
        }
        running = start("run", f"{path}:app", "--nats", nats_url, env=env)
        running.wait_for("node_started")
        return running

    return run


@pytest.fixture
def ask(cliffracer, nats_url, namespace):
    return lambda *arguments: cliffracer(*arguments, "--nats", nats_url, env={"CLIFFRACER_NAMESPACE": namespace})


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
async def client(nats_url, anyio_backend):
    client = await nats.connect(nats_url)
    yield client
    await client.close()


def cells_of(text, first):
    """Return the words of the line that begins with that one."""
    return next(line.split() for line in text.splitlines() if line.startswith(f"{first} "))


def test_services_are_listed_with_their_nodes_and_what_they_have_done(shop, ask):
    shop("node-1")
    shop("node-2")
    assert ask("call", "inventory.reserve", 'order={"sku": "A1"}').returncode == 0
    assert ask("call", "inventory.reserve", 'order={"sku": "A1", "qty": 99}').returncode == 3
    shown = ask("services")
    assert shown.returncode == 0, shown.stderr
    assert cells_of(shown.stdout, "inventory") == ["inventory", "1.2.3", "4", "2", "1", "0/10", "node-1,", "node-2"]
    assert cells_of(shown.stdout, "greeters") == ["greeters", "1.2.3", "1", "0", "0", "0/8", "node-1,", "node-2"]
    assert len(shown.stdout.splitlines()) == 3


def test_services_for_machines_are_one_json_object_for_each_instance(shop, ask):
    shop("node-1")
    shop("node-2", version="2.0.0")
    lines = [json.loads(line) for line in ask("services", "--json").stdout.splitlines()]
    assert [(line["name"], line["metadata"]["node"], line["version"]) for line in lines] == [
        ("greeters", "node-1", "1.2.3"),
        ("greeters", "node-2", "2.0.0"),
        ("inventory", "node-1", "1.2.3"),
        ("inventory", "node-2", "2.0.0"),
    ]
    assert len({line["id"] for line in lines}) == 4


def test_actor_is_described_with_its_handlers_their_types_and_each_instance(shop, ask, namespace):
    shop("node-1")
    shop("node-2")
    assert ask("call", "inventory.reserve", 'order={"sku": "NOPE"}').returncode == 8
    shown = ask("describe", "inventory")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.splitlines()[0] == "inventory 1.2.3, actor: Owns the stock."
    handlers = " ".join(shown.stdout.split())
    assert (
        f"reserve(order: Order, note: str | None = null) -> dict[str, int] call {namespace}.inventory.reserve "
        f"{namespace}.inventory"
    ) in handlers
    assert "on_cancelled(sku, event: Order) event orders.{sku}.cancelled none: each instance hears it" in handlers
    assert "Order = {sku: str, qty: int = 1}" in shown.stdout
    assert shown.stdout.count("node node-") == 2
    assert shown.stdout.count("1 restarts") == 1
    assert shown.stdout.count("inventory.reserve: the actor crashed over this message; incident ") == 1


def test_two_versions_of_an_actor_are_described_one_after_the_other(shop, ask):
    shop("node-1")
    shop("node-2", version="2.0.0")
    titles = [line for line in ask("describe", "inventory").stdout.splitlines() if "Owns the stock" in line]
    assert titles == ["inventory 1.2.3, actor: Owns the stock.", "inventory 2.0.0, actor: Owns the stock."]


def test_description_for_machines_has_schemas_and_statistics_of_each_instance(shop, ask):
    shop()
    (line,) = ask("describe", "greeters", "--json").stdout.splitlines()
    instance = json.loads(line)
    (endpoint,) = instance["information"]["endpoints"]
    assert json.loads(endpoint["metadata"]["request"])["$defs"]["Session.wait"]["type"] == "object"
    assert instance["statistics"]["endpoints"][0]["num_requests"] == 0


def test_session_is_described_though_it_is_not_listed(shop, ask):
    shop()
    assert ask("call", "inventory.open", "name=ada").returncode == 0
    assert "ada" not in ask("services").stdout
    assert ask("describe", "ada").stdout.startswith("ada 1.2.3, actor\n")


def test_nobody_is_said_with_the_namespace(shop, ask, namespace):
    nobody = ask("services")
    assert nobody.returncode == 6
    assert "no service answers at nats://127.0.0.1" in nobody.stderr
    assert namespace in nobody.stderr
    shop()
    nobody = ask("describe", "nobody")
    assert nobody.returncode == 6
    assert "no actor 'nobody' answers at nats://127.0.0.1" in nobody.stderr
    wrong = ask("describe", "no.body")
    assert wrong.returncode == 2
    assert "'no.body' is no actor's name" in wrong.stderr


@pytest.mark.anyio
async def test_services_of_others_are_left_out(shop, ask, client):
    shop()
    other = await nats.micro.add_service(client, name="foreign", version="9.9.9")

    async def answer_nonsense(message) -> None:
        await client.publish(message.reply, b"{nonsense")

    await client.subscribe("$SRV.STATS", cb=answer_nonsense)
    await client.flush()
    shown = await anyio.to_thread.run_sync(ask, "services")
    assert shown.returncode == 0, shown.stderr
    assert {line.split()[0] for line in shown.stdout.splitlines()} == {"service", "inventory", "greeters"}
    await other.stop()


@pytest.mark.anyio
async def test_services_are_seen_while_every_actor_is_stuck_and_every_mailbox_full(shop, client, namespace):
    shop()
    full = {"inventory": (1, 5), "greeters": (2, 4)}  # messages in hand, and those that wait
    told: dict[str, tuple[int, int]] = {}
    with anyio.fail_after(PATIENCE):
        while told != full:
            for name in full:
                await client.publish(f"{namespace}.{name}.wait", b"{}")
            data = await data_of_all(client, namespace)
            told = {name: (one["in_hand"], one["mailbox_depth"]) for name, one in data.items()}
    await client.publish(f"{namespace}.inventory.wait", b"{}")
    again = await data_of_all(client, namespace)
    assert again["inventory"]["dropped"] == data["inventory"]["dropped"] + 1


async def data_of_all(client, namespace):
    """Ask all services there are, and return what the two of this namespace know of their mailboxes, by name."""
    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox)
    await client.publish("$SRV.STATS", b"", reply=inbox)
    found = {}
    while len(found) < 2:
        answer = json.loads((await subscription.next_msg(timeout=PATIENCE)).data)
        if answer["metadata"].get("namespace") == namespace:
            found[answer["name"]] = answer["endpoints"][0]["data"]
    await subscription.unsubscribe()
    return found
