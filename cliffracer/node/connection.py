"""The connection to the broker, as a child of the node: it falls when the connection is lost, and is started again.

While nats-py tries to get the connection back, this waits. When nats-py gives up, or takes too long, the child
crashes, and its next incarnation makes another connection, with all subscriptions. Nothing else falls with it.
"""

from collections.abc import Callable
from math import inf

import anyio
from anyio.abc import TaskStatus

from cliffracer.actor.timers import Clock
from cliffracer.errors import NotConnected
from cliffracer.node.bucket import Bucket
from cliffracer.observe.logs import Logger, Throttle
from cliffracer.transport.contract import (
    ConnectionClosed,
    ConnectionEvent,
    ConnectionLost,
    ConnectionRestored,
    SlowPath,
    Transport,
    Trouble,
)

__all__ = ["Connection"]

_TROUBLES_KEPT = 64  # different ones; and lines about them at once, then one in a second
_PATIENCE = 20.0  # seconds that the transport may take to get a lost connection back by itself


class Connection:
    """Keeps the transport of one node connected."""

    def __init__(self, transport: Transport, log: Logger, clock: Clock) -> None:
        """Prepare; nothing is opened.

        Args:
            transport: What is kept connected.
            log: Hears what happens to it.
            clock: The node's.
        """
        self._transport = transport
        self._log = log
        self._clock = clock
        self._troubles: dict[str, Throttle] = {}  # by what is wrong
        self._total_troubles = 0
        self._lines = Bucket(_TROUBLES_KEPT, 1.0, clock)
        self._news = anyio.Event()
        self._closed_for = ""  # why it is gone for good; empty while it is not
        self._rebuild_at = inf  # when to wait no longer for a connection that was lost
        self.on_change: Callable[[bool], None] | None = None
        """Told, from now on, whether the connection is there, each time that this changes."""

    async def open(self) -> None:
        """Connect for the first time.

        Raises:
            ConnectFailed: There is no broker.
        """
        await self._transport.connect(self._on_event)
        self._log.info("broker_connected", url=self._transport.url)

    async def keep(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Be the child: see that there is a connection, and end when it is lost.

        Raises:
            ConnectFailed: It was lost, and no other one could be made.
            NotConnected: It is lost.
        """
        if self._is_lost():
            await self._make_another()
            self._log.info("broker_reconnected", url=self._transport.url)
            self._tell(is_there=True)
        task_status.started()
        while not self._is_lost():
            with anyio.move_on_after(self._rebuild_at - self._clock()):
                await self._news.wait()
            self._news = anyio.Event()
        raise NotConnected(self._closed_for or f"the connection did not come back within {_PATIENCE:g} s")

    async def _make_another(self) -> None:
        before = self._closed_for, self._rebuild_at
        # What happens to the new one while it is made must not be forgotten.
        self._closed_for, self._rebuild_at = "", inf
        try:
            await self._transport.connect(self._on_event)
        except BaseException:
            self._closed_for, self._rebuild_at = before
            raise

    def _is_lost(self) -> bool:
        return bool(self._closed_for) or self._clock() >= self._rebuild_at

    def _on_event(self, event: ConnectionEvent) -> None:
        match event:
            case ConnectionLost(url):
                self._log.warning("broker_disconnected", url=url)
                self._rebuild_at = self._clock() + _PATIENCE
                self._tell(is_there=False)
            case ConnectionRestored(url):
                self._log.info("broker_reconnected", url=url)
                self._rebuild_at = inf
                self._tell(is_there=True)
            case Trouble(error):
                self._report(error)
            case SlowPath(reason):
                self._log.warning("broker_slow_path", reason=reason)
            case ConnectionClosed(error):
                self._log.error("broker_closed", error=error)
                self._closed_for = f"the broker closed the connection for good: {error}"
                self._tell(is_there=False)
        self._news.set()

    def _report(self, error: str) -> None:
        """Count what is wrong, a message lost to its own form among it; log the same thing at most once a second."""
        self._total_troubles += 1
        throttle = self._troubles.get(error)
        if throttle is None:
            if len(self._troubles) >= _TROUBLES_KEPT:
                self._troubles.clear()
            throttle = self._troubles[error] = Throttle(1.0, self._clock)
        # Strangers can make each one read differently, so there is a limit to all of them together.
        if throttle.ready() and self._lines.take():
            self._log.warning("broker_error", error=error, total=self._total_troubles)

    def _tell(self, *, is_there: bool) -> None:
        if self.on_change is not None:
            self.on_change(is_there)
