"""The transport itself."""

# nats-py offers no public way to do what is done with its private names here; they have been stable since its 2.0.
# pyright: reportPrivateUsage=false, reportUnknownMemberType=false
# ruff: noqa: SLF001

import asyncio
import re
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, cast

import anyio
import anyio.lowlevel
from nats import errors as nats_errors

from cliffracer.errors import ConnectFailed, NotConnected, OutboundFull
from cliffracer.exits import summary_of
from cliffracer.names import subject_problem
from cliffracer.transport.contract import (
    ConnectionClosed,
    ConnectionEvent,
    ConnectionLost,
    ConnectionRestored,
    Headers,
    Response,
    Sink,
    SlowPath,
    Subscription,
    Transport,
    Trouble,
)
from cliffracer.transport.nats.client import MAPPED_ERRORS, StockClient
from cliffracer.transport.nats.opening import abandon, open_client, to_the_end
from cliffracer.transport.nats.options import NatsOptions, without_credentials
from cliffracer.transport.nats.requests import Requests
from cliffracer.transport.nats.sinks import DirectSink
from cliffracer.transport.nats.versions import COVERED

__all__ = ["NatsTransport"]

_ROOM = 8 * 1024 * 1024  # bytes in the outbound buffer above which `publish` and `request` wait
_SUBJECTS_KEPT = 1024
_PAUSE_EVERY = 256  # publishes after which others get a turn
_FLUSH_TIMEOUT = 10  # seconds
_CLOSE_TIMEOUT = 5.0  # seconds

_REFUSED_PUBLISH = re.compile(
    r"permissions violation for publish(?: with reply of [^ ]+)? to \"([^\"]+)\"", re.IGNORECASE
)


class _NatsSubscription(Subscription):
    """An interest that outlives connections.

    Attributes:
        subject: The subject or pattern.
        queue: Its queue group; empty for none.
        sink: Takes each message.
        client: The connection that the server knows it on; None if there was none yet.
        sid: Its number there.
    """

    def __init__(self, transport: "NatsTransport", subject: str, queue: str, sink: DirectSink) -> None:
        self.subject = subject
        self.queue = queue
        self.sink = sink
        self.client: StockClient | None = None
        self.sid = 0
        self._transport = transport

    async def drain(self) -> None:
        await self._transport.drain_subscription(self)


class NatsTransport(Transport):
    """A connection to a NATS server or cluster. Needs anyio's asyncio backend, as nats-py does."""

    def __init__(self, options: NatsOptions) -> None:
        """Prepare a connection; nothing is opened."""
        self._options = options
        self._new_client: Callable[[], StockClient] = StockClient
        self._client = StockClient()
        self._on_event: Callable[[ConnectionEvent], None] = lambda _: None
        self._closing = False
        self._is_up = False  # what happens to the connection is worth telling
        self._subscriptions: dict[_NatsSubscription, None] = {}  # in the order in which they were made
        self._awaited = Requests()
        self._slow_path: SlowPath | None = None  # to be told once
        self._published = 0
        self._publisher: asyncio.Task[Any] | None = None  # the last task that was asked whether it is cancelled
        self._loop: asyncio.AbstractEventLoop | None = None
        self._subjects: dict[str, bytes] = {}  # that have been checked
        if (theirs := version("nats-py")) in COVERED:
            # Only now: with another version it might not even import.
            from cliffracer.transport.nats.fast import FastClient  # noqa: PLC0415

            self._new_client = FastClient
        else:
            self._slow_path = SlowPath(f"nats-py {theirs} is not among those tested: {', '.join(sorted(COVERED))}")

    @property
    def url(self) -> str:
        """The server in use, or the configured ones."""
        connected = self._client.connected_url
        servers = [connected.geturl()] if connected is not None else self._options.servers
        return ", ".join(without_credentials(server) for server in servers)

    @property
    def is_connected(self) -> bool:
        """Whether the server is there at this moment."""
        return self._client.is_connected

    @property
    def max_payload(self) -> int:
        """What the server said when it greeted."""
        return self._client.max_payload

    # Connect and close

    async def connect(self, on_event: Callable[[ConnectionEvent], None]) -> None:
        """Connect, retrying until `connect_timeout`; see `Transport.connect`.

        A connection that nats-py has given up, or does not get back, is replaced by another one.
        """
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            raise ConnectFailed(
                "nats-py runs on asyncio only: use anyio.run(..., backend='asyncio'), or nats='none' to do without."
            ) from None
        self._on_event = on_event
        client, earlier, earlier_inbox = self._new_client(), self._client, self._awaited.inbox
        # First the one that is lost goes, in silence: two at once would hear every event twice.
        self._is_up = False
        self._awaited.fail_all("the connection was replaced while the reply was awaited")
        await abandon(earlier)
        await open_client(client, self._options, self._note_trouble, self._callbacks(client))
        self._client = client
        # A prefix of its own: an answer to what was asked over the earlier connection is nobody's.
        self._awaited.inbox = f"{client.new_inbox()}."
        try:
            replies = cast("Any", DirectSink(self._awaited.take, on_event))
            await client.subscribe(self._awaited.inbox + "*", future=replies)
            for subscription in list(self._subscriptions):
                await self._establish(subscription)
            await self.flush()
            self._is_up = True
            if self._slow_path is not None:
                on_event(self._slow_path)
                self._slow_path = None
        except (NotConnected, nats_errors.Error) as error:
            raise ConnectFailed(f"the connection to {self.url} broke as soon as it was made: {error}") from None
        finally:
            if not self._is_up:
                # Back to what is lost; and what happens to this one is nobody's business.
                self._client, self._awaited.inbox = earlier, earlier_inbox
                await abandon(client)

    def _callbacks(self, client: StockClient) -> dict[str, Any]:
        def tell(event: ConnectionEvent) -> None:
            if client is self._client and self._is_up and not self._closing:
                self._on_event(event)

        async def on_disconnected() -> None:
            if client is self._client:
                self._awaited.fail_all(
                    "the connection broke while the reply was awaited; the request may have been carried out"
                )
            tell(ConnectionLost(self.url))

        async def on_reconnected() -> None:
            tell(ConnectionRestored(self.url))

        async def on_closed() -> None:
            if client is self._client:
                self._awaited.fail_all("the connection was closed while the reply was awaited")
            tell(ConnectionClosed(summary_of(client.last_error or OSError("no reason given"))))

        async def on_lame_duck() -> None:
            tell(Trouble(f"the server at {self.url} is about to shut down (lame duck mode)"))

        return {
            "disconnected_cb": on_disconnected,
            "reconnected_cb": on_reconnected,
            "closed_cb": on_closed,
            "lame_duck_mode_cb": on_lame_duck,
        }

    def _note_trouble(self, error: Exception) -> None:
        """Report what the server says about nothing that nats-py could name; a refused request ends at once."""
        refused = _REFUSED_PUBLISH.search(str(error))
        if refused is not None:
            self._awaited.refuse(refused[1])
        self._on_event(Trouble(summary_of(error)))

    async def close(self) -> None:
        """Send what is buffered, and close; see `Transport.close`."""
        self._closing = True
        await to_the_end(self._flush_and_close())

    async def _flush_and_close(self) -> None:
        if self.is_connected:
            with anyio.move_on_after(_CLOSE_TIMEOUT):
                try:
                    await self.flush()
                except NotConnected as error:
                    self._on_event(Trouble(f"what was still buffered may be lost: {error}"))
        await abandon(self._client)
        self._subscriptions.clear()
        self._awaited.fail_all("the connection was closed while the reply was awaited")

    # Publish and request

    def publish_nowait(self, subject: str, payload: bytes, *, reply: str = "", headers: Headers | None = None) -> None:
        """Hand a message to nats-py; see `Transport.publish_nowait`."""
        client = self._client
        where = self._subjects.get(subject) or self._checked(subject)
        if reply and (problem := self._reply_problem(reply)):
            raise ValueError(f"cannot publish to {subject!r}: {problem}")
        if not client.has_room:
            self._require_connection()
            waiting = client.pending_data_size
            raise OutboundFull(f"{waiting} bytes wait to be sent to {self.url}; nothing was queued")
        client.send(where, payload, reply, headers)

    def _require_connection(self) -> None:
        if not self._client.is_connected:
            raise NotConnected(f"the connection to {self.url} is down; nothing was sent", nothing_sent=True)

    def _checked(self, subject: str) -> bytes:
        """Return the bytes of a subject that can be published to; remember them, unless it is an inbox, used once."""
        if problem := subject_problem(subject):
            raise ValueError(f"cannot publish to {subject!r}: {problem}")
        where = subject.encode()
        if not subject.startswith("_"):
            if len(self._subjects) >= _SUBJECTS_KEPT:
                self._subjects.clear()
            self._subjects[subject] = where
        return where

    def _reply_problem(self, reply: str) -> str | None:
        if reply.startswith(self._awaited.inbox):
            return None
        problem = subject_problem(reply)
        return problem and f"its reply subject {reply!r}: {problem}"

    async def publish(
        self,
        subject: str,
        payload: bytes,
        *,
        reply: str = "",
        headers: Headers | None = None,
        timeout: float | None = None,
    ) -> None:
        """Hand a message to nats-py, once there is room; see `Transport.publish`."""
        # All of this before the message, and not after: whoever is cancelled has sent nothing.
        if self._client.pending_data_size > _ROOM:
            await self._wait_for_room(timeout)
        self._published += 1
        if self._published % _PAUSE_EVERY == 0:
            # nats-py never pauses by itself, and nothing leaves the process until somebody does.
            await anyio.lowlevel.checkpoint()
        elif not self._client.will_write or asyncio.current_task(self._loop) is not self._publisher:
            # Nearly as dear as the message itself, so a task that publishes again and again without waiting in between
            # is asked once in a turn of the loop: until the loop has turned, nobody but itself can cancel it.
            await anyio.lowlevel.checkpoint_if_cancelled()
            self._publisher = asyncio.current_task(self._loop)
        self.publish_nowait(subject, payload, reply=reply, headers=headers)

    async def request(
        self, subject: str, payload: bytes, *, headers: Headers | None = None, timeout: float | None = None
    ) -> Response:
        """Publish a message and wait for the first reply; see `Transport.request`."""
        if self._client.pending_data_size > _ROOM:
            began = anyio.current_time()
            await self._wait_for_room(timeout)
            timeout = None if timeout is None else timeout - (anyio.current_time() - began)
        awaited = self._awaited
        token, reply = awaited.open(subject, timeout)
        try:
            self.publish_nowait(subject, payload, reply=awaited.inbox + token, headers=headers)
            return await reply
        finally:
            awaited.close(token)

    async def _wait_for_room(self, timeout: float | None) -> None:
        with anyio.move_on_after(timeout):
            while self._client.is_connected and self._client.pending_data_size > _ROOM:
                await self._client.write_out(self.url)
            return
        waiting = self._client.pending_data_size
        raise OutboundFull(f"{waiting} bytes waited for {timeout:.3g} s to be sent to {self.url}; nothing was queued")

    # Subscribe

    async def subscribe(self, subject: str, sink: Sink, *, queue: str = "") -> Subscription:
        """Subscribe; see `Transport.subscribe`."""
        if problem := subject_problem(subject, wildcards=True):
            raise ValueError(f"cannot subscribe to {subject!r}: {problem}")
        if self._closing or not self._awaited.inbox:
            raise NotConnected(f"cannot subscribe to {subject!r}: there is no connection")
        subscription = _NatsSubscription(self, subject, queue, DirectSink(sink, self._on_event))
        self._subscriptions[subscription] = None
        try:
            await self._establish(subscription)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await subscription.drain()
            raise
        return subscription

    async def _establish(self, subscription: _NatsSubscription) -> None:
        """Tell the server of `subscription`, unless the connection is gone for good: then the next one does."""
        client = self._client
        # One that ended while those before it were established must not come back.
        if client.is_closed or subscription.client is client or subscription not in self._subscriptions:
            return
        sink = cast("Any", subscription.sink)
        made: Any = await client.subscribe(subscription.subject, queue=subscription.queue, future=sink)
        subscription.client, subscription.sid = client, made._id

    async def drain_subscription(self, subscription: _NatsSubscription) -> None:
        """End a subscription: UNSUB on the wire ahead of PING, so that after PONG nothing more can come."""
        self._subscriptions.pop(subscription, None)
        client = subscription.client
        if client is None or client is not self._client:
            return  # the server has never heard of it, or has dropped it with the connection that it was made on
        try:
            if not client.is_closed:
                # Also while nats-py reconnects: a SUB made meanwhile waits in its buffer, and this goes behind it.
                await client.send_unsubscribe(subscription.sid)
            if client.is_connected:
                await self.flush()
        except (NotConnected, nats_errors.Error):
            # The connection broke: the server has dropped the subscription by itself, and removing it
            # keeps it from being replayed.
            return
        finally:
            client.forget(subscription.sid)

    async def flush(self) -> None:
        """Write out the buffer, then PING, and wait for PONG; see `Transport.flush`."""
        await anyio.lowlevel.checkpoint_if_cancelled()
        if not self._client.is_connected:
            raise NotConnected(f"the connection to {self.url} is down")
        await self._client.write_out(self.url)
        try:
            await self._client.flush(timeout=_FLUSH_TIMEOUT)
        except tuple(MAPPED_ERRORS) as error:
            raise NotConnected(f"the connection to {self.url} broke before all was sent: {error}") from None
