"""A transport on which things go wrong as a test says.

Messages are lost, late, doubled or out of order, and the line is cut:

    wire = FaultyTransport(LocalTransport(broker))
    async with Node(tree, transport=wire) as node:
        lost = wire.faults.drop("inventory.reserve", times=1)
        ...
        assert lost.count == 1
        await wire.cut()
"""

from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from enum import Enum
from math import inf

import anyio
import anyio.lowlevel
from msgspec import Struct

from cliffracer.errors import ConnectFailed, NotConnected, RequestTimeout, TransportError
from cliffracer.exits import summary_of
from cliffracer.names import subject_problem
from cliffracer.testing.faults import Faults
from cliffracer.testing.lane import Lane, Parcel
from cliffracer.testing.later import Later
from cliffracer.testing.rules import Crossing, Direction, Verdict
from cliffracer.transport.contract import (
    ConnectionClosed,
    ConnectionEvent,
    ConnectionLost,
    ConnectionRestored,
    Headers,
    Response,
    Sink,
    Subscription,
    Transport,
    Trouble,
    check_size,
)

__all__ = ["FaultStatistics", "FaultyTransport"]

_CLOSE_TIMEOUT = 5.0  # seconds that `close` waits for what is held back, as the NATS transport does for its buffer
_REPLIES_KNOWN = 10_000


class FaultStatistics(Struct, frozen=True):
    """What a `FaultyTransport` has done so far.

    Attributes:
        sent: Messages handed to the transport inside, requests and copies included.
        received: Messages given to subscribers, and replies given to those who asked.
        dropped: Messages that `Faults.drop` has taken.
        delayed: Messages that `Faults.delay` has held back.
        duplicated: Messages that `Faults.duplicate` has copied.
        reordered: Messages that `Faults.reorder` has held back until others came.
        lost: Messages on their way when the line was cut, and replies and events that came for nobody after that.
        held: Messages that are held back at the moment.
        cuts: How often the line was cut.
        connects_refused: How often `connect` was refused.
    """

    sent: int = 0
    received: int = 0
    dropped: int = 0
    delayed: int = 0
    duplicated: int = 0
    reordered: int = 0
    lost: int = 0
    held: int = 0
    cuts: int = 0
    connects_refused: int = 0


class _Line(Enum):
    UNUSED = "was never connected"
    UP = "is up"
    CUT = "was cut by the test"
    GONE = "is gone for good"
    CLOSED = "is closed"


class FaultyTransport(Transport):
    """Passes everything on to another transport, but for what its faults spoil, and while its line is not cut.

    It holds any transport; on `LocalTransport` with virtual time a delay of an hour takes no time.

    Attributes:
        faults: What goes wrong; may be changed at any time.
    """

    def __init__(self, inner: Transport, faults: Faults | None = None) -> None:
        """Put a transport into one on which things go wrong; nothing does until it is told.

        Args:
            inner: The transport that works; this one connects and closes it.
            faults: What goes wrong; may be shared with other transports. None of its own by default.
        """
        self.faults = Faults() if faults is None else faults
        self._inner = inner
        self._line = _Line.UNUSED
        self._inner_is_connected = False  # as far as we were told; else `connect` has to do it
        self._on_event: Callable[[ConnectionEvent], None] = lambda _: None
        self._lanes: dict[Direction, Lane] = {}
        self._subscriptions: dict[_FaultySubscription, None] = {}
        self._awaited: set[anyio.CancelScope] = set()  # requests
        self._asked: dict[str, str] = {}  # reply subject -> subject of the request that has come with it
        self._age = 0  # how often the line was cut
        self._counts: Counter[str] = Counter()

    # The line

    async def cut(self, *, for_good: bool = False) -> None:
        """Cut the line: what is on its way is lost, requests that wait fail, and nothing arrives.

        The broker notices at once, and gives this node's share to others. For a line that swallows everything while
        the broker notices nothing, use `faults.drop()`.

        Args:
            for_good: Whether the transport gives up on the connection, rather than wait for `restore`: then only a
                new `connect` helps, and that succeeds, unless `Faults.refuse_connect` says otherwise.

        Raises:
            NotConnected: It is not connected, so there is nothing to cut.
        """
        if self._line in (_Line.UNUSED, _Line.CLOSED):
            raise NotConnected(f"there is nothing to cut: the connection {self._line.value}.")
        if self._line is _Line.GONE:
            return
        was_up = self._line is _Line.UP
        self._line = _Line.GONE if for_good else _Line.CUT
        inner = [taken for subscription in self._subscriptions if (taken := subscription.let_go()) is not None]
        if was_up:
            self._age += 1
            self._counts["lost"] += sum(lane.clear() for lane in self._lanes.values())
            self._asked.clear()
            self._fail_requests()
            self._on_event(ConnectionLost(self.url))
        if for_good:
            self._on_event(ConnectionClosed("the test has cut the line for good"))
        with anyio.CancelScope(shield=True):
            for subscription in inner:
                await subscription.drain()

    async def restore(self) -> None:
        """Mend a line that was cut; when this returns, the broker knows all subscriptions. Harmless if it was not.

        A line that was cut for good stays so.
        """
        if self._line is not _Line.CUT:
            return
        # First, so that what arrives with the first subscription can be answered.
        self._line = _Line.UP
        await self._attach_all()
        if self.is_connected:
            self._on_event(ConnectionRestored(self.url))

    @asynccontextmanager
    async def outage(self) -> AsyncGenerator[None, None]:
        """Cut the line for the length of a block.

        Raises:
            NotConnected: It is not connected, so there is nothing to cut.
        """
        await self.cut()
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True):
                await self.restore()

    def statistics(self) -> FaultStatistics:
        """Return what it has done so far."""
        held = sum(map(len, self._lanes.values()))
        return FaultStatistics(**self._counts, held=held, cuts=self._age)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is held back, in either direction, but for what nodes have to say to each other."""
        return not any(lane.holds(_is_a_users) for lane in self._lanes.values())

    async def wait_empty(self) -> None:
        """Wait until nothing is held back, in either direction, but for what nodes have to say to each other."""
        for lane in self._lanes.values():
            await lane.wait_gone(_is_a_users)

    # As a transport

    @property
    def url(self) -> str:
        """Where the transport inside is connected to."""
        return self._inner.url

    @property
    def is_connected(self) -> bool:
        """Whether the transport inside is connected, and the line is not cut."""
        return self._line is _Line.UP and self._inner.is_connected

    @property
    def max_payload(self) -> int:
        """That of the transport inside."""
        return self._inner.max_payload

    async def connect(self, on_event: Callable[[ConnectionEvent], None]) -> None:
        """Connect; see `Transport.connect`. Fails under `Faults.refuse_connect`, and while the line is cut."""
        if self.faults.refuses_connect():
            self._counts["connects_refused"] += 1
            await anyio.lowlevel.checkpoint()
            raise ConnectFailed(f"the test refuses connections to {self.url}; see Faults.refuse_connect().")
        if self._line is _Line.CUT:
            await anyio.lowlevel.checkpoint()
            raise ConnectFailed(f"the test has cut the line to {self.url}; restore() mends it.")
        self._on_event = on_event
        if not self._lanes:
            later = Later()
            self._lanes = {"out": Lane(later), "in": Lane(later)}
        if not self._inner_is_connected:
            await self._inner.connect(self._on_inner_event)
            self._inner_is_connected = True
        await self._attach_all()
        self._line = _Line.UP

    def _on_inner_event(self, event: ConnectionEvent) -> None:
        if isinstance(event, ConnectionClosed):
            self._inner_is_connected = False
            self._line = _Line.GONE
        if isinstance(event, ConnectionClosed | ConnectionLost):
            self._fail_requests()
        # Of a line that is cut, the loss is known already.
        if self._line is not _Line.CUT or not isinstance(event, ConnectionLost | ConnectionRestored):
            self._on_event(event)

    async def _attach_all(self) -> None:
        has_news = False
        while missing := [subscription for subscription in self._subscriptions if not subscription.is_attached]:
            has_news = True
            for subscription in missing:
                await subscription.attach()
        if has_news and self._inner.is_connected:
            await self._inner.flush()

    def publish_nowait(self, subject: str, payload: bytes, *, reply: str = "", headers: Headers | None = None) -> None:
        """Send a message, or what the faults leave of it; see `Transport.publish_nowait`."""
        self._check(subject, payload, headers)
        verdict = self._judge_sent(subject, payload, headers)
        for _ in range(verdict.copies):
            if verdict.is_dropped:
                return
            if verdict.is_held:
                self._send_later(subject, payload, reply, headers, verdict)
            else:
                self._inner.publish_nowait(subject, payload, reply=reply, headers=headers)
                self._counts["sent"] += 1

    async def publish(
        self,
        subject: str,
        payload: bytes,
        *,
        reply: str = "",
        headers: Headers | None = None,
        timeout: float | None = None,
    ) -> None:
        """Send a message, or what the faults leave of it; see `Transport.publish`."""
        self._check(subject, payload, headers)
        if not self.faults.are_at_work:
            await self._inner.publish(subject, payload, reply=reply, headers=headers, timeout=timeout)
            self._counts["sent"] += 1
            return
        await anyio.lowlevel.checkpoint()
        self.publish_nowait(subject, payload, reply=reply, headers=headers)

    def _check(self, subject: str, payload: bytes, headers: Headers | None) -> None:
        """Refuse what the transport inside would refuse: it may not be asked at all."""
        if problem := subject_problem(subject):
            raise ValueError(f"cannot publish to {subject!r}: {problem}")
        check_size(payload, headers, self.max_payload)
        self._check_connected()

    def _check_connected(self) -> None:
        if not self.is_connected:
            why = "is down" if self._line is _Line.UP else self._line.value
            raise NotConnected(f"the connection to {self.url} {why}; nothing was sent", nothing_sent=True)

    def _judge_sent(self, subject: str, payload: bytes, headers: Headers | None) -> Verdict:
        asked = self._asked.pop(subject, None)
        return self._judge(Crossing("out", asked or subject, payload, headers, asked is not None))

    def _judge(self, message: Crossing) -> Verdict:
        verdict = self.faults.judge(message)
        for name, applies in (
            ("dropped", verdict.is_dropped),
            ("delayed", verdict.seconds > 0.0),
            ("duplicated", verdict.copies > 1),
            ("reordered", verdict.window is not None),
        ):
            if applies:
                self._counts[name] += 1
        return verdict

    def _send_later(self, subject: str, payload: bytes, reply: str, headers: Headers | None, verdict: Verdict) -> None:
        def send() -> None:
            try:
                self._inner.publish_nowait(subject, payload, reply=reply, headers=headers)
            except TransportError as error:
                self._lose(f"a message to {subject!r} was lost after it had been held back: {error}")
            else:
                self._counts["sent"] += 1

        self._lanes["out"].hold(Parcel(subject, send), verdict)

    def _lose(self, why: str) -> None:
        self._counts["lost"] += 1
        self._on_event(Trouble(why))

    async def request(
        self, subject: str, payload: bytes, *, headers: Headers | None = None, timeout: float | None = None
    ) -> Response:
        """Send a request, and wait for its reply, or what the faults leave of them; see `Transport.request`."""
        await anyio.lowlevel.checkpoint_if_cancelled()
        self._check(subject, payload, headers)
        with anyio.CancelScope() as until_cut:
            self._awaited.add(until_cut)
            try:
                with anyio.move_on_after(timeout):
                    return await self._ask(subject, payload, headers, anyio.current_effective_deadline())
            finally:
                self._awaited.discard(until_cut)
            raise RequestTimeout(f"no reply from {subject!r} within {timeout:.3g} s")
        raise NotConnected(
            f"the connection to {self.url} broke while the reply was awaited; the request may have been carried out"
        )

    async def _ask(self, subject: str, payload: bytes, headers: Headers | None, deadline: float) -> Response:
        verdict = self._judge_sent(subject, payload, headers)
        if verdict.is_dropped:
            await anyio.sleep_forever()
        if verdict.is_held:
            await self._lanes["out"].pass_through(subject, verdict)
        for _ in range(verdict.copies - 1):
            self._inner.publish_nowait(subject, payload, headers=headers)
            self._counts["sent"] += 1
        self._counts["sent"] += 1
        left = None if deadline == inf else max(deadline - anyio.current_time(), 0.0)
        response = await self._inner.request(subject, payload, headers=headers, timeout=left)
        verdict = self._judge(Crossing("in", subject, response.payload, response.headers, is_reply=True))
        if verdict.is_dropped:
            await anyio.sleep_forever()
        if verdict.is_held:
            await self._lanes["in"].pass_through(subject, verdict)
        self._counts["received"] += 1
        return response

    def _fail_requests(self) -> None:
        for scope in self._awaited:
            scope.cancel()

    async def subscribe(self, subject: str, sink: Sink, *, queue: str = "") -> Subscription:
        """Subscribe; see `Transport.subscribe`."""
        if problem := subject_problem(subject, wildcards=True):
            raise ValueError(f"cannot subscribe to {subject!r}: {problem}")
        if self._line in (_Line.UNUSED, _Line.CLOSED):
            raise NotConnected(f"the connection to {self.url} {self._line.value}")
        subscription = _FaultySubscription(self, subject, sink, queue)
        self._subscriptions[subscription] = None
        try:
            if self._line is _Line.UP:
                await subscription.attach()
            else:
                await anyio.lowlevel.checkpoint()  # it is noted, and there as soon as the line is
        except BaseException:
            self._subscriptions.pop(subscription, None)
            raise
        return subscription

    async def flush(self) -> None:
        """Wait until nothing that was sent is held back any more, and flush; see `Transport.flush`."""
        self._check_connected()
        await self._lanes["out"].wait_gone()
        self._check_connected()
        await self._inner.flush()

    async def close(self) -> None:
        """Wait a while for what is held back, and close; see `Transport.close`."""
        try:
            if self._line is _Line.UP:
                with anyio.move_on_after(_CLOSE_TIMEOUT, shield=True) as patience:
                    await self._lanes["out"].wait_gone()
                if patience.cancelled_caught:
                    self._on_event(Trouble(f"{len(self._lanes['out'])} messages that were held back are lost"))
        finally:
            await self._close_now()

    async def _close_now(self) -> None:
        self._line = _Line.CLOSED
        self._counts["lost"] += sum(lane.clear() for lane in self._lanes.values())
        self._fail_requests()
        self._subscriptions.clear()
        self._inner_is_connected = False
        await self._inner.close()

    # For its subscriptions

    async def attach(self, subject: str, sink: Sink, queue: str) -> Subscription:
        """Subscribe with the transport inside."""
        return await self._inner.subscribe(subject, sink, queue=queue)

    def take(
        self,
        subscription: "_FaultySubscription",
        age: int,
        subject: str,
        payload: bytes,
        reply: str,
        headers: Headers | None,
    ) -> None:
        """Take a message that arrives, and pass on what the faults leave of it."""
        if age != self._age or self._line is _Line.CLOSED:
            self._counts["lost"] += 1  # it was on its way when the line was cut
            return
        if reply:
            while len(self._asked) >= _REPLIES_KNOWN:
                del self._asked[next(iter(self._asked))]
            self._asked[reply] = subject
        verdict = self._judge(Crossing("in", subject, payload, headers, is_reply=False))
        for _ in range(verdict.copies):
            if verdict.is_dropped:
                return
            if verdict.is_held:
                self._deliver_later(subscription, verdict, (subject, payload, reply, headers))
            else:
                self._counts["received"] += 1
                subscription.sink(subject, payload, reply, headers)

    def _deliver_later(
        self,
        subscription: "_FaultySubscription",
        verdict: Verdict,
        message: tuple[str, bytes, str, Headers | None],
    ) -> None:
        def deliver() -> None:
            self._counts["received"] += 1
            try:
                subscription.sink(*message)
            except Exception as error:  # noqa: BLE001 - the event loop calls this: nobody is there to take it
                self._on_event(Trouble(f"a message to {message[0]!r} was lost to its sink: {summary_of(error)}"))

        self._lanes["in"].hold(Parcel(message[0], deliver, subscription), verdict)

    async def drained(self, subscription: "_FaultySubscription") -> None:
        """Wait until what has arrived for a subscription has been given to its sink."""
        if self._lanes:
            await self._lanes["in"].wait_gone(lambda parcel: parcel.owner is subscription)

    def forget(self, subscription: "_FaultySubscription") -> None:
        """Do not bring it back after a cut."""
        self._subscriptions.pop(subscription, None)

    def knows(self, subscription: "_FaultySubscription") -> bool:
        """Tell whether it is still wanted."""
        return subscription in self._subscriptions

    @property
    def age(self) -> int:
        """How often the line was cut; what was on its way before that arrives no more."""
        return self._age


def _is_a_users(parcel: Parcel) -> bool:
    # Nodes talk without a pause, on subjects with a token that begins so.
    return not any(token.startswith("$") for token in parcel.subject.split("."))


class _FaultySubscription(Subscription):
    """An interest that outlives a cut."""

    def __init__(self, transport: FaultyTransport, subject: str, sink: Sink, queue: str) -> None:
        self.sink = sink
        self._transport = transport
        self._subject = subject
        self._queue = queue
        self._inner: Subscription | None = None

    @property
    def is_attached(self) -> bool:
        """Whether the broker knows of it."""
        return self._inner is not None

    async def attach(self) -> None:
        """Let the broker know of it."""
        transport, age = self._transport, self._transport.age

        def take(subject: str, payload: bytes, reply: str, headers: Headers | None) -> None:
            transport.take(self, age, subject, payload, reply, headers)

        inner = await transport.attach(self._subject, take, self._queue)
        if age == transport.age and transport.knows(self) and self._inner is None:
            self._inner = inner
        else:  # cut, or drained, meanwhile
            with anyio.CancelScope(shield=True):
                await inner.drain()

    def let_go(self) -> Subscription | None:
        """Return what the broker knows it by, and forget that."""
        inner, self._inner = self._inner, None
        return inner

    async def drain(self) -> None:
        self._transport.forget(self)
        inner = self.let_go()
        if inner is None:
            await anyio.lowlevel.checkpoint()
        else:
            await inner.drain()
        await self._transport.drained(self)
