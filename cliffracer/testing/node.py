"""A node for tests: no server, short times, a log that is data."""

from typing import Any, Literal, TypeVar, cast

import anyio

from cliffracer.actor.actor import Actor
from cliffracer.actor.cell import Cell
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

__all__ = ["TestNode"]

A = TypeVar("A", bound=Actor)

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
        *children: "ChildSpec[Any] | Tree | Probe[Any]",
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
        specs = [one.child if isinstance(one, Probe) else one for one in cast("tuple[Any, ...]", children)]
        if len(specs) == 1 and isinstance(specs[0], Supervisor):
            tree = specs[0]
        else:
            tree = Supervisor(
                "test", *specs, strategy=strategy, max_restarts=max_restarts, max_seconds=max_seconds
            )
        self.wire = FaultyTransport(LocalTransport(broker) if transport is None else transport, faults)
        self.log_lines: list[LogLine] = []
        super().__init__(
            tree,
            settings=structs_replace(_SETTINGS, node_name=name) if settings is None else settings,
            transport=self.wire,
            log=logger_into(self.log_lines),
        )
