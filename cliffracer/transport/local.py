"""A transport in this process: the same subjects, queue groups and wildcards as NATS, without a server.

It gives `cliffracer run --nats none` and tests on virtual time the behaviour of the real one. Several transports on
one `LocalBroker` are several nodes on one broker.
"""

from collections import deque
from collections.abc import Callable
from itertools import count

import anyio
import anyio.lowlevel

from cliffracer.errors import NoResponders, NotConnected, RequestTimeout
from cliffracer.names import matches, subject_problem
from cliffracer.transport.contract import ConnectionEvent, Headers, Response, Sink, Subscription, Transport, check_size

__all__ = ["LocalBroker", "LocalTransport"]

_MAX_PAYLOAD = 1024 * 1024  # as nats-server's default
_CACHED_SUBJECTS = 4096


class _LocalSubscription(Subscription):
    def __init__(self, broker: "LocalBroker", owner: "LocalTransport", subject: str, queue: str, sink: Sink) -> None:
        self._broker = broker
        self.owner = owner
        self.subject = subject
        self.queue = queue
        self.sink = sink

    async def drain(self) -> None:
        self._broker.remove(self)
        await anyio.lowlevel.checkpoint()


class LocalBroker:
    """What a nats-server is to NATS: it routes, in the order of arrival."""

    def __init__(self) -> None:
        self._subscriptions: dict[_LocalSubscription, None] = {}  # in order, and quick to take out of
        self._routes: dict[str, list[list[_LocalSubscription]]] = {}
        self._turn = 0
        self._pending: deque[tuple[str, bytes, str, Headers | None]] = deque()
        self._routing = False
        self._inboxes: dict[str, Sink] = {}
        self._inbox_numbers = count(1)

    def add(self, subscription: _LocalSubscription) -> None:
        """Route to `subscription` from now on."""
        self._subscriptions[subscription] = None
        self._routes.clear()

    def remove(self, subscription: _LocalSubscription) -> None:
        """Route to `subscription` no more."""
        if subscription in self._subscriptions:
            del self._subscriptions[subscription]
            self._routes.clear()

    def disconnect(self, owner: "LocalTransport") -> None:
        """Drop all subscriptions of a transport that closes."""
        self._subscriptions = {s: None for s in self._subscriptions if s.owner is not owner}
        self._routes.clear()

    def open_inbox(self, sink: Sink) -> str:
        """Return a reply subject that nobody else has; what is sent there goes to `sink`."""
        inbox = f"_INBOX.local.{next(self._inbox_numbers)}"
        self._inboxes[inbox] = sink
        return inbox

    def close_inbox(self, inbox: str) -> None:
        """Drop what is still sent to `inbox`."""
        del self._inboxes[inbox]

    def route(self, subject: str, payload: bytes, reply: str, headers: Headers | None) -> bool:
        """Deliver a message; return whether anybody is subscribed to `subject`."""
        heard = bool(self._receivers(subject))
        self._pending.append((subject, payload, reply, headers))
        # A sink may publish in its turn: that waits until this message has reached everybody.
        if not self._routing:
            self._routing = True
            try:
                while self._pending:
                    self._deliver(*self._pending.popleft())
            finally:
                self._routing = False
        return heard

    def _deliver(self, subject: str, payload: bytes, reply: str, headers: Headers | None) -> None:
        if (inbox := self._inboxes.get(subject)) is not None:
            inbox(subject, payload, reply, headers)
            return
        for group in self._receivers(subject):
            self._turn += 1
            group[self._turn % len(group)].sink(subject, payload, reply, headers)

    def _receivers(self, subject: str) -> list[list[_LocalSubscription]]:
        """Return the groups of which one member each gets a message.

        Like NATS, by queue name alone, whatever the patterns.
        """
        groups = self._routes.get(subject)
        if groups is None:
            by_queue: dict[object, list[_LocalSubscription]] = {}
            for subscription in self._subscriptions:
                if matches(subscription.subject, subject):
                    by_queue.setdefault(subscription.queue or subscription, []).append(subscription)
            groups = list(by_queue.values())
            if len(self._routes) >= _CACHED_SUBJECTS:
                self._routes.clear()
            self._routes[subject] = groups
        return groups


class LocalTransport(Transport):
    """One node's connection to a `LocalBroker`."""

    def __init__(self, broker: LocalBroker | None = None) -> None:
        """Prepare a connection.

        Args:
            broker: Shared by the nodes that should hear each other; one of its own by default.
        """
        self._broker = broker or LocalBroker()
        self._connected = False
        self._awaited: set[anyio.Event] = set()  # replies

    @property
    def url(self) -> str:
        """Not an address: there is no server."""
        return "none (in this process)"

    @property
    def is_connected(self) -> bool:
        """Whether it is connected and not closed."""
        return self._connected

    @property
    def max_payload(self) -> int:
        """As nats-server's default."""
        return _MAX_PAYLOAD

    async def connect(self, on_event: Callable[[ConnectionEvent], None]) -> None:  # noqa: ARG002 - nothing happens later on
        """Connect; it cannot fail."""
        await anyio.lowlevel.checkpoint()
        self._connected = True

    def publish_nowait(self, subject: str, payload: bytes, *, reply: str = "", headers: Headers | None = None) -> None:
        """Deliver a message at once; see `Transport.publish_nowait`."""
        self._send(subject, payload, reply, headers)

    async def publish(
        self,
        subject: str,
        payload: bytes,
        *,
        reply: str = "",
        headers: Headers | None = None,
        timeout: float | None = None,
    ) -> None:
        """Deliver a message; there is always room. See `Transport.publish`."""
        del timeout
        # Before and not after: whoever is cancelled has sent nothing, even where asyncio cancels through every shield.
        await anyio.lowlevel.checkpoint()
        self._send(subject, payload, reply, headers)

    async def request(
        self, subject: str, payload: bytes, *, headers: Headers | None = None, timeout: float | None = None
    ) -> Response:
        """Publish a message and wait for the first reply; see `Transport.request`."""
        replied = anyio.Event()
        responses: list[Response] = []

        def take(_: str, payload: bytes, __: str, headers: Headers | None) -> None:
            responses.append(Response(payload, headers))
            replied.set()

        inbox = self._broker.open_inbox(take)
        try:
            if not self._send(subject, payload, inbox, headers):
                raise NoResponders(f"nobody is subscribed to {subject!r}")
            self._awaited.add(replied)
            with anyio.move_on_after(timeout):
                await replied.wait()
        finally:
            self._awaited.discard(replied)
            self._broker.close_inbox(inbox)
        if responses:
            return responses[0]
        if not self._connected:
            raise NotConnected("the connection was closed while the reply was awaited")
        raise RequestTimeout(f"no reply from {subject!r} within {timeout} s")

    async def subscribe(self, subject: str, sink: Sink, *, queue: str = "") -> Subscription:
        """Subscribe at once; see `Transport.subscribe`."""
        if problem := subject_problem(subject, wildcards=True):
            raise ValueError(f"cannot subscribe to {subject!r}: {problem}")
        await anyio.lowlevel.checkpoint()
        self._check_connected()
        subscription = _LocalSubscription(self._broker, self, subject, queue, sink)
        self._broker.add(subscription)
        return subscription

    async def flush(self) -> None:
        """There is nothing to wait for."""
        self._check_connected()
        await anyio.lowlevel.checkpoint()

    async def close(self) -> None:
        """Drop all subscriptions."""
        self._connected = False
        self._broker.disconnect(self)
        for replied in self._awaited:
            replied.set()
        await anyio.lowlevel.checkpoint()

    def _send(self, subject: str, payload: bytes, reply: str, headers: Headers | None) -> bool:
        if problem := subject_problem(subject):
            raise ValueError(f"cannot publish to {subject!r}: {problem}")
        if reply and (problem := subject_problem(reply)):
            raise ValueError(f"cannot publish to {subject!r}: its reply subject {reply!r}: {problem}")
        check_size(payload, headers, _MAX_PAYLOAD)
        self._check_connected()
        return self._broker.route(subject, payload, reply, headers)

    def _check_connected(self) -> None:
        if not self._connected:
            raise NotConnected("the connection is closed", nothing_sent=True)
