"""Numbered messages of all kinds, and what to look at when one arrives."""

import zlib
from typing import NamedTuple

from cliffracer.transport.contract import Headers

__all__ = ["SUBSCRIPTIONS", "Arrivals", "Sent", "message"]

KINDS = ("plain", "headers", "replies")
SUBSCRIPTIONS = {
    "soak.plain.*": ("", 3),
    "soak.headers.*": ("", 3),
    "soak.replies.*": ("", 3),
    "soak.>": ("", 1),
    "soak.*.*": ("q", 1),
}
"""Subject -> queue group, and by how much the number rises from one message to the next."""

BODY = b"MSG soak.plain.1 1 5\r\nPING\r\n" * 10_000  # what would mislead a parser that has lost its place
PAUSE_EVERY = 997  # messages after which a sink asks for a turn for others


class Sent(NamedTuple):
    """What is sent, but for what the number tells of it."""

    subject: str
    payload: bytes
    reply: str
    headers: Headers | None


def message(number: int) -> Sent:
    """Return the message of that number: its kind, its size and all that is in it follow from the number."""
    kind = KINDS[number % 3]
    if number % 2003 == 0:
        size = 60_000 + number % 100_000
    elif number % 101 == 0:
        size = number % 5000
    else:
        size = number % 90
    content = b"%d:%b" % (number, BODY[:size])
    reply = f"answer.{number}" if kind == "replies" else ""
    headers = None
    if kind == "headers":
        # Every tenth takes nats-py's own way out; what arrives is the same.
        headers = {"Number": f" {number}" if number % 10 == 0 else str(number), "traceparent": f"00-{number:032x}-01"}
    return Sent(f"soak.{kind}.{number % 7}", b"%b:%08x" % (content, zlib.crc32(content)), reply, headers)


class Arrivals:
    """What arrived at one subscription.

    Attributes:
        count: Messages.
        last: The number of the last one.
        gaps: How often at least one number was missing.
        faults: What should not have happened, in words; the first few.
    """

    def __init__(self, subject: str, step: int) -> None:
        self._subject = subject
        self._step = step
        self.count = 0
        self.last = -1
        self.gaps = 0
        self.faults: list[str] = []

    def take(self, subject: str, payload: bytes, reply: str, headers: Headers | None) -> bool:
        """Take a message; it is a sink."""
        content, _, checksum = payload.rpartition(b":")
        digits = content.partition(b":")[0]
        if b"%08x" % zlib.crc32(content) != checksum or not digits.isdigit():
            self._note(f"{subject}: {len(payload)} bytes are torn: {payload[:40]!r}...{payload[-40:]!r}")
            return False
        number = int(digits)
        kind = number % 3
        whole = subject == f"soak.{KINDS[kind]}.{number % 7}" and reply == (f"answer.{number}" if kind == 2 else "")
        if kind == 1:
            whole = whole and headers == {"Number": str(number), "traceparent": f"00-{number:032x}-01"}
        elif headers is not None:
            whole = False
        if not whole:
            self._note(f"{number} came with {subject!r}, {reply!r} and {headers!r}")
        if number <= self.last:
            self._note(f"{number} came after {self.last}")
        elif self.count and number != self.last + self._step:
            self.gaps += 1
        self.count += 1
        self.last = number
        return number % PAUSE_EVERY == 0

    def _note(self, fault: str) -> None:
        if len(self.faults) < 10:
            self.faults.append(f"{self._subject}: {fault}")
