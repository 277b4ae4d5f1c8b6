"""`cliffracer schema` and `cliffracer client` as a user types them; and a client that has nothing but the stubs."""

import json
import os
import subprocess
import sys

import pytest

from tests.system.conftest import COMMAND, PATIENCE, ROOT

pytestmark = pytest.mark.system

SHOP = '''
from msgspec import Struct
from cliffracer import Actor, DynamicSupervisor, Refusal, Supervisor, call, cast, child, event

class OutOfStock(Refusal):
    """Not enough left."""

class Order(Struct, rename="camel"):
    order_id: str
    qty: int = 1

class Inventory(Actor):
    """Owns the stock."""

    publishes = {"orders.{order_id}.reserved": Order}

    def __init__(self):
        self.stock = {"A1": 10}

    @call
    async def reserve(self, sku: str, qty: int) -> int:
        if self.stock[sku] < qty:
            raise OutOfStock(f"{sku}: {self.stock[sku]} left", data={"left": self.stock[sku]})
        self.stock[sku] -= qty
        await self.publish(f"orders.{sku}.reserved", Order(sku, qty))
        return self.stock[sku]

    @cast
    async def restock(self, order: Order) -> None:
        self.stock[order.order_id] = self.stock.get(order.order_id, 0) + order.qty

    @event("orders.{order_id}.returned")
    async def on_returned(self, order_id: str, order: Order) -> None:
        self.stock[order_id] += order.qty

class Session(Actor):
    @call
    async def hello(self) -> str:
        return self.name

app = Supervisor("shop", child(Inventory), DynamicSupervisor("sessions"), child(Session).replace(name="session-1"))
'''

CALLER = """
import anyio
import client
from client import Inventory, Order, OutOfStock
from cliffracer import Actor, Node, Supervisor, call, child, event

class Listener(Actor):
    def __init__(self) -> None:
        self.heard: list[Order] = []

    @event("orders.{order_id}.reserved")
    async def on_reserved(self, order_id: str, order: Order) -> None:
        self.heard.append(order)

    @call
    async def last(self) -> list[Order]:
        return self.heard

async def main():
    async with Node(Supervisor("caller", child(Listener))) as node:
        inventory = node.ref(Inventory)
        print("left", await inventory.reserve("A1", 2))
        await inventory.restock(Order("A1", 5))
        print("left", await inventory.reserve("A1", qty=3))
        await node.publish("orders.A1.returned", Order("A1", 100))
        with anyio.fail_after(10):
            while await inventory.reserve("A1", 0) < 110:
                await anyio.sleep(0.01)
        try:
            await inventory.reserve("A1", 500)
        except OutOfStock as refusal:
            print("refused", type(refusal) is client.OutOfStock, refusal.message, refusal.data)
        print("session", await node.ref(client.Session, "session-1").hello())
        with anyio.fail_after(10):
            while len(heard := await node.ref(Listener).last()) < 2:
                await anyio.sleep(0.01)
        print("heard", heard[0])

anyio.run(main)
"""


@pytest.fixture
def shop(tmp_path):
    (tmp_path / "theirs").mkdir()
    path = tmp_path / "theirs" / "shop.py"
    path.write_text(SHOP)
    return path


def run(*arguments, cwd=ROOT, env=None):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("CLIFFRACER_")}
    return subprocess.run(
        arguments, cwd=cwd, env={**environment, **(env or {})}, text=True, capture_output=True, timeout=PATIENCE,
        check=False,
    )  # fmt: skip


def test_another_team_calls_the_tree_with_nothing_but_the_stubs(shop, tmp_path, start, nats_url):
    ours = tmp_path / "ours"
    ours.mkdir()
    assert run(COMMAND, "client", f"{shop}:app", "-o", str(ours / "client.py")).returncode == 0
    (ours / "main.py").write_text(CALLER)
    assert sorted(path.name for path in ours.iterdir()) == ["client.py", "main.py"]
    env = {"CLIFFRACER_NAMESPACE": f"t{os.getpid()}-describe", "CLIFFRACER_NATS_URL": nats_url}
    running = start("run", f"{shop}:app", env=env)
    running.wait_for("node_started")
    done = run(sys.executable, "-W", "error", "main.py", cwd=ours, env={**env, "CLIFFRACER_LOG_LEVEL": "error"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == [
        "left 8",
        "left 10",
        "refused True A1: 110 left {'left': 110}",
        "session session-1",
        "heard Order(order_id='A1', qty=2)",
    ]
    assert running.stop() == 0


@pytest.mark.parametrize("command", ["schema", "client"])
def test_file_that_is_as_it_would_be_passes_the_check(cliffracer, shop, tmp_path, command):
    target = tmp_path / "out"
    assert cliffracer(command, f"{shop}:app", "-o", str(target)).stdout == ""
    printed = cliffracer(command, f"{shop}:app")
    assert printed.stdout == target.read_text()
    checked = cliffracer(command, f"{shop}:app", "-o", str(target), "--check")
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.mark.parametrize("command", ["schema", "client"])
def test_tree_that_has_changed_fails_the_check_with_a_short_difference(cliffracer, shop, tmp_path, command):
    target = tmp_path / "out"
    cliffracer(command, f"{shop}:app", "-o", str(target))
    written = target.read_text()
    shop.write_text(SHOP.replace("sku: str, qty: int", "sku: str, amount: int").replace("qty:", "amount:"))
    checked = cliffracer(command, f"{shop}:app", "-o", str(target), "--check")
    assert checked.returncode == 1
    assert "amount" in checked.stdout
    assert len(checked.stdout.splitlines()) <= 31
    assert checked.stderr == f"{target} is out of date. Write it anew: the same command without --check.\n"
    assert target.read_text() == written


@pytest.mark.parametrize("command", ["schema", "client"])
def test_file_that_is_not_there_fails_the_check(cliffracer, shop, tmp_path, command):
    checked = cliffracer(command, f"{shop}:app", "-o", str(tmp_path / "none"), "--check")
    assert (checked.returncode, checked.stdout) == (1, "")
    assert "there is no file" in checked.stderr


def test_only_line_ends_that_differ_are_told(cliffracer, shop, tmp_path):
    target = tmp_path / "out"
    cliffracer("client", f"{shop}:app", "-o", str(target))
    target.write_bytes(target.read_bytes().replace(b"\n", b"\r\n"))
    checked = cliffracer("client", f"{shop}:app", "-o", str(target), "--check")
    assert (checked.returncode, checked.stdout) == (1, "(only the line ends differ)\n")


def test_schema_has_the_namespace_of_the_option_or_of_the_environment(cliffracer, shop):
    def address(*options, **env):
        done = cliffracer("schema", f"{shop}:app", *options, env=env)
        return json.loads(done.stdout)["channels"]["inventory.reserve"]["address"]

    assert address() == "inventory.reserve"
    assert address(CLIFFRACER_NAMESPACE="eu.prod") == "eu.prod.inventory.reserve"
    assert address("--namespace", "us", CLIFFRACER_NAMESPACE="eu.prod") == "us.inventory.reserve"
    assert address("--namespace", "", CLIFFRACER_NAMESPACE="eu.prod") == "inventory.reserve"


def test_title_version_and_further_classes_go_into_the_document(cliffracer, shop):
    done = cliffracer("schema", f"{shop}:app", "--title", "Their shop", "--version", "2.1", "--also", "Session")
    document = json.loads(done.stdout)
    assert document["info"]["title"] == "Their shop"
    assert document["info"]["version"] == "2.1"
    assert document["channels"]["session.hello"]["address"] == "{session}.hello"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["schema", "{shop}:nothing"], "Trees in it: {shop}:app."),
        (["client", "{shop}:app", "--also", "Cart"], "has no actor class 'Cart'. It has Inventory, Session."),
        (["client", "{shop}:app", "--also", "Actor"], "has no actor class 'Actor'."),
        (["client", "{shop}:app", "--check"], "--check compares with a file: -o FILE."),
        (["client", "{shop}:app", "-o", "{shop}/client.py"], "cannot write"),
        (["schema", "{shop}:app", "-o", "{shop}/x", "--check"], "cannot read"),
        (["schema", "{shop}:app", "--namespace", "a..b"], "--namespace 'a..b' is none"),
    ],
)
def test_wrong_usage_says_what_to_type(cliffracer, shop, arguments, says):
    result = cliffracer(*(argument.format(shop=shop) for argument in arguments))
    assert result.returncode == 2
    assert " ".join(says.format(shop=shop).split()) in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


def test_type_without_words_is_an_error_of_the_command_with_the_handler(cliffracer, tmp_path):
    path = tmp_path / "odd.py"
    path.write_text(
        "from typing import Any\nfrom cliffracer import Actor, Supervisor, call, child\n"
        "class Odd(Actor):\n    @call\n    async def take(self, value: Any = object()) -> None: ...\n"
        "app = Supervisor('odd', child(Odd))\n"
    )
    for command in ("schema", "client"):
        result = cliffracer(command, f"{path}:app")
        assert result.returncode == 2
        assert "Odd.take" in result.stderr
        assert "Traceback" not in result.stderr
