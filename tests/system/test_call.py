"""`cliffracer call` and `cliffracer cast` from a second terminal, against a tree that runs."""

import pytest

pytestmark = pytest.mark.system

SHOP = """
import anyio
from cliffracer import Actor, Mailbox, Refusal, Supervisor, call, cast, child

class OutOfStock(Refusal):
    pass

class Inventory(Actor):
    def __init__(self) -> None:
        self.stock = {"A1": 10}

    @call
    async def reserve(self, sku: str, qty: int) -> int:
        if self.stock[sku] < qty:
            raise OutOfStock(f"{sku}: {self.stock[sku]} left")
        self.stock[sku] -= qty
        return self.stock[sku]

    @call
    async def report(self) -> dict[str, int]:
        return self.stock

    @cast
    async def restock(self, sku: str, qty: int) -> None:
        self.stock[sku] = self.stock.get(sku, 0) + qty

    @call
    async def sleep(self) -> None:
        await anyio.sleep(2)

class Front(Actor):
    @call
    async def reserve(self, sku: str) -> int:
        return await self.ref(Inventory).reserve(sku, 1)

app = Supervisor("shop", child(Inventory), child(Front), max_restarts=100)
"""


@pytest.fixture
def shop(start, nats_url, tmp_path, request):
    (tmp_path / "shop.py").write_text(SHOP)
    namespace = f"t{abs(hash(request.node.nodeid))}"
    running = start("run", f"{tmp_path}/shop.py:app", "--nats", nats_url, env={"CLIFFRACER_NAMESPACE": namespace})
    running.wait_for("node_started")
    running.env = {"CLIFFRACER_NAMESPACE": namespace, "CLIFFRACER_NATS_URL": nats_url}
    return running


def test_call_prints_the_reply_as_json(shop, cliffracer):
    result = cliffracer("call", "inventory.reserve", "sku=A1", "qty=2", env=shop.env)
    assert (result.returncode, result.stdout) == (0, "8\n")
    result = cliffracer("call", "inventory.reserve", "--json", '{"sku": "A1", "qty": 3}', env=shop.env)
    assert (result.returncode, result.stdout) == (0, "5\n")
    result = cliffracer("call", "inventory.report", env=shop.env)
    assert (result.returncode, result.stdout) == (0, '{"A1":5}\n')


def test_cast_says_who_took_it(shop, cliffracer):
    result = cliffracer("cast", "inventory.restock", "sku=B2", "qty=5", env=shop.env)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "taken by inventory\n")
    assert cliffracer("call", "inventory.report", env=shop.env).stdout == '{"A1":10,"B2":5}\n'


def test_crash_prints_an_incident_that_stands_in_the_log_beside_the_traceback(shop, cliffracer):
    result = cliffracer("call", "inventory.reserve", "sku=nope", "qty=1", env=shop.env)
    assert result.returncode == 8
    shop.wait_for("actor_crashed")
    crash = next(event for event in shop.events if event["event"] == "actor_crashed")
    assert f"incident {crash['incident']}" in result.stderr
    assert "Traceback" in crash["exception"]
    assert "KeyError" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["inventory.reserve", "sku=A1", "qty=99"], 3, "refused (out_of_stock): A1: 10 left"),
        (["inventory.reserve", "sku=A1", "qty=many"], 4, "Expected `int`, got `str` - at `$.qty`"),
        (["inventory.reserve", "sku=A1"], 4, "missing required field `qty`"),
        (["inventory.steal"], 5, "has no such handler; it has report, reserve, restock, sleep"),
        (["nobody.reserve"], 6, "no actor 'nobody' runs on any node that can be reached"),
        (["inventory.sleep", "--timeout", "0.2"], 7, "may have been handled: look before you try again"),
        (["front.reserve", "sku=nope"], 9, "its call to inventory.reserve failed: crashed"),
    ],
)
def test_each_failure_has_its_own_message_and_exit_code(shop, cliffracer, arguments, code, says):
    result = cliffracer("call", *arguments, env=shop.env)
    assert result.returncode == code, result.stderr
    assert says in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["call", "inventory"], "type ACTOR.HANDLER, like orders.place"),
        (["call", "inventory.reserve", "sku"], "'sku' is no argument; type NAME=VALUE"),
        (["call", "inventory.reserve", "sku=A1", "sku=B2"], "'sku' is given twice"),
        (["call", "inventory.reserve", "--json", "{"], "Type an object"),
        (["call", "inventory.reserve", "--json", "[" * 5000], "Type an object"),
        (["call", "inventory.reserve", "--json", "[1]"], "--json takes an object"),
        (["call", "inventory.reserve", "sku=A1", "--json", "{}"], "not both"),
        (["call", "inventory.reserve", "--timeout", "-1"], "a number of seconds above zero"),
        (["cast", "in ventory.reserve"], "is no target"),
    ],
)
def test_wrong_usage_says_what_to_type(cliffracer, nats_url, arguments, says):
    result = cliffracer(*arguments, env={"CLIFFRACER_NATS_URL": nats_url})
    assert result.returncode == 2
    assert says in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


def test_no_server_is_a_clear_error(cliffracer, free_port):
    result = cliffracer(
        "call", "a.b", "--nats", f"nats://127.0.0.1:{free_port}", env={"CLIFFRACER_NATS_CONNECT_TIMEOUT": "0.5"}
    )
    assert result.returncode == 10
    assert "no NATS server answered" in result.stderr
    assert "Traceback" not in result.stderr
