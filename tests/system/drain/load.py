"""The load: `python -m tests.system.drain.load URL CALLS LEAVE_AT`, a client that knows nothing of us.

It says `now` after LEAVE_AT calls, goes on until it has sent CALLS and is told that the replica has gone, and then says
what became of its calls and `sent` events.
"""

import asyncio
import random
import sys
from collections import Counter
from itertools import count

import nats
from nats.aio.client import Client

from tests.system.peers import tell

CALLERS = 200  # calls in flight
CALLS_PER_EVENT = 5
MAX_PAUSE = 0.03  # seconds between two calls of a caller
PATIENCE = 20.0  # seconds until a call counts as not answered


class Load:
    def __init__(self, client: Client, calls: int, leave_at: int) -> None:
        self.client = client
        self.calls = calls
        self.leave_at = leave_at
        self.gone = asyncio.Event()
        self.numbers = count(1)
        self.events = 0
        self.ends: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()

    async def caller(self) -> None:
        while not (self.gone.is_set() and self.ends.total() >= self.calls):
            number = next(self.numbers)
            if number == self.leave_at:
                tell("now")
            if number % CALLS_PER_EVENT == 0:
                self.events += 1
                await self.client.publish("drain.heard", b"%d" % self.events)
            self.ends[await self.call(number)] += 1
            # Without a pause all calls come in bursts, and a replica that leaves between two of them loses nothing.
            await asyncio.sleep(random.random() * MAX_PAUSE)

    async def call(self, number: int) -> str:
        try:
            reply = await self.client.request("worker.work", b'{"number": %d}' % number, timeout=PATIENCE)
        except nats.errors.NoRespondersError:
            self.refusals["nobody there"] += 1
            return "refused"
        except nats.errors.TimeoutError:
            return "unanswered"
        if reply.headers:
            self.refusals[reply.headers.get("Cliffracer-Error", "error")] += 1
            return "refused"
        return "answered" if reply.data == b"%d" % number else "answered wrongly"


async def main(url: str, calls: str, leave_at: str) -> None:
    client = await nats.connect(url)
    load = Load(client, int(calls), int(leave_at))
    callers = [asyncio.create_task(load.caller()) for _ in range(CALLERS)]
    await asyncio.to_thread(sys.stdin.readline)
    load.gone.set()
    await asyncio.gather(*callers)
    await client.flush()
    tell("sent", {"ends": load.ends, "refusals": load.refusals, "events": load.events})
    await client.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
