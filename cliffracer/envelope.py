"""What travels: a message, where its answer goes, and the signals that overtake it.

On the wire the context of a message is one packed header of our own, `Cliffracer`, with three fields separated by a
blank:

    Cliffracer: 4.998 7f3a9c01-2b customer,orders

seconds left, correlation id, the names of the actors that wait for this call; `-` stands for a field that is not there.
Beside it only `traceparent` (W3C Trace Context), passed on as it came; one that is malformed is not passed on.
"""

import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from math import inf, isfinite
from secrets import token_hex
from typing import Any, Protocol, TypeAlias

from msgspec import Struct

from cliffracer.errors import CallError, Refusal
from cliffracer.exits import Exit
from cliffracer.names import is_name

__all__ = [
    "CONTEXT_HEADER",
    "NOBODY",
    "Arrived",
    "Fallen",
    "Inspect",
    "Message",
    "NodeNews",
    "ReplyTo",
    "Resume",
    "Signal",
    "Stop",
    "Suspend",
    "correlation_of",
    "current_message",
    "outgoing_context",
    "pack_context",
    "unpack_context",
]

CONTEXT_HEADER = "Cliffracer"
TRACE_HEADER = "traceparent"
# W3C Trace Context, 3.2; a version to come may add more after the flags.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[!-~]{0,64})?")
_SECONDS = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?")
_MAX_CORRELATION = 64
_MAX_CHAIN = 64


class ReplyTo(Protocol):
    """Where the answer to a call goes. The first answer counts; later ones are dropped."""

    def answer(self, value: Any) -> None:
        """Hand over the result."""
        ...

    def fail(self, error: CallError | Refusal) -> None:
        """Hand over a refusal, or the reason why there is no result."""
        ...


class _Nobody:
    """Where an answer goes that comes too late. Meets `ReplyTo`."""

    def answer(self, value: Any) -> None:
        """Drop the result."""

    def fail(self, error: CallError | Refusal) -> None:
        """Drop the reason."""


NOBODY: ReplyTo = _Nobody()
"""For `reply_to` of a message that has been handled."""


class Message(Struct, eq=False):
    """A user's message on its way to an actor.

    Attributes:
        to: Name of the receiving actor; empty for what a function works on, which nobody can call.
        handler: Name of the handler that is to take it.
        args: Positional arguments for the handler, already checked against its signature.
        kwargs: Keyword arguments, or None where there are none, which is nearly always.
        reply_to: Where the answer goes; None for a cast, an event or a tick.
        deadline: When the caller gives up, in seconds of the node's clock; infinite if nobody waits.
        chain: Names of the actors that wait for this message, the first caller first.
        correlation: Id shared by everything that one outside request causes; empty until `correlation_of` makes it.
        trace: What came as W3C `traceparent`, or None; it is checked when it is passed on.
    """

    to: str
    handler: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] | None = None
    reply_to: ReplyTo | None = None
    deadline: float = inf
    chain: tuple[str, ...] = ()
    correlation: str = ""
    trace: str | None = None

    @property
    def target(self) -> str:
        """The receiver and its handler, `inventory.reserve`."""
        return f"{self.to}.{self.handler}"


class Arrived(Message, eq=False, gc=False):
    """A message from outside of this process.

    Python's garbage collector does not look into it, for thousands of them may wait. So none may be part of a cycle.
    What came over the wire refers to nothing here until a handler has it; so the actor empties what it has handled.
    """


class Stop(Struct, frozen=True):
    """The signal that ends an actor after the message in its hands.

    Attributes:
        reason: Why.
        ordered: Whether somebody waits for it, and sees to it that it does not take too long.
    """

    reason: Exit
    ordered: bool = True


class Fallen(Struct, frozen=True, eq=False):
    """The signal that something an actor monitors has ended.

    Attributes:
        monitor: Whose notice this is; the actor drops it if it has taken the monitor away meanwhile.
        reason: An `Exit`, or that its node has gone; None if it was gone already.
        incarnation: Which incarnation of it has ended; 0 if it was gone already.
        node: The name of the node where it ran; empty if that is unknown.
    """

    monitor: object
    reason: object
    incarnation: int
    node: str = ""


class NodeNews(Struct, frozen=True, eq=False):
    """The signal that a node has joined, or has gone.

    Attributes:
        change: What to tell the actor.
    """

    change: object


class Suspend(Struct, frozen=True):
    """The signal to take no more messages; signals are heard all the same."""


class Resume(Struct, frozen=True):
    """The signal to take messages again."""


class Inspect(Struct, frozen=True, eq=False):
    """The signal to answer with a copy of the actor's state."""

    reply_to: ReplyTo


Signal: TypeAlias = Stop | Fallen | NodeNews | Suspend | Resume | Inspect


current_message: ContextVar[Message | None] = ContextVar("current_message", default=None)
"""The message that the running handler works on: calls made meanwhile inherit its deadline, chain and correlation."""


def correlation_of(message: Message) -> str:
    """Return the correlation id of `message`; whoever needs it first makes it, and nearly no message needs one."""
    if not message.correlation:
        message.correlation = token_hex(8)
    return message.correlation


def pack_context(message: Message, now: float) -> dict[str, str]:
    """Return the headers that carry the context of `message`.

    Args:
        message: The message to send.
        now: The node's clock. Only the time left goes out, so that the clocks of two hosts need not agree.
    """
    left = f"{message.deadline - now:.6g}" if isfinite(message.deadline) else "-"
    headers = {CONTEXT_HEADER: f"{left} {message.correlation or '-'} {','.join(message.chain) or '-'}"}
    if message.trace is not None and _TRACEPARENT.fullmatch(message.trace):
        headers[TRACE_HEADER] = message.trace
    return headers


def outgoing_context(current: Message | None) -> dict[str, str] | None:
    """Return the headers of an event published by a handler that works on `current`.

    Correlation and trace, and nobody waits.
    """
    if current is None:
        return None
    return pack_context(Message("", "", correlation=correlation_of(current), trace=current.trace), 0.0)


def unpack_context(headers: Mapping[str, str], message: Message, clock: Callable[[], float]) -> None:
    """Fill deadline, chain, correlation and trace of `message` from `headers`, those of them that are there.

    Raises:
        ValueError: The packed header is malformed; the message says how.
    """
    message.trace = headers.get(TRACE_HEADER)
    packed = headers.get(CONTEXT_HEADER)
    if packed is None:
        return
    try:
        left, correlation, chain = packed.split(" ")
        if left != "-":
            message.deadline = clock() + _finite(left)
    except ValueError:
        raise ValueError(
            f"the header {CONTEXT_HEADER!r} must be '<seconds left> <correlation id> <chain>', each '-' if not there"
        ) from None
    if correlation != "-":
        if not 0 < len(correlation) <= _MAX_CORRELATION or not correlation.isprintable():
            raise ValueError(f"the correlation id is over {_MAX_CORRELATION} characters, empty, or not printable")
        message.correlation = correlation
    if chain != "-":
        names = chain.split(",")
        if len(names) > _MAX_CHAIN or not all(is_name(name) for name in names):
            raise ValueError(f"the call chain must be at most {_MAX_CHAIN} actor names, joined by commas")
        message.chain = tuple(names)


def _finite(text: str) -> float:
    # Python's float() takes more than a number: '1_0', digits of other scripts, 'nan'.
    seconds = float(text) if _SECONDS.fullmatch(text) else inf
    if not isfinite(seconds):
        raise ValueError(text)
    return seconds
