"""Answers to whoever asked over the transport, and where they may go."""

from typing import Any

from cliffracer.actor.host import Host
from cliffracer.codec import Wire, encode
from cliffracer.errors import CallError, MessageTooLarge, PayloadTooLarge, Refusal, TransportError
from cliffracer.node.wire import error_reply
from cliffracer.observe.logs import Throttle, shortened
from cliffracer.transport.contract import Headers, Transport

__all__ = ["RemoteReply", "Replies"]

_SURELY_FITS = 1024  # bytes of an error reply that no broker refuses


class Replies:
    """Sends the replies of one node.

    A reply is sent with the rights of this node, to a subject that somebody else has chosen. So it goes to inboxes
    only: otherwise a stranger could have this node call its own actors, or the broker's interfaces.
    """

    def __init__(self, transport: Transport, host: Host, prefixes: tuple[str, ...]) -> None:
        """Prepare.

        Args:
            transport: The way out.
            host: The node; it logs what goes wrong.
            prefixes: Subjects, with their dot, under which there are inboxes besides those that begin with "_".
        """
        self._transport = transport
        self._host = host
        self._prefixes = ("_", *prefixes)
        self.lost = 0
        """How many could not be sent."""
        self._reports = Throttle(1.0, host.timers.clock)

    def may_go_to(self, subject: str) -> bool:
        """Tell whether `subject` is an inbox."""
        return subject.startswith(self._prefixes)

    def answer(self, subject: str, payload: bytes, target: str) -> None:
        """Answer a question that was put to the node itself; count and log it if that cannot be sent.

        Args:
            subject: Where to.
            payload: What.
            target: What was asked for, for the log.

        Raises:
            PayloadTooLarge: It is larger than the broker takes; it is not counted.
        """
        if self.may_go_to(subject):
            self.send(subject, payload, None, target)
        else:
            self.report_lost(target, f"{subject!r} is no inbox; see CLIFFRACER_REPLY_PREFIXES")

    def send(self, subject: str, payload: bytes, headers: Headers | None, target: str) -> None:
        """Send a reply to an inbox; count and log it if it cannot be sent.

        Args:
            subject: Where to.
            payload: What.
            headers: Headers of the reply.
            target: Who answers, for the log.

        Raises:
            PayloadTooLarge: It is larger than the broker takes; it is not counted.
        """
        try:
            self._transport.publish_nowait(subject, payload, headers=headers)
        except PayloadTooLarge:
            raise
        except (TransportError, ValueError) as error:
            self.report_lost(target, shortened(str(error)))

    def report_lost(self, target: str, problem: str) -> None:
        """Count a reply that could not be sent, and log it, at most once a second."""
        self.lost += 1
        if self._reports.ready():
            self._host.log.warning("reply_lost", target=target, problem=problem, total=self.lost)


class RemoteReply:
    """Sends the answer to one call. Meets `ReplyTo`."""

    __slots__ = ("_answered", "_replies", "_subject", "_target", "_wire")

    def __init__(self, replies: Replies, subject: str, target: str, wire: Wire) -> None:
        self._replies = replies
        self._subject = subject
        self._target = target
        self._wire: Wire = wire
        self._answered = False

    def answer(self, value: Any) -> None:
        """Send the result."""
        # What cannot be encoded raises here, inside the handler's turn: the actor broke its word, and crashes.
        self._send(encode(value, self._wire), None)

    def fail(self, error: CallError | Refusal) -> None:
        """Send a refusal, or the reason why there is no result."""
        payload, headers = error_reply(error, self._wire)
        self._send(payload, headers)

    def _send(self, payload: bytes, headers: Headers | None) -> None:
        if self._answered:
            return
        self._answered = True
        try:
            self._replies.send(self._subject, payload, headers, self._target)
        except PayloadTooLarge as error:
            self._answered = False
            if headers is None or len(payload) > _SURELY_FITS:
                self.fail(MessageTooLarge(self._target, f"the answer is too large: {error}"))
