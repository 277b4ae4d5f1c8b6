"""Requests whose replies are awaited: one subscription takes the replies of all of them."""

import asyncio
import heapq
from itertools import count
from math import inf
from typing import TypeAlias

from cliffracer.errors import NoResponders, NotConnected, NotPermitted, RequestTimeout
from cliffracer.transport.contract import Headers, Response

__all__ = ["Requests"]

_COMPACT_ABOVE = 1024  # deadlines


_Awaited: TypeAlias = "tuple[str, asyncio.Future[Response], float | None]"
"""The subject of a request, its reply, and how many seconds that may take."""


class Requests:
    """The requests of one transport.

    Attributes:
        inbox: What the reply subjects begin with, the dot included; empty while there is no connection.
    """

    def __init__(self) -> None:
        self.inbox = ""
        self._awaited: dict[str, _Awaited] = {}  # by the last token of the reply subject
        self._tokens = count(1)
        # One timer of the loop serves all; those that were answered stay here until their time, or until they are many.
        self._deadlines: list[tuple[float, str]] = []
        self._next_due = inf
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """The number of those that are awaited."""
        return len(self._awaited)

    def open(self, subject: str, timeout: float | None) -> "tuple[str, asyncio.Future[Response]]":
        """Await a reply to a request that is about to be sent to `subject`.

        Args:
            subject: Where the request goes.
            timeout: Seconds until the reply must be here; None if somebody else sees to that.

        Returns:
            The token of the request, to `close` it with, and the future of its reply.
        """
        loop = asyncio.get_running_loop()
        token = f"{next(self._tokens):x}"
        reply: asyncio.Future[Response] = loop.create_future()
        self._awaited[token] = subject, reply, timeout
        if timeout is not None:
            self._expect_by(loop, loop.time() + timeout, token)
        return token, reply

    def close(self, token: str) -> None:
        """Await it no more."""
        del self._awaited[token]

    def take(self, subject: str, payload: bytes, _: str, headers: Headers | None) -> None:
        """Take a reply; it is a sink."""
        awaited = self._awaited.get(subject[len(self.inbox) :])
        if awaited is None or awaited[1].done():
            return  # too late, or a second one: nobody waits for it
        reply = awaited[1]
        if headers is not None and not payload and headers.get("Status") == "503":
            reply.set_exception(NoResponders("nobody is subscribed to the subject of the request"))
        else:
            reply.set_result(Response(payload, headers))

    def fail_all(self, why: str) -> None:
        """Fail every one that is awaited, for the connection is gone."""
        for _, reply, _ in self._awaited.values():
            if not reply.done():
                reply.set_exception(NotConnected(why))
        self._deadlines.clear()
        self._next_due = inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def refuse(self, subject: str) -> None:
        """Fail those whose subject the server does not let us publish to; it names it in small letters."""
        for asked, reply, _ in self._awaited.values():
            if asked.lower() == subject.lower() and not reply.done():
                reply.set_exception(NotPermitted(f"the server does not let this node publish to {asked!r}"))

    def _expect_by(self, loop: asyncio.AbstractEventLoop, when: float, token: str) -> None:
        deadlines = self._deadlines
        if len(deadlines) > _COMPACT_ABOVE and len(deadlines) > 2 * len(self._awaited):
            deadlines[:] = [entry for entry in deadlines if entry[1] in self._awaited]
            heapq.heapify(deadlines)
        heapq.heappush(deadlines, (when, token))
        if when < self._next_due:
            self._set_timer(loop, when)

    def _set_timer(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next_due = when
        self._timer = loop.call_at(when, self._expire, loop, when)

    def _expire(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self._timer, self._next_due = None, inf
        deadlines = self._deadlines
        # Not all that are over by now: where a cancel scope has the same deadline, its own timer is to come first.
        while deadlines and (deadlines[0][0] <= due or deadlines[0][1] not in self._awaited):
            awaited = self._awaited.get(heapq.heappop(deadlines)[1])
            if awaited is not None and not awaited[1].done():
                subject, reply, timeout = awaited
                reply.set_exception(RequestTimeout(f"no reply from {subject!r} within {timeout:.3g} s"))
        if deadlines:
            self._set_timer(loop, deadlines[0][0])
