"""The way from nats-py to our sinks that nats-py itself offers."""

from collections.abc import Callable

from nats.aio.msg import Msg

from cliffracer.exits import summary_of
from cliffracer.transport.contract import ConnectionEvent, Headers, Sink, Trouble

__all__ = ["DirectSink"]


class DirectSink:
    """Passes for a future in `Client.subscribe(future=...)`: the read loop hands each message to it.

    Attributes:
        sink: Takes each message in parts, and may raise; `take` is the way in that may not.
    """

    __slots__ = ("_on_fault", "sink")

    def __init__(self, sink: Sink, on_fault: Callable[[ConnectionEvent], None]) -> None:
        self.sink = sink
        self._on_fault = on_fault

    def cancelled(self) -> bool:
        """Nobody gives up here; nats-py asks before each message."""
        return False

    def set_result(self, message: Msg) -> None:
        """Take a message as nats-py delivers it."""
        self.take(message.subject, message.data, message.reply, message.headers)

    def take(self, subject: str, payload: bytes, reply: str, headers: Headers | None) -> bool:
        """Take a message in parts; return whether its owner should get a turn before more comes."""
        try:
            return bool(self.sink(subject, payload, reply, headers))
        except Exception as error:  # noqa: BLE001 - the edge to nats-py: what escapes here ends its read loop for good
            self.fault(subject, error)
            return False

    def fault(self, subject: str, error: Exception) -> None:
        """Report a message that was lost because the sink raised."""
        self.drop(f"a message to {subject!r} was lost to a fault in its sink: {summary_of(error)}")

    def drop(self, why: str) -> None:
        """Report a message that the sink does not get."""
        self._on_fault(Trouble(why))
