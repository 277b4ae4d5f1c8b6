"""The transport itself."""

# nats-py offers no public way to do what is done with its private names here; they have been stable since its 2.0.
# pyright: reportPrivateUsage=false, reportUnknownMemberType=false
# ruff: noqa: SLF001

import asyncio
import re
from collections.abc import Callable
from itertools import count
from typing import Any, NamedTuple, cast

import anyio
import anyio.lowlevel
from nats import errors as nats_errors

from cliffracer.errors import (
    ConnectFailed,
    NoResponders,
    NotConnected,
    NotPermitted,
    OutboundFull,
    PayloadTooLarge,
    RequestTimeout,
)
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
    Subscription,
    Transport,
    Trouble,
    check_size,
)
from cliffracer.transport.nats.client import DirectSink, SinkClient
from cliffracer.transport.nats.opening import PENDING_SIZE, abandon, open_client, to_the_end
from cliffracer.transport.nats.options import NatsOptions, without_credentials

__all__ = ["MAPPED_ERRORS", "NatsTransport"]

_ROOM = 8 * 1024 * 1024  # bytes in the outbound buffer above which `publish` and `request` wait
_LIMIT = PENDING_SIZE // 2  # bytes above which nothing at all is taken in
_PAUSE_EVERY = 64  # publishes after which others get a turn
_FLUSH_TIMEOUT = 10  # seconds
_CLOSE_TIMEOUT = 5.0  # seconds

# What nats-py raises in the calls made here, and what it becomes; a test fails when nats-py grows an error that
# is not accounted for.
MAPPED_ERRORS: dict[type[Exception], type[Exception]] = {
    nats_errors.BadSubjectError: ValueError,
    nats_errors.BadHeaderError: ValueError,
    nats_errors.ConnectionClosedError: NotConnected,
    nats_errors.ConnectionDrainingError: NotConnected,
    nats_errors.ConnectionReconnectingError: NotConnected,
    nats_errors.FlushTimeoutError: NotConnected,
    nats_errors.OutboundBufferLimitError: OutboundFull,
    nats_errors.MaxPayloadError: PayloadTooLarge,
}


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
        self.client: SinkClient | None = None
        self.sid = 0
        self._transport = transport

    async def drain(self) -> None:
        await self._transport.drain_subscription(self)


class _Awaited(NamedTuple):
    """A request whose reply is awaited."""

    subject: str
    reply: "asyncio.Future[Response]"


class NatsTransport(Transport):
    """A connection to a NATS server or cluster. Needs anyio's asyncio backend, as nats-py does."""

    def __init__(self, options: NatsOptions) -> None:
        """Prepare a connection; nothing is opened."""
        self._options = options
        self._new_client: Callable[[], SinkClient] = SinkClient
        self._client = SinkClient()
        self._on_event: Callable[[ConnectionEvent], None] = lambda _: None
        self._closing = False
        self._is_up = False  # what happens to the connection is worth telling
        self._subscriptions: dict[_NatsSubscription, None] = {}  # in the order in which they were made
        self._awaited: dict[str, _Awaited] = {}
        self._tokens = count(1)
        self._inbox = ""
        self._published = 0

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
            asyncio.get_running_loop()
        except RuntimeError:
            raise ConnectFailed(
                "nats-py runs on asyncio only: use anyio.run(..., backend='asyncio'), or nats='none' to do without."
            ) from None
        self._on_event = on_event
        client, earlier, earlier_inbox = self._new_client(), self._client, self._inbox
        # First the one that is lost goes, in silence: two at once would hear every event twice.
        self._is_up = False
        self._fail_requests("the connection was replaced while the reply was awaited")
        await abandon(earlier)
        await open_client(client, self._options, self._note_trouble, self._callbacks(client))
        self._client = client
        # A prefix of its own: an answer to what was asked over the earlier connection is nobody's.
        self._inbox = f"{client.new_inbox()}."
        try:
            await client.subscribe(self._inbox + "*", future=cast("Any", DirectSink(self._take_reply, on_event)))
            for subscription in list(self._subscriptions):
                await self._establish(subscription)
            await self.flush()
            self._is_up = True
        except (NotConnected, nats_errors.Error) as error:
            raise ConnectFailed(f"the connection to {self.url} broke as soon as it was made: {error}") from None
        finally:
            if not self._is_up:
                # Back to what is lost; and what happens to this one is nobody's business.
                self._client, self._inbox = earlier, earlier_inbox
                await abandon(client)

    def _callbacks(self, client: SinkClient) -> dict[str, Any]:
        def tell(event: ConnectionEvent) -> None:
            if client is self._client and self._is_up and not self._closing:
                self._on_event(event)

        async def on_disconnected() -> None:
            if client is self._client:
                self._fail_requests(
                    "the connection broke while the reply was awaited; the request may have been carried out"
                )
            tell(ConnectionLost(self.url))

        async def on_reconnected() -> None:
            tell(ConnectionRestored(self.url))

        async def on_closed() -> None:
            if client is self._client:
                self._fail_requests("the connection was closed while the reply was awaited")
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
            for subject, reply in self._awaited.values():
                # nats-py passes the server's words on in small letters.
                if subject.lower() == refused[1].lower() and not reply.done():
                    reply.set_exception(NotPermitted(f"the server does not let this node publish to {subject!r}"))
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
        self._fail_requests("the connection was closed while the reply was awaited")

    # Publish and request

    def publish_nowait(self, subject: str, payload: bytes, *, reply: str = "", headers: Headers | None = None) -> None:
        """Hand a message to nats-py; see `Transport.publish_nowait`."""
        client = self._client
        if not client.is_connected:
            raise NotConnected(f"the connection to {self.url} is down; nothing was sent", nothing_sent=True)
        if problem := subject_problem(subject) or (reply and self._reply_problem(reply)):
            raise ValueError(f"cannot publish to {subject!r}: {problem}")
        size = check_size(payload, headers, client.max_payload)
        if client.pending_data_size + size > _LIMIT:
            raise OutboundFull(f"{client.pending_data_size} bytes wait to be sent to {self.url}; nothing was queued")
        sending = client.publish(subject, payload, reply, cast("dict[str, str] | None", headers or None))
        try:
            # With the limits checked above, it has nothing to wait for: one step takes it to its end.
            sending.send(None)
        except StopIteration:
            pass
        except tuple(MAPPED_ERRORS) as error:
            raise MAPPED_ERRORS[type(error)](f"cannot publish to {subject!r}: {error}") from None
        finally:
            sending.close()

    def _reply_problem(self, reply: str) -> str | None:
        if reply.startswith(self._inbox):
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
        await anyio.lowlevel.checkpoint_if_cancelled()
        if self._client.pending_data_size > _ROOM:
            await self._wait_for_room(timeout)
        self._published += 1
        if self._published % _PAUSE_EVERY == 0:
            # nats-py never pauses by itself, and nothing leaves the process until somebody does. Before and not after:
            # whoever is cancelled has sent nothing.
            await anyio.lowlevel.checkpoint()
        self.publish_nowait(subject, payload, reply=reply, headers=headers)

    async def request(
        self, subject: str, payload: bytes, *, headers: Headers | None = None, timeout: float | None = None
    ) -> Response:
        """Publish a message and wait for the first reply; see `Transport.request`."""
        loop = asyncio.get_running_loop()
        if self._client.pending_data_size > _ROOM:
            began = loop.time()
            await self._wait_for_room(timeout)
            timeout = None if timeout is None else timeout - (loop.time() - began)
        token = f"{next(self._tokens):x}"
        reply: asyncio.Future[Response] = loop.create_future()
        expiry = None if timeout is None else loop.call_later(timeout, _expire, reply, subject, timeout)
        self._awaited[token] = _Awaited(subject, reply)
        try:
            self.publish_nowait(subject, payload, reply=self._inbox + token, headers=headers)
            return await reply
        finally:
            del self._awaited[token]
            if expiry is not None:
                expiry.cancel()

    def _take_reply(self, subject: str, payload: bytes, _: str, headers: Headers | None) -> None:
        awaited = self._awaited.get(subject[len(self._inbox) :])
        if awaited is None or awaited.reply.done():
            return  # too late, or a second one: nobody waits for it
        reply = awaited.reply
        if headers is not None and not payload and headers.get("Status") == "503":
            reply.set_exception(NoResponders("nobody is subscribed to the subject of the request"))
        else:
            reply.set_result(Response(payload, headers))

    def _fail_requests(self, why: str) -> None:
        for _, reply in self._awaited.values():
            if not reply.done():
                reply.set_exception(NotConnected(why))

    async def _wait_for_room(self, timeout: float | None) -> None:
        with anyio.move_on_after(timeout):
            while self._client.is_connected and self._client.pending_data_size > _ROOM:
                await self._write_out()
            return
        waiting = self._client.pending_data_size
        raise OutboundFull(f"{waiting} bytes waited for {timeout:.3g} s to be sent to {self.url}; nothing was queued")

    async def _write_out(self) -> None:
        """Wait until nats-py has written its buffer to the socket."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue: asyncio.Queue[Any] | None = self._client._flush_queue
        flusher = cast("asyncio.Task[None] | None", self._client._flusher_task)
        if queue is None or flusher is None or flusher.done():
            raise NotConnected(f"the connection to {self.url} is down", nothing_sent=True)
        await queue.put(written)
        # If the connection breaks meanwhile the flusher is gone, and nobody will ever answer.
        await asyncio.wait({written, flusher}, return_when=asyncio.FIRST_COMPLETED)
        if not written.done():
            raise NotConnected(f"the connection to {self.url} broke before all was sent", nothing_sent=True)

    # Subscribe

    async def subscribe(self, subject: str, sink: Sink, *, queue: str = "") -> Subscription:
        """Subscribe; see `Transport.subscribe`."""
        if problem := subject_problem(subject, wildcards=True):
            raise ValueError(f"cannot subscribe to {subject!r}: {problem}")
        if self._closing or not self._inbox:
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
                await client._send_unsubscribe(subscription.sid)
            if client.is_connected:
                await self.flush()
        except (NotConnected, nats_errors.Error):
            # The connection broke: the server has dropped the subscription by itself, and removing it
            # keeps it from being replayed.
            return
        finally:
            client._remove_sub(subscription.sid)

    async def flush(self) -> None:
        """Write out the buffer, then PING, and wait for PONG; see `Transport.flush`."""
        await anyio.lowlevel.checkpoint_if_cancelled()
        if not self._client.is_connected:
            raise NotConnected(f"the connection to {self.url} is down")
        await self._write_out()
        try:
            await self._client.flush(timeout=_FLUSH_TIMEOUT)
        except tuple(MAPPED_ERRORS) as error:
            raise NotConnected(f"the connection to {self.url} broke before all was sent: {error}") from None


def _expire(reply: "asyncio.Future[Response]", subject: str, timeout: float) -> None:
    if not reply.done():
        reply.set_exception(RequestTimeout(f"no reply from {subject!r} within {timeout:.3g} s"))
