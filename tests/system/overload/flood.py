"""The flood: `python -m tests.system.overload.flood URL MESSAGES`, as fast as it can. It says `sent`."""

import asyncio
import sys

import nats

from tests.system.peers import tell


async def main(url: str, messages: str) -> None:
    client = await nats.connect(url)
    for number in range(int(messages)):
        subject = "overload.news" if number % 2 else "slow.note"
        await client.publish(subject, b"%d" % number if number % 2 else b'{"number": %d}' % number)
        if number % 64 == 0:
            await asyncio.sleep(0)
    await client.flush(timeout=60)
    tell("sent", int(messages))
    await client.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
