"""`Node(tree).run()`: a node as a process of one's own, without the command line."""

import signal
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

SERVICE = """
import gc
from cliffracer import Actor, Node, Settings, Supervisor, child, every

class Ticker(Actor):
    @every(0.05)
    async def tick(self) -> None:
        self.log.info("ticked", exempt=gc.get_freeze_count())
        if FAIL:
            raise RuntimeError("always")

FAIL = {fail}
node = Node(Supervisor("service", child(Ticker), max_restarts=1), settings=Settings(log_format="json"))

if __name__ == "__main__":
    node.run()
    print("after", gc.get_freeze_count(), flush=True)
"""


@pytest.fixture
def service(run_python, tmp_path):
    def run(*, fail: bool):
        path = Path(tmp_path, "service.py")
        path.write_text(SERVICE.format(fail=fail))
        return run_python(str(path))

    return run


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_run_returns_after_a_signal_when_all_is_stopped(service, number):
    running = service(fail=False)
    running.wait_for("ticked")
    assert running.stop(number) == 0
    assert running.lines[-1] == "after 0"
    assert running.events[-1]["event"] == "node_stopped"


def test_run_ends_the_process_with_one_and_the_reason_when_the_tree_gives_up(service):
    running = service(fail=True)
    assert running.wait() == 1
    assert running.events[-1]["event"] == "node_failed"
    assert "last, 'ticker' crashed: RuntimeError: always" in running.events[-1]["reason"]
    assert not any(line.startswith("after") for line in running.lines)


def test_what_is_there_when_the_tree_is_up_is_exempt_from_garbage_collection(service):
    running = service(fail=False)
    running.wait_for("ticked")
    running.stop()
    ticked = next(event for event in running.events if event["event"] == "ticked")
    assert ticked["exempt"] > 10_000  # all modules are there


def test_lines_carry_node_actor_incarnation_and_correlation(service):
    running = service(fail=False)
    running.wait_for("ticked", count=2)
    running.stop()
    first, second, *_ = [event for event in running.events if event["event"] == "ticked"]
    assert (first["actor"], first["incarnation"]) == ("ticker", 1)
    assert first["node"] == second["node"]
    assert first["correlation"] != second["correlation"]
