"""What a transport is. `tests/contract/` holds every transport to it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TypeAlias

from msgspec import Struct

from cliffracer.errors import PayloadTooLarge

__all__ = [
    "ConnectionClosed",
    "ConnectionEvent",
    "ConnectionLost",
    "ConnectionRestored",
    "Headers",
    "Response",
    "Sink",
    "SlowPath",
    "Subscription",
    "Transport",
    "Trouble",
    "check_size",
]

Headers: TypeAlias = Mapping[str, str]

Sink: TypeAlias = Callable[[str, bytes, str, Headers | None], bool | None]
"""Takes what arrives: subject, payload, reply subject (empty if none), headers (None if none).

It is called from the transport's own loop, in the order of arrival, so it must neither wait nor raise. It returns
whether its owner should get a turn before more comes, as one wants whose mailbox is full; None counts as no. A
transport that delivers from the sender's own call cannot heed that.
"""


class Response(Struct, frozen=True, gc=False):
    """The reply to a request."""

    payload: bytes
    headers: Headers | None = None


class ConnectionLost(Struct, frozen=True):
    """The connection is down; the transport tries to get it back."""

    url: str


class ConnectionRestored(Struct, frozen=True):
    """The connection is back, and so are all subscriptions."""

    url: str


class Trouble(Struct, frozen=True):
    """Something went wrong that no caller could be told of, such as a subscription that the broker does not permit."""

    error: str


class ConnectionClosed(Struct, frozen=True):
    """The connection is gone for good, and nobody asked for that; `connect` makes another one."""

    error: str


class SlowPath(Struct, frozen=True):
    """All works, but slower than it could; told once."""

    reason: str


ConnectionEvent: TypeAlias = ConnectionLost | ConnectionRestored | Trouble | ConnectionClosed | SlowPath


class Subscription(ABC):
    """An interest in a subject."""

    @abstractmethod
    async def drain(self) -> None:
        """End the subscription without loss.

        When this returns, all that was routed here has been given to the sink, and no more comes.

        Cancellation: the broker is told all the same; what it had sent before may still reach the sink.
        """


class Transport(ABC):
    """A connection to a broker. Make it, `connect` it, use it, `close` it.

    While the connection is down, what is to be sent is refused with `NotConnected`, and subscriptions are kept: they
    are there again as soon as the connection is.
    """

    @property
    @abstractmethod
    def url(self) -> str:
        """Where the broker is, for people; without credentials."""

    @property
    @abstractmethod
    def is_connected(self) -> bool:
        """Whether a message could be sent at this moment."""

    @property
    @abstractmethod
    def max_payload(self) -> int:
        """Bytes that payload and headers together may have."""

    @abstractmethod
    async def connect(self, on_event: Callable[[ConnectionEvent], None]) -> None:
        """Connect; or, when the connection is gone for good, make another one, with all subscriptions as they were.

        Args:
            on_event: Told what happens to the connection later on; must neither wait nor raise.

        Raises:
            ConnectFailed: There is no connection within the time allowed; the message says what to check.

        Cancellation: there is no connection; it may be tried again.
        """

    @abstractmethod
    def publish_nowait(self, subject: str, payload: bytes, *, reply: str = "", headers: Headers | None = None) -> None:
        """Hand a message to the broker; it has left this process when `flush` returns.

        Raises:
            OutboundFull: There is no room in the outbound buffer; nothing was queued.
            NotConnected: The connection is down; nothing was queued.
            PayloadTooLarge: Payload and headers are over `max_payload`.
            ValueError: A subject or header is malformed.
        """

    @abstractmethod
    async def publish(
        self,
        subject: str,
        payload: bytes,
        *,
        reply: str = "",
        headers: Headers | None = None,
        timeout: float | None = None,
    ) -> None:
        """Like `publish_nowait`, but wait for room in the outbound buffer.

        Args:
            subject: Where to.
            payload: What.
            reply: Where an answer is to go.
            headers: Headers of the message.
            timeout: Seconds to wait for room; then it is `OutboundFull`. None leaves that to the caller's cancel scope.

        Cancellation: nothing is queued. A task that publishes again and again, waits for nothing in between, and
        cancels a scope of its own meanwhile, may send some hundred more before that is noticed.
        """

    @abstractmethod
    async def request(
        self, subject: str, payload: bytes, *, headers: Headers | None = None, timeout: float | None = None
    ) -> Response:
        """Publish a message and wait for the first reply to it.

        Args:
            subject: Where to.
            payload: What.
            headers: Headers of the message.
            timeout: Seconds to wait, for room and for the reply; None leaves that to the caller's cancel scope.

        Raises:
            NoResponders: Nobody is subscribed to `subject`.
            RequestTimeout: No reply in time; somebody may have got the message.
            NotConnected: The connection is down, or went down while the reply was awaited.
            NotPermitted: The broker does not let us publish to `subject`.
            OutboundFull: There is no room in the outbound buffer; nothing was queued.
            PayloadTooLarge: Payload and headers are over `max_payload`.
            ValueError: A subject or header is malformed.

        Cancellation: the reply is dropped, the message is not recalled.
        """

    @abstractmethod
    async def subscribe(self, subject: str, sink: Sink, *, queue: str = "") -> Subscription:
        """Give to `sink` what is published to `subject`, which may hold the wildcards `*` and `>`.

        Args:
            subject: The subject or pattern.
            sink: Takes each message.
            queue: Of all subscriptions with the same queue group that match a message, one gets it; empty for none.

        The broker knows of it when `flush` returns; while the connection is down, as soon as that is back.

        Raises:
            NotConnected: There was no connection yet, or it has been closed.
            ValueError: The subject is malformed.
        """

    @abstractmethod
    async def flush(self) -> None:
        """Wait until the broker has taken in all that was handed over before, subscriptions included.

        Raises:
            NotConnected: The connection is down.
        """

    @abstractmethod
    async def close(self) -> None:
        """Send what is buffered, and close. Closing twice is harmless; requests that wait end with `NotConnected`."""


def check_size(payload: bytes, headers: Headers | None, limit: int) -> int:
    """Refuse what the broker would not take; return the size of payload and headers together.

    Raises:
        PayloadTooLarge: It is over `limit`.
    """
    headers_size = 0
    if headers:
        headers_size = 12 + sum(len(name) + len(value.encode()) + 4 for name, value in headers.items())
    size = len(payload) + headers_size
    if size > limit:
        raise PayloadTooLarge(
            f"{len(payload)} bytes of payload and {headers_size} of headers are over the broker's max_payload of "
            f"{limit}; nothing was sent. Send less, or a reference to where it is stored."
        )
    return size
