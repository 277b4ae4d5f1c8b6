"""The sender: `python -m tests.system.soak.sender URL MESSAGES LOOP`.

It says `ready`, then `held` before the last few messages, and `sent` after them. Those it sends when a line
on its stdin says that no connection will break any more: what is sent while one is away is lost, up to a whole window.
"""

import sys

import anyio
import anyio.to_thread

from cliffracer.errors import NotConnected
from cliffracer.transport.contract import ConnectionClosed, ConnectionEvent
from cliffracer.transport.nats import NatsOptions, NatsTransport
from tests.system.peers import PATIENCE, tell
from tests.system.soak.messages import message

WINDOW = 4000  # messages that may be on their way: more, and the server would drop the one who cannot follow
LAST = 2000  # messages that are held back until all connections are there to stay
LOST_AFTER = 1.0  # seconds without a word from the other side, after which what was on its way is lost


class Sender:
    def __init__(self, url: str) -> None:
        self._transport = NatsTransport(NatsOptions(servers=(url,), name="soak-sender", connect_timeout=PATIENCE))
        self._arrived = 0
        self._news = anyio.Event()

    async def run(self, messages: int) -> None:
        await self._transport.connect(self._on_event)
        await self._transport.subscribe("soaking.arrived", self._on_arrived)
        await self._transport.flush()
        tell("ready")
        for number in range(messages):
            if number == max(0, messages - LAST):
                await self._flush()
                tell("held")
                await anyio.to_thread.run_sync(sys.stdin.readline)
            if number - self._arrived > WINDOW:
                await self._wait_for_room(number)
            subject, payload, reply, headers = message(number)
            while True:
                try:
                    await self._transport.publish(subject, payload, reply=reply, headers=headers)
                    break
                except NotConnected:  # nothing was sent
                    await anyio.sleep(0.005)
        await self._flush()
        tell("sent", messages)
        await self._transport.close()

    async def _flush(self) -> None:
        while True:
            try:
                await self._transport.flush()
                break
            except NotConnected:
                await anyio.sleep(0.005)

    async def _wait_for_room(self, number: int) -> None:
        while number - self._arrived > WINDOW // 2:
            self._news = anyio.Event()
            with anyio.move_on_after(LOST_AFTER) as waiting:
                await self._news.wait()
            if waiting.cancelled_caught:
                self._arrived = number

    def _on_arrived(self, _subject: str, payload: bytes, *_: object) -> None:
        self._arrived = max(self._arrived, int(payload))
        self._news.set()

    def _on_event(self, event: ConnectionEvent) -> None:
        if isinstance(event, ConnectionClosed):
            sys.exit(f"the sender was cut off for good: {event.error}")


if __name__ == "__main__":
    address, count, loop = sys.argv[1:]
    anyio.run(Sender(address).run, int(count), backend_options={"use_uvloop": loop == "uvloop"})
