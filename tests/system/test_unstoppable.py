"""Code that blocks the event loop, or cannot be cancelled: it is said where, and the process ends all the same."""

import signal
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

SERVICE = """
import sys
import time

import anyio
from cliffracer import Actor, Node, Settings, Supervisor, child, every

class Blocking(Actor, shutdown=0.2):
    @every(0.05)
    async def block(self) -> None:
        time.sleep(2.5)
        self.log.info("went_on")

class Shielded(Actor, shutdown=0.2):
    @every(0.05)
    async def hang(self) -> None:
        self.log.info("hangs")
        with anyio.CancelScope(shield=True):
            await anyio.sleep(600)

class Patient(Actor, shutdown="infinity"):
    @every(0.05)
    async def hang(self) -> None:
        self.log.info("hangs")
        await anyio.sleep(600)

class Leaving(Actor):
    @every(0.05)
    async def leave(self) -> None:
        sys.exit(7)

class Sibling(Actor):
    async def on_stop(self, reason) -> None:
        self.log.info("sibling_stopped", why=str(reason))

actor = {"Blocking": Blocking, "Shielded": Shielded, "Patient": Patient, "Leaving": Leaving}[sys.argv[1]]
settings = Settings(nats_url="none", log_format="json", drain_timeout=0.2, kill_grace=0.3)
Node(Supervisor("service", child(Sibling), child(actor)), settings=settings).run()
"""


@pytest.fixture
def service(run_python, tmp_path):
    path = Path(tmp_path, "service.py")
    path.write_text(SERVICE)
    return lambda actor: run_python(str(path), actor)


def the_event(running, name):
    return next(event for event in running.events if event["event"] == name)


def test_blocked_event_loop_is_reported_with_the_line_that_blocks_it(service):
    running = service("Blocking")
    running.wait_for("loop_blocked")
    line = the_event(running, "loop_blocked")
    assert line["level"] == "error"
    assert line["seconds"] >= 1.0
    assert line["where"][-1].endswith("in block")
    assert "service.py:" in line["where"][-1]


def test_stop_goes_on_in_order_when_the_blocking_code_returns(service):
    running = service("Blocking")
    running.wait_for("loop_blocked")
    running.process.send_signal(signal.SIGTERM)
    assert running.wait() == 0
    assert the_event(running, "went_on")
    assert the_event(running, "sibling_stopped")["why"] == "shutdown"


def test_actor_that_cannot_be_cancelled_is_reported_and_the_process_ends_with_one(service):
    running = service("Shielded")
    running.wait_for("hangs")
    assert running.stop() == 1
    line = the_event(running, "child_unkillable")
    assert (line["supervisor"], line["child"], line["incarnation"]) == ("service", "shielded", 1)
    assert any("in Shielded.hang" in frame and "service.py:" in frame for frame in line["where"])
    assert running.events[-1]["event"] == "node_unstoppable"
    assert running.events[-1]["level"] == "critical"


def test_second_signal_ends_what_may_take_for_ever(service):
    running = service("Patient")
    running.wait_for("hangs")
    running.process.send_signal(signal.SIGTERM)
    running.wait_for("node_drain_timed_out")
    assert running.stop() == 1
    assert the_event(running, "node_stopping_at_once")
    assert running.events[-1]["event"] == "node_failed"


def test_exit_in_a_handler_ends_the_process_with_its_code_and_stops_the_others_in_order(service):
    running = service("Leaving")
    assert running.wait() == 7
    assert the_event(running, "sibling_stopped")["why"] == "shutdown"
    assert "Traceback" not in running.text
    assert running.events[-1]["event"] == "node_stopped"
