"""What the child that keeps the connection tells the log."""

from cliffracer.node.connection import Connection
from cliffracer.transport.contract import Trouble
from cliffracer.transport.local import LocalTransport


def test_different_troubles_are_all_told_and_a_flood_of_them_is_counted_and_bounded(log, lines):
    now = 0.0
    connection = Connection(LocalTransport(), log, lambda: now)
    for subject in ("inventory.*", "orders.*", "inventory.*"):
        connection._on_event(Trouble(f"permissions violation for subscription to {subject}"))
    assert [line["error"].split()[-1] for line in lines] == ["inventory.*", "orders.*"]
    for number in range(10_000):
        connection._on_event(Trouble(f"a malformed message was dropped: {number}"))
    assert len(lines) == 64
    now = 10.0
    connection._on_event(Trouble("one more"))
    assert lines[-1]["total"] == 3 + 10_000 + 1
