"""A node for tests: no server, short times, a log that is data."""

from typing import Any

import anyio
from msgspec.structs import replace

from cliffracer.actor.actor import Actor
from cliffracer.errors import SpecError
from cliffracer.node.node import Node
from cliffracer.node.settings import Settings
from cliffracer.supervision.admin import SupervisorRef
from cliffracer.supervision.spec import ChildSpec, Strategy, Supervisor, Tree
from cliffracer.testing.faults import Faults
from cliffracer.testing.logs import LogLine, logger_into
from cliffracer.testing.probe import Probe
from cliffracer.testing.transport import FaultyTransport
from cliffracer.transport.contract import Transport
from cliffracer.transport.local import LocalBroker, LocalTransport

__all__ = ["TestNode", "settle_all"]

_SETTINGS = Settings(
    nats_connect_timeout=2.0, call_timeout=1.0, drain_timeout=2.0, kill_grace=1.0, log_level="debug", node_name="test"
)


class TestNode(Node):
    """A `Node` for tests. It reads no environment and needs no server; whatever `Node` does, it does.

    `async with TestNode(child(Inventory, {"A1": 10}), child(Orders)) as node:`

    Attributes:
        log_lines: What was logged: one dictionary a line, with `event`, `level`, and the fields of the event.
        wire: The line to the broker; `wire.faults` says what goes wrong on it, `wire.cut()` cuts it.
    """

    __test__ = False  # not for pytest to collect

    def __init__(
        self,
        *children: ChildSpec[Any] | Tree | Probe,
        broker: LocalBroker | None = None,
        transport: Transport | None = None,
        faults: Faults | None = None,
        settings: Settings | None = None,
        name: str = "test",
        strategy: Strategy = "one_for_one",
        max_restarts: int = 3,
        max_seconds: float = 5.0,
    ) -> None:
        """Describe a node; nothing is started.

        Args:
            children: What runs: children of a root supervisor `test`, and probes that stand in for some. A single
                `Supervisor` is the tree itself.
            broker: Shared by the nodes that are to hear each other; one of its own by default.
            transport: Instead of a `LocalTransport` on `broker`.
            faults: What goes wrong on the line to the broker; nothing by default.
            settings: Instead of short times: 1 s for a call, 2 s for the drain.
            name: How the node is called in its log, unless `settings` say so.
            strategy: Of the root supervisor, like the next two.
            max_restarts: So many restarts are allowed within `max_seconds`.
            max_seconds: The window, in seconds.

        Raises:
            SpecError: A child is wrong; or there is a transport and a broker.
        """
        if broker is not None and transport is not None:
            raise SpecError("TestNode() was given a broker and a transport.", "leave one out.")
        match children:
            case [Supervisor() as tree]:
                pass
            case _:
                specs = [one.child if isinstance(one, Probe) else one for one in children]
                tree = Supervisor("test", *specs, strategy=strategy, max_restarts=max_restarts, max_seconds=max_seconds)
        self.wire = FaultyTransport(LocalTransport(broker) if transport is None else transport, faults)
        for one in children:
            if isinstance(one, Probe):
                one.use(self.wire)
        self.log_lines: list[LogLine] = []
        super().__init__(
            tree,
            settings=replace(_SETTINGS, node_name=name) if settings is None else settings,
            transport=self.wire,
            log=logger_into(self.log_lines),
        )

    def logged(self, event: str) -> list[LogLine]:
        """Return the lines of the log with that event, `actor_crashed` for example, oldest first."""
        return [line for line in self.log_lines if line["event"] == event]

    async def probe(self, actor: type[Actor] | None = None, name: str | None = None) -> Probe:
        """Start a probe, as the last child of the root supervisor.

        Args:
            actor: For which it stands in; None for nobody.
            name: The actor's name, if it is not the one of the class, or `probe`.

        Raises:
            AlreadyStarted: An actor of that name runs.
            NotRunning: The node is not running.
        """
        probe = Probe(name or "probe") if actor is None else Probe.of(actor, name)
        probe.use(self.wire)
        host = self._running()
        await SupervisorRef(host, host.registry.root_path).start_child(probe.child)
        return probe

    async def settle(self, *, within: float = 5.0) -> None:
        """Wait until there is nothing to do: no mailbox holds a message, none is in hand, none is on the line.

        Nor is any other task at work. What waits for the clock alone, a tick or a back-off, is not waited for. For
        several nodes that talk to each other, there is `settle_all`.

        Args:
            within: Seconds, of the event loop's clock.

        Raises:
            TimeoutError: It still has something to do; the message names the actors.
            NotRunning: The node is not running.
        """
        await settle_all(self, within=within)

    @property
    def is_settled(self) -> bool:
        """Whether there is nothing to do; see `settle`."""
        return not self.busy() and self.wire.is_empty

    def busy(self) -> list[str]:
        """Return the names of the actors that have something to do."""
        return [cell.name for cell in self._running().registry if not cell.is_idle]

    async def wait_idle(self) -> None:
        """Wait until each mailbox was empty once, and nothing is on the line; `settle` is what a test wants."""
        await self.wire.wait_empty()
        for cell in self._running().registry:
            await cell.wait_idle()


async def settle_all(*nodes: TestNode, within: float = 5.0) -> None:
    """Wait until none of several nodes has anything to do; see `TestNode.settle`.

    Args:
        nodes: They run.
        within: Seconds, of the event loop's clock.

    Raises:
        TimeoutError: One still has something to do; the message names the actors.
        NotRunning: A node is not running.
    """
    with anyio.move_on_after(within) as patience:
        # Handling one message may send others, so nobody is done until all are.
        while True:
            for node in nodes:
                await node.wait_idle()
            await anyio.wait_all_tasks_blocked()  # a crash may have to be dealt with yet
            if all(node.is_settled for node in nodes):
                return
    if patience.cancelled_caught:
        busy = ", ".join(
            f"{node.name}: {', '.join(node.busy()) or 'the line'}" for node in nodes if not node.is_settled
        )
        raise TimeoutError(
            f"not settled within {within:g} s; at work: {busy}.\n"
            "Does one wait for an answer that a probe is to give, or for a time that is longer?"
        )
