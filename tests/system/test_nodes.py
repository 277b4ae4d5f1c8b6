"""Processes that see each other come and go, and monitor each other's actors, over a real nats-server."""

import asyncio
import json
import re
import signal
import time
from pathlib import Path

import nats
import pytest

pytestmark = pytest.mark.system

TIMEOUT = 1.0  # seconds, CLIFFRACER_NODE_TIMEOUT
BOUND = TIMEOUT * 1.2
SLACK = 5.0  # seconds that a busy machine may take besides

APP = """
import os

from cliffracer import Actor, Down, NodeDown, NodeUp, Supervisor, call, child

ME = os.environ["CLIFFRACER_NODE_NAME"]

class Worker(Actor):
    @call
    async def ping(self) -> str:
        return self.name

    @call
    async def crash(self) -> None:
        raise KeyError("/etc/passwd")

class Watcher(Actor):
    async def on_start(self) -> None:
        self.monitor_nodes()

    @call
    async def watch(self, name: str) -> str:
        worker = self.ref(Worker, name)
        self.monitor(worker)
        # The question and its answer go ahead of this on the same connections.
        return await worker.ping()

    async def on_down(self, down: Down) -> None:
        self.log.info("heard_down", reason=repr(down.reason), at=down.node, number=down.incarnation)

    async def on_node_change(self, change: NodeUp | NodeDown) -> None:
        how = change.reason if isinstance(change, NodeDown) else "up"
        self.log.info("heard_node", peer=change.node.name, how=how)

app = Supervisor("app", child(Worker).replace(name=f"worker-{ME}"), child(Watcher).replace(name=f"watcher-{ME}"))
"""


@pytest.fixture
def server(make_server):
    server = make_server()
    server.start()
    return server


@pytest.fixture
def run_node(start, server, tmp_path):
    path = tmp_path / "app.py"
    path.write_text(APP)

    def run(name):
        env = {
            "CLIFFRACER_NODE_NAME": name,
            "CLIFFRACER_NODE_TIMEOUT": str(TIMEOUT),
            "CLIFFRACER_LOG_FORMAT": "json",
        }
        running = start("run", f"{path}:app", "--nats", server.url, env=env)
        running.wait_for("node_started")
        return running

    return run


@pytest.fixture
def watch(cliffracer, server):
    """Have the watcher of one node monitor the worker of another."""

    def watch(by, of):
        done = cliffracer("call", f"watcher-{by}.watch", f"name=worker-{of}", "--nats", server.url)
        assert done.returncode == 0, done.stderr

    return watch


def heard(running, event):
    return [line for line in running.events if line["event"] == event]


def nodes(running):
    """How the others came and went."""
    return [(line["peer"], line["how"]) for line in heard(running, "heard_node")]


def wait_until(condition, within):
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def test_kill_of_a_process_brings_one_down_and_one_node_down_within_the_bound(run_node, watch):
    a, b = run_node("a"), run_node("b")
    watch("a", "b")
    time.sleep(3 * TIMEOUT)
    assert heard(a, "heard_down") == []  # as long as it lives
    b.stop(signal.SIGKILL)
    wait_until(lambda: heard(a, "heard_down") and len(nodes(a)) == 2, BOUND + SLACK)
    time.sleep(3 * TIMEOUT)
    (down,) = heard(a, "heard_down")
    assert (down["reason"], down["at"]) == ("NodeLost(node='b')", "b")
    assert nodes(a) == [("b", "up"), ("b", "silent")]


def test_stop_of_a_process_brings_down_with_shutdown_at_once_and_the_node_has_left(run_node, watch):
    a, b = run_node("a"), run_node("b")
    watch("a", "b")
    assert b.stop(signal.SIGTERM) == 0
    a.wait_for("heard_down")
    time.sleep(3 * TIMEOUT)
    (down,) = heard(a, "heard_down")
    assert (down["reason"], down["at"], down["number"]) == ("Shutdown(detail='')", "b", 1)
    assert nodes(a) == [("b", "up"), ("b", "left")]


def test_crash_on_another_node_is_told_with_its_incident_and_without_its_text(run_node, watch, cliffracer, server):
    a, b = run_node("a"), run_node("b")
    watch("a", "b")
    assert cliffracer("call", "worker-b.crash", "--nats", server.url).returncode == 8
    a.wait_for("heard_down")
    (down,) = heard(a, "heard_down")
    (crash,) = heard(b, "actor_crashed")
    assert crash["incident"] in down["reason"]
    assert "passwd" not in a.text


def test_server_that_is_killed_and_started_again_brings_no_down_and_monitors_go_on(run_node, watch, server):
    a, b = run_node("a"), run_node("b")
    watch("a", "b")
    server.kill()
    a.wait_for("broker_disconnected")
    b.wait_for("broker_disconnected")
    time.sleep(3 * TIMEOUT)
    server.start()
    a.wait_for("broker_reconnected")
    b.wait_for("broker_reconnected")
    time.sleep(4 * TIMEOUT)
    assert heard(a, "heard_down") == []
    assert nodes(a) == [("b", "up")]
    b.stop(signal.SIGTERM)
    a.wait_for("heard_down")
    assert heard(a, "heard_down")[0]["reason"] == "Shutdown(detail='')"


def test_server_that_is_frozen_longer_than_the_timeout_takes_nobody_for_gone_and_monitors_go_on(
    run_node, watch, server
):
    a, b = run_node("a"), run_node("b")
    watch("a", "b")
    server.freeze()
    time.sleep(8 * TIMEOUT)
    server.thaw()
    time.sleep(4 * TIMEOUT)
    assert [line for line in a.events if line["event"] == "broker_disconnected"] == []
    assert (heard(a, "heard_down"), heard(a, "node_left"), heard(b, "node_left")) == ([], [], [])
    b.stop(signal.SIGTERM)
    a.wait_for("heard_down")
    assert heard(a, "heard_down")[0]["reason"] == "Shutdown(detail='')"


def test_process_that_is_frozen_longer_than_the_timeout_counts_as_gone_and_takes_nobody_for_gone(run_node, watch):
    a, b = run_node("a"), run_node("b")
    watch("a", "b")
    watch("b", "a")
    b.process.send_signal(signal.SIGSTOP)
    wait_until(lambda: len(nodes(a)) == 2, BOUND + SLACK)
    b.process.send_signal(signal.SIGCONT)
    wait_until(lambda: len(nodes(a)) == 3, BOUND + SLACK)
    time.sleep(3 * TIMEOUT)
    assert nodes(a) == [("b", "up"), ("b", "silent"), ("b", "up")]
    assert [down["reason"] for down in heard(a, "heard_down")] == ["NodeLost(node='b')"]
    assert ("a", "silent") not in nodes(b)
    assert heard(b, "heard_down") == []
    a.stop(signal.SIGTERM)
    b.wait_for("heard_down")  # what it monitored before is monitored still
    assert heard(b, "heard_down")[0]["reason"] == "Shutdown(detail='')"


def test_process_that_is_killed_and_started_again_at_once_is_another_node(run_node, watch):
    a, b = run_node("a"), run_node("b")
    watch("a", "b")
    b.stop(signal.SIGKILL)
    run_node("b")
    wait_until(lambda: len(nodes(a)) == 3, BOUND + SLACK)
    time.sleep(2 * TIMEOUT)
    assert sorted(nodes(a)) == [("b", "silent"), ("b", "up"), ("b", "up")]
    assert [down["reason"] for down in heard(a, "heard_down")] == ["NodeLost(node='b')"]


def test_tree_shows_every_node_and_what_each_runs_for_itself(run_node, cliffracer, server):
    for name in ("a", "b", "c"):
        run_node(name)
    shown = cliffracer("tree", "--json", "--nats", server.url)
    trees = {tree["node"]: tree for tree in map(json.loads, shown.stdout.splitlines())}
    assert sorted(trees) == ["a", "b", "c"]
    assert {child["id"] for child in trees["b"]["root"]["children"]} == {"worker-b", "watcher-b"}
    own = {child["id"]: child["state"] for child in trees["b"]["own"]["children"]}
    assert own["nodes"] == own["monitors"] == "running"


async def pretend_to_be_a_node(url, user):
    client = await nats.connect(url, user=user, password="change-me")
    who = '"id": "stranger", "name": "stranger"'
    await client.publish("$CLIFFRACER.nodes", f'{{"type": "hello", {who}}}'.encode())
    await client.publish("worker-a.$monitor", f'{{{who}, "monitor": 1}}'.encode(), reply="_INBOX.stranger")
    await client.flush()
    await client.close()


def test_permissions_that_the_documentation_shows_let_nodes_and_clients_do_their_work(
    start, make_server, cliffracer, tmp_path
):
    page = (Path(__file__).parents[2] / "docs" / "wire.md").read_text()
    (shown,) = re.findall(r"^authorization \{\n.*?^\}\n", page, re.DOTALL | re.MULTILINE)
    server = make_server(shown)
    server.start()
    (tmp_path / "app.py").write_text(APP)

    def env(user, **more):
        return {"CLIFFRACER_NATS_USER": user, "CLIFFRACER_NATS_PASSWORD": "change-me", **more}

    def run(name):
        settings = env("node", CLIFFRACER_NODE_NAME=name, CLIFFRACER_LOG_FORMAT="json")
        running = start("run", f"{tmp_path / 'app.py'}:app", "--nats", server.url, env=settings)
        running.wait_for("node_started")
        return running

    def ask(*arguments):
        return cliffracer(*arguments, "--nats", server.url, env=env("client"))

    a, b = run("a"), run("b")
    done = ask("call", "watcher-a.watch", "name=worker-b")
    assert done.returncode == 0, done.stderr
    assert "worker-b" in ask("services").stdout
    assert ask("tree").returncode != 0
    asyncio.run(pretend_to_be_a_node(server.url, "client"))
    b.stop(signal.SIGTERM)
    a.wait_for("heard_down")
    assert nodes(a) == [("b", "up"), ("b", "left")]
    assert heard(a, "broker_error") == heard(b, "broker_error") == []
