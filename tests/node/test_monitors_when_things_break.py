"""Three nodes, a line that loses, doubles, delays and cuts, and monitors that have to tell the truth all the same.

Each seed is a schedule. What each monitor was told is compared with what has really happened.
"""

import json
from collections import Counter
from random import Random

import anyio
import pytest
from msgspec import Struct, field

from cliffracer import (
    Actor,
    Killed,
    Node,
    NodeDown,
    NodeLost,
    NodeUp,
    Settings,
    Supervisor,
    cast,
    child,
)
from cliffracer.testing import Crossing, Faults, FaultyTransport
from cliffracer.transport.local import LocalBroker, LocalTransport

pytestmark = pytest.mark.anyio

TIMEOUT = 5.0  # seconds, node_timeout
NAMES = ("a", "b", "c")
SURELY = TIMEOUT - 3.3  # seconds of a cut after which a node may be taken for gone: words before it may have been lost
HEALED = 60.0  # seconds after which nothing more can come


class Worker(Actor):
    """Runs on one node, or on two: `both`."""

    @cast
    async def crash(self) -> None:
        raise KeyError("broken")


class Told(Struct):
    """What a monitor was told, and when."""

    reason: object
    incarnation: int
    node: str
    at: float


class Monitor(Struct):
    """A monitor, and what has come of it."""

    of: str
    by: str
    since: float
    told: list[Told] = field(default_factory=list)
    is_wanted: bool = True
    end: object = None


class World:
    """The nodes, and what has really happened."""

    def __init__(self, seed, log):
        self.random = Random(seed)
        self.seed = seed
        self.log = log
        self.broker = LocalBroker()
        self.nodes: dict[str, Node] = {}
        self.wires: dict[str, FaultyTransport] = {}
        self.changes: dict[str, list[NodeUp | NodeDown]] = {}
        self.monitors: list[Monitor] = []
        self.troubled: dict[str, list[tuple[float, float]]] = {name: [] for name in NAMES}  # from, until
        self.lives: dict[str, list[tuple[float, float]]] = {name: [] for name in NAMES}  # the end, and the next start
        self.ends: dict[tuple[str, str, int], float] = {}  # node id, actor, incarnation -> when

    def loses(self, probability):
        """Lose some messages, and never more than two of a kind in a row."""
        lost_in_a_row: Counter[tuple[str, bool, str]] = Counter()

        def loses(message: Crossing):
            # The words to all count apart by who says them.
            sender = str(json.loads(message.payload)["id"]) if message.subject.endswith("$CLIFFRACER.nodes") else ""
            key = (message.subject, message.is_reply, sender)
            is_lost = lost_in_a_row[key] < 2 and self.random.random() < probability
            lost_in_a_row[key] = lost_in_a_row[key] + 1 if is_lost else 0
            return is_lost

        return loses

    def add_faults(self, wire):
        wire.faults.drop(">", direction="in", when=self.loses(0.25))
        for subject in ("*.$monitor", "$CLIFFRACER.monitors.*", "$CLIFFRACER.>"):
            wire.faults.duplicate(subject, probability=0.1)
            wire.faults.delay(0.3, subject, probability=0.1)
        # Later than the next attempt of who has asked.
        wire.faults.delay(2.5, "*.$monitor", probability=0.05)
        wire.faults.delay(2.5, "$CLIFFRACER.monitors.*", probability=0.05)

    async def run_node(self, name, *, task_status):
        """Run a node until it is cancelled; then it stops in order."""
        workers = [child(Worker).replace(name=f"{name}{n}") for n in range(2)]
        if name != "a":
            workers.append(child(Worker).replace(name="both"))
        tree = Supervisor("tree", *workers, max_restarts=10_000)
        wire = FaultyTransport(LocalTransport(self.broker), Faults(seed=self.random.randrange(10**9)))
        settings = Settings(node_name=name, node_timeout=TIMEOUT, drain_timeout=0.1)
        with anyio.CancelScope() as scope:
            async with Node(tree, settings=settings, transport=wire, log=self.log) as node:
                changes = self.changes[node.id] = [NodeUp(info) for info in node.nodes()]
                node._life.host.watch_nodes(changes.append)
                self.nodes[name], self.wires[name] = node, wire
                for worker in workers:
                    self.note_end_of(node, worker.name)
                if self.lossy:
                    self.add_faults(wire)
                task_status.started(scope)
                await anyio.sleep_forever()

    lossy = True

    def note_end_of(self, node, actor):
        """Keep the truth about an incarnation: who watches it here hears of it whatever the line does."""
        world, host = self, node._life.host

        class Witness:
            def tell(self, reason, incarnation):
                world.ends[host.me.id, actor, incarnation] = anyio.current_time()

        found = host._find_incarnation(actor)
        if found is not None:
            found[0].watch(Witness())

    def monitor(self, by, of):
        monitor = Monitor(of, by, anyio.current_time())

        def tell(reason, incarnation, node):
            monitor.told.append(Told(reason, incarnation, node, anyio.current_time()))

        monitor.end = self.nodes[by]._life.host.monitors.watch(of, tell)
        self.monitors.append(monitor)

    def was_troubled(self, names, since, until, at_least):
        return any(
            min(end, until) - max(start, since - 5 * TIMEOUT) >= at_least
            for name in names
            for start, end in self.troubled[name]
        )

    def has_gone(self, name, since, until):
        return any(since <= next_start and end <= until for end, next_start in self.lives[name])


async def cause_trouble(world, tasks, scopes):
    """Do one thing, and wait until it is done."""
    random, now = world.random, anyio.current_time
    name = random.choice(NAMES)
    wire, start = world.wires[name], now()
    kind = random.choice(["short cut", "long cut", "mute", "deaf", "replace", "kill"])
    if kind == "short cut":
        async with wire.outage():
            await anyio.sleep(random.uniform(0.1, 1.0))
    elif kind == "long cut":
        async with wire.outage():
            await anyio.sleep(random.uniform(1.5, 8.0) * TIMEOUT)
        world.troubled[name].append((start, now()))
    elif kind in ("mute", "deaf"):
        with wire.faults.drop(">", direction="out" if kind == "mute" else "in"):
            await anyio.sleep(random.uniform(1.5, 8.0) * TIMEOUT)
        world.troubled[name].append((start, now() + TIMEOUT))
    else:
        node = world.nodes[name]
        if kind == "kill":  # nobody hears how it ends
            wire.faults.refuse_connect()
            await wire.cut(for_good=True)
        for monitor in world.monitors:
            if monitor.by == name:
                monitor.is_wanted = False  # it goes with its node
        for cell in node._life.host.registry:
            world.note_end_of(node, cell.name)
        scopes[name].cancel()
        while node._life.is_running:
            await anyio.sleep(0.1)
        # From the first moment on another one is there, of the same name.
        scopes[name] = await tasks.start(world.run_node, name)
        world.lives[name].append((start, now()))
    await anyio.sleep(TIMEOUT)


async def live(world, tasks, scopes, steps):
    """Monitor, take monitors away, crash workers, while something else goes wrong all the time."""
    random = world.random
    everybody = [f"{name}{n}" for name in NAMES for n in range(2)] + ["both", "nobody"]
    done = anyio.Event()

    async def trouble():
        for _ in range(steps):
            await cause_trouble(world, tasks, scopes)
        done.set()

    tasks.start_soon(trouble)
    while not done.is_set():
        await anyio.sleep(random.uniform(0.1, 2.0))
        by = random.choice(NAMES)
        what = random.random()
        if not world.nodes[by]._life.is_running:
            continue
        if what < 0.5:
            of = random.choice([one for one in everybody if not one.startswith(by)])
            if of != "both" or by == "a":
                world.monitor(by, of)
        elif what < 0.6:
            candidates = [m for m in world.monitors if m.by == by and m.is_wanted and not m.told]
            if candidates:
                monitor = random.choice(candidates)
                monitor.is_wanted = False
                monitor.end()
        else:
            node = world.nodes[by]
            actor = random.choice([cell.name for cell in node._life.host.registry])
            if node._life.host.find_process_of(actor) is not None:
                world.note_end_of(node, actor)
                await node.stop(node.ref(Worker, actor), Killed())


def check(world):
    """Compare what the monitors were told with what has happened."""
    for monitor in world.monitors:
        assert len(monitor.told) <= 1, monitor
        if not monitor.told:
            continue
        (told,) = monitor.told
        if isinstance(told.reason, NodeLost):
            assert world.was_troubled((monitor.by, told.node), monitor.since, told.at, SURELY) or world.has_gone(
                told.node, monitor.since, told.at
            ), monitor
        elif told.reason is not None:
            ended = [
                at
                for (_, actor, incarnation), at in world.ends.items()
                if actor == monitor.of and incarnation == told.incarnation and at <= told.at
            ]
            assert ended, monitor
            assert max(ended) >= monitor.since - 0.001 or told.at - monitor.since < 0.001, monitor
    for name, node in world.nodes.items():
        monitors = node._life.host.monitors
        for number, mine in monitors._mine.items():
            # Nobody was told, so it has to run, and to be watched.
            assert mine.at is not None, mine.name
            there = next(n for n in world.nodes.values() if n.id == mine.at.id)
            watch = there._life.host.monitors.theirs.askers[node.id].watched[number]
            assert not watch._process.has_ended
            assert watch in watch._process._watchers
        changes = world.changes[node.id]
        assert {info.id for info in node.nodes()} == {n.id for n in world.nodes.values()} - {node.id}, name
        for info in {change.node for change in changes}:
            about = [type(change) for change in changes if change.node == info]
            assert about == ([NodeUp, NodeDown] * len(about))[: len(about)], "up and down take turns"


def check_nothing_is_left(world):
    for node in world.nodes.values():
        host = node._life.host
        assert host.monitors._mine == {}
        assert host.monitors.theirs.askers == {}
        for cell in host.registry:
            watchers = cell.process._watchers or []
            assert [one for one in watchers if type(one).__name__ == "_Watch"] == []


@pytest.mark.parametrize("seed", range(12))
async def test_each_monitor_tells_the_truth_once_whatever_the_line_does(seed, log):
    world = World(seed, log)
    async with anyio.create_task_group() as tasks:
        scopes = {name: await tasks.start(world.run_node, name) for name in NAMES}
        await live(world, tasks, scopes, steps=6)
        world.lossy = False
        for wire in world.wires.values():
            wire.faults.clear()
        await anyio.sleep(HEALED)
        check(world)
        for monitor in world.monitors:
            if monitor.is_wanted:
                monitor.end()
        await anyio.sleep(HEALED)
        check_nothing_is_left(world)
        for scope in scopes.values():
            scope.cancel()
    assert sum(len(monitor.told) for monitor in world.monitors) >= 3
