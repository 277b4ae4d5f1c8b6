"""`cliffracer tree`: what runs, seen from another terminal."""

import json

import pytest

pytestmark = pytest.mark.system

SHOP = """
import anyio
from cliffracer import Actor, Backoff, DynamicSupervisor, Supervisor, TaskSupervisor, call, child, pool

class Inventory(Actor, shutdown=2.0):
    @call
    async def reserve(self, sku: str) -> int:
        return {"A1": 1}[sku]

    @call
    async def open(self, name: str) -> str:
        from cliffracer import SupervisorRef
        await self.ref(SupervisorRef, "sessions").start_child(child(Session).replace(name=name))
        return name

class Session(Actor, restart="temporary"):
    @call
    async def hello(self) -> str:
        return "hello"

async def poll() -> None:
    await anyio.sleep_forever()

app = Supervisor(
    "shop",
    child(Inventory),
    child(poll).replace(backoff=Backoff(initial=60.0, maximum=60.0)),
    pool(child(Session).replace(name="greeters", restart="permanent"), size=2),
    DynamicSupervisor("sessions"),
    TaskSupervisor("jobs", shutdown=3.0),
    max_restarts=100,
)
"""


@pytest.fixture
def shop_file(tmp_path):
    path = tmp_path / "shop.py"
    path.write_text(SHOP)
    return f"{path}:app"


@pytest.fixture
def namespace(request):
    return f"t{abs(hash(request.node.nodeid))}"


@pytest.fixture
def shop(start, nats_url, shop_file, namespace):
    def run(name="node-1"):
        env = {"CLIFFRACER_NAMESPACE": namespace, "CLIFFRACER_NODE_NAME": name}
        running = start("run", shop_file, "--nats", nats_url, env=env)
        running.wait_for("node_started")
        return running

    return run


@pytest.fixture
def ask(cliffracer, nats_url, namespace):
    return lambda *arguments: cliffracer(*arguments, "--nats", nats_url, env={"CLIFFRACER_NAMESPACE": namespace})


def find(entry, id):
    if entry["id"] == id:
        return entry
    return next((found for child in entry.get("children", []) if (found := find(child, id))), None)


def test_tree_shows_state_incarnation_crashes_mailbox_and_the_last_crash(shop, ask):
    running = shop()
    assert ask("call", "inventory.reserve", "sku=nope").returncode == 8
    running.wait_for("child_restarting")
    shown = ask("tree")
    assert shown.returncode == 0, shown.stderr
    incident = next(event["incident"] for event in running.events if event["event"] == "child_restarting")
    line = next(line for line in shown.stdout.splitlines() if "inventory" in line)
    assert line.split()[1:6] == ["inventory", "running", "2", "1", "0/1000"]
    assert f"KeyError: 'nope' (incident {incident})" in line
    root = next(line for line in shown.stdout.splitlines() if line.startswith("shop "))
    assert "1/100 in 5 s" in root


def test_tree_for_machines_is_one_json_object_for_each_node(shop, ask):
    shop("node-1")
    shop("node-2")
    lines = ask("tree", "--json").stdout.splitlines()
    assert [json.loads(line)["node"] for line in lines] == ["node-1", "node-2"]
    root = json.loads(lines[0])["root"]
    kinds = {child["id"]: child["kind"] for child in root["children"]}
    assert kinds == {
        "inventory": "actor",
        "poll": "function",
        "greeters": "pool",
        "sessions": "dynamic supervisor",
        "jobs": "task supervisor",
    }
    assert find(root, "greeters-1")["mailbox_capacity"] == 1000


def test_tree_of_one_node_of_several(shop, ask):
    shop("node-1")
    shop("node-2")
    (line,) = ask("tree", "--json", "--node", "node-2").stdout.splitlines()
    assert json.loads(line)["node"] == "node-2"
    nobody = ask("tree", "--node", "node-3")
    assert nobody.returncode == 6
    assert "no node 'node-3' answers" in nobody.stderr


def test_children_that_were_started_meanwhile_are_shown(shop, ask):
    shop()
    assert ask("call", "inventory.open", "name=ada").returncode == 0
    (line,) = ask("tree", "--json").stdout.splitlines()
    assert find(json.loads(line)["root"], "ada")["state"] == "running"


def test_no_node_at_all_is_said_with_the_namespace(ask, namespace):
    nobody = ask("tree")
    assert nobody.returncode == 6
    assert "no node answers at nats://127.0.0.1" in nobody.stderr
    assert namespace in nobody.stderr


def test_watch_shows_it_again_and_again(shop, start, nats_url, namespace):
    shop()
    watching = start(
        "tree", "--watch", "--interval", "0.1", "--nats", nats_url, env={"CLIFFRACER_NAMESPACE": namespace}
    )
    watching.wait_for("inventory", count=2)


def test_watch_for_machines_writes_a_line_each_time(shop, start, nats_url, namespace):
    shop()
    watching = start(
        "tree", "--watch", "--json", "--interval", "0.1", "--nats", nats_url, env={"CLIFFRACER_NAMESPACE": namespace}
    )
    watching.wait_for('"root"', count=3)


def test_planned_tree_needs_nothing_that_runs(cliffracer, shop_file):
    shown = cliffracer("tree", shop_file)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.splitlines()[0] == "shop, not running"
    assert [line.split()[1] for line in shown.stdout.splitlines()[3:5]] == ["inventory", "poll"]


def test_worst_shutdown_time_is_the_sum_and_says_what_takes_it(cliffracer, shop_file):
    shown = cliffracer("tree", shop_file, "--shutdown-time")
    assert shown.returncode == 0, shown.stderr
    # 10 s to drain; inventory 2, poll 5, two greeters of 5 each, the jobs 3.
    # What will run in the dynamic supervisor nobody knows yet.
    assert shown.stdout.splitlines()[0] == "stopping shop takes at least 30 s"
    assert "CLIFFRACER_DRAIN_TIMEOUT" in shown.stdout


def test_worst_shutdown_time_of_a_node_counts_what_runs_in_dynamic_supervisors(shop, ask):
    shop()
    before = ask("tree", "--shutdown-time").stdout.splitlines()[0]
    ask("call", "inventory.open", "name=ada")
    ask("call", "inventory.open", "name=joe")
    after = ask("tree", "--shutdown-time").stdout.splitlines()[0]
    # They stop at once, so it is the longest of them.
    assert (before, after) == ("stopping shop takes at most 30 s", "stopping shop takes at most 35 s")


def test_target_and_node_together_are_refused(cliffracer, shop_file):
    refused = cliffracer("tree", shop_file, "--watch")
    assert refused.returncode == 2
    assert "TARGET does not run" in refused.stderr


def test_server_that_is_not_there_is_said(cliffracer, free_port):
    away = cliffracer(
        "tree", env={"CLIFFRACER_NATS_URL": f"nats://127.0.0.1:{free_port}", "CLIFFRACER_NATS_CONNECT_TIMEOUT": "0.3"}
    )
    assert away.returncode == 10
    assert "no NATS server answered" in away.stderr
