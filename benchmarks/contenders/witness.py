"""Whether headers came as they were sent.

What our handler works on is not looked into: it is heard which headers it passes on.
"""

import asyncio
from types import TracebackType
from typing import Self

import nats
from nats.aio.msg import Msg

from benchmarks.contenders.client import until_subscribed
from benchmarks.contenders.values import PASSED_ON, headers_of
from benchmarks.jobs import Job

__all__ = ["Witness", "wrong_headers"]

_PATIENCE = 5.0  # seconds


class Witness:
    """A bare connection of its own, idle but for two messages.

    Attributes:
        seqs: The events whose handlers are to pass their headers on: the first one, and one at the very end.
    """

    def __init__(self, job: Job) -> None:
        """Prepare; nothing is opened."""
        self.seqs = (0, job.warmup + job.count - 2)
        self._url = job.url
        self._heard: asyncio.Queue[dict[str, str] | None] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        """Listen."""
        self._client = await nats.connect(self._url)
        await self._client.subscribe(PASSED_ON, cb=self._hear)
        await until_subscribed(self._client)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Listen no more."""
        await self._client.close()

    async def _hear(self, message: Msg) -> None:
        self._heard.put_nowait(message.headers)

    async def problems(self) -> list[str]:
        """Return what is wrong with the headers that were passed on."""
        found: list[str] = []
        for seq in self.seqs:
            try:
                headers = await asyncio.wait_for(self._heard.get(), _PATIENCE)
            except TimeoutError:
                return [*found, f"nothing was passed on by the handler of event {seq}"]
            found += wrong_headers(headers, seq)
        return found


def wrong_headers(headers: dict[str, str] | None, seq: int) -> list[str]:
    """Return what is wrong with the headers of an event."""
    return [] if headers == headers_of(seq) else [f"event {seq} had the headers {headers}"]
