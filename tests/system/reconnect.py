"""What a broker that goes away costs: `python -m tests.system.reconnect [--runs N] [--outage kill|freeze|away]`.

A node with eight actors runs here, a load of calls and events comes from another process, and the server between them
is killed and started again on the same port (`kill`: 2 s away; `away`: 30 s, longer than nats-py's client is given to
come back), or holds its connections open and says nothing (`freeze`: 40 s; pings have to find out).
"""

import argparse
import sys
import tempfile
import time
from collections import Counter as Tally
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import anyio
import anyio.to_thread

from cliffracer import Node, Settings, Supervisor, child
from cliffracer.observe.logs import Logger, make_logger
from tests.system.load import COUNTERS, Call, Counter, Load
from tests.system.servers import Server

__all__ = ["OUTAGES", "SLOW", "Outage", "Report", "run_once", "service"]

SLOW = 1.0  # seconds above which a failure did not come at once; a call times out after 5
BACK_WITHIN = 30.0  # seconds; a bound for a hang, not a measure
NODE = "service"


class Outage(NamedTuple):
    """How the server goes away and comes back.

    Attributes:
        seconds: For how long it is away.
        noticed_within: Seconds after which everybody must know.
        begin: Takes it away.
        end: Brings it back.
    """

    seconds: float
    noticed_within: float
    begin: Callable[[Server], None]
    end: Callable[[Server], None]


OUTAGES = {
    "kill": Outage(2.0, 0.5, Server.kill, Server.start),
    "away": Outage(30.0, 0.5, Server.kill, Server.start),
    "freeze": Outage(40.0, 31.0, Server.freeze, Server.thaw),
}


class Report(NamedTuple):
    """What one outage cost.

    Attributes:
        outage: Which one.
        calls: All calls, in the order of their ends.
        began: When the server went, in seconds of the machine's clock.
        ended: When it was back.
        noticed: Seconds until the node was not ready; None if it was ready all the time.
        ready: Seconds from the server's return until the node was ready again; None if it was not.
        subscriptions: How many the server knew of before.
        subscribed: Seconds from the server's return until it knew of all of them again.
        lost: Subscriptions that did not come back.
        connections: How many the node has in the end.
        incarnations: Of the actors, in the end.
        counted: Calls that the actors have counted.
        heard_before: Events that the actors had heard when the server went.
        heard_after: Events that they had heard in the end.
    """

    outage: Outage
    calls: list[Call]
    began: float
    ended: float
    noticed: float | None
    ready: float | None
    subscriptions: int
    subscribed: float
    lost: set[tuple[str, str]]
    connections: int
    incarnations: set[int]
    counted: int
    heard_before: int
    heard_after: int

    @property
    def answered(self) -> int:
        """How many calls were answered."""
        return sum(one.outcome == "answered" for one in self.calls)

    @property
    def failed(self) -> Tally[str]:
        """How many calls failed, by the class of the error."""
        return Tally(one.outcome for one in self.calls if one.outcome != "answered")

    @property
    def slow(self) -> list[Call]:
        """Calls that failed, and took long for it."""
        return [one for one in self.calls if one.outcome != "answered" and one.took > SLOW]

    @property
    def strange(self) -> list[Call]:
        """Calls that failed slowly, or with another error than is due, though everybody had to know by then."""
        known = self.began + self.outage.noticed_within
        return [
            one
            for one in self.calls
            if one.outcome != "answered"
            and (one.sent > known or self.outage.noticed_within < SLOW)
            and (one.took > SLOW or one.outcome not in ("Disconnected", "NoActor"))
        ]

    @property
    def first_answer(self) -> float | None:
        """Seconds from the server's return until a call that was sent after it was answered; None if none was."""
        ends = [one.sent + one.took for one in self.calls if one.outcome == "answered" and one.sent >= self.ended]
        return min(ends) - self.ended if ends else None


@asynccontextmanager
async def service(url: str, log: Logger) -> AsyncIterator[Node]:
    """Run a node with the counters that the load calls."""
    counters = [child(Counter).replace(name=f"counter-{number}") for number in range(COUNTERS)]
    settings = Settings(nats_url=url, node_name=NODE, nats_connect_timeout=BACK_WITHIN)
    async with Node(Supervisor("counters", *counters), settings=settings, log=log) as node:
        yield node


async def run_once(server: Server, outage: Outage, log: Logger) -> Report:
    """Run the service and the load, let the server go away and come back, and report."""
    server.start()
    async with service(server.url, log) as node, Load(server.url) as load:
        await load.wait_until_answered()
        await anyio.sleep(0.3)
        before = await _subscriptions(server)
        heard_before = await _heard(node)
        began = time.monotonic()
        outage.begin(server)
        noticed = await _seconds_until(lambda: not node.is_ready, outage.seconds, began)
        await anyio.sleep(max(0.0, began + outage.seconds - time.monotonic()))
        await anyio.to_thread.run_sync(outage.end, server)
        ended = time.monotonic()
        ready = await _seconds_until(lambda: node.is_ready, BACK_WITHIN, ended)
        lost = before
        while lost and time.monotonic() < ended + BACK_WITHIN:
            lost = before - await _subscriptions(server)
        subscribed = time.monotonic() - ended
        await anyio.sleep(2.0)
        calls = await load.finish()
        statistics = node.statistics().values()
        known = await anyio.to_thread.run_sync(server.connections)
        connections = sum(one.get("name") == NODE for one in known)
        return Report(
            outage, calls, began, ended, noticed, ready, len(before), subscribed, lost, connections,
            {one.incarnation for one in statistics}, await _counted(node), heard_before, await _heard(node),
        )  # fmt: skip


async def _subscriptions(server: Server) -> set[tuple[str, str]]:
    return await anyio.to_thread.run_sync(server.subscriptions, NODE)


async def _seconds_until(condition: Callable[[], bool], limit: float, since: float) -> float | None:
    with anyio.move_on_after(limit):
        while not condition():
            await anyio.sleep(0.01)
        return time.monotonic() - since
    return None


def _counters(node: Node) -> list[Counter]:
    return [node.ref(Counter, f"counter-{number}") for number in range(COUNTERS)]


async def _heard(node: Node) -> int:
    return sum([await counter.heard_so_far() for counter in _counters(node)])


async def _counted(node: Node) -> int:
    # Each was asked once more than the load did, by this very question.
    return sum([await counter.add() - 1 for counter in _counters(node)])


def problems_of(report: Report) -> list[str]:
    """Return what should not be so in `report`, each as a sentence; none if all is well."""
    found = {
        "the node was not ready again": report.ready is None,
        "the node did not notice in time": report.noticed is None or report.noticed > report.outage.noticed_within,
        f"subscriptions did not come back: {sorted(report.lost)}": bool(report.lost),
        f"calls failed slowly, or with something else: {report.strange[:5]}": bool(report.strange),
        f"the node has {report.connections} connections": report.connections != 1,
        "no call was answered after the server was back": report.first_answer is None,
        f"an actor was restarted: incarnations {report.incarnations}": report.incarnations != {1},
        f"{report.answered} calls answered and only {report.counted} counted": report.counted < report.answered,
        "no event was heard after the server was back": report.heard_after <= report.heard_before,
    }
    return [problem for problem, is_so in found.items() if is_so]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print what each run cost, and return the exit code: 1 if something should not be so."""
    parser = argparse.ArgumentParser(prog="python -m tests.system.reconnect", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, metavar="N")
    parser.add_argument("--outage", choices=list(OUTAGES), default="kill")
    chosen = parser.parse_args(arguments)
    failed = 0
    for number in range(1, chosen.runs + 1):
        with tempfile.TemporaryDirectory() as folder:
            server = Server(Path(folder))
            try:
                report = anyio.run(run_once, server, OUTAGES[chosen.outage], make_logger("critical", "json"))
            finally:
                server.close()
        problems = problems_of(report)
        failed += bool(problems)
        _say(f"run {number} of {chosen.runs}: server away for {report.ended - report.began:.1f} s", *_rows(report))
        _say(*(f"  FAILED: {problem}" for problem in problems))
    _say(f"{chosen.runs - failed} of {chosen.runs} runs without a fault")
    return 1 if failed else 0


def _rows(report: Report) -> list[str]:
    failures = ", ".join(f"{name} {number}" for name, number in sorted(report.failed.items())) or "none"
    back = report.subscriptions - len(report.lost)
    since = report.heard_after - report.heard_before
    slowest = max((one.took for one in report.calls if one.outcome != "answered"), default=0.0)
    return [
        f"  calls sent {len(report.calls)}, answered {report.answered}, failed: {failures}",
        f"  slow failures (over {SLOW:g} s) {len(report.slow)}, slowest failure {slowest * 1000:.0f} ms",
        f"  not ready after {_seconds(report.noticed)}, ready {_seconds(report.ready)} after the server was back",
        f"  first answer {_seconds(report.first_answer)} after the server was back",
        f"  subscriptions {back} of {report.subscriptions} back, after {_seconds(report.subscribed)}",
        f"  events heard {report.heard_before} before, {since} since; incarnations {sorted(report.incarnations)}",
    ]


def _seconds(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.2f} s"


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
