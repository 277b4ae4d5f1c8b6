"""What does it cost that nodes know of each other? Idle nodes over a real nats-server, all in this process.

`python benchmarks/idle_nodes.py 1 2 10 50`: for each number of nodes, the messages per second that the server takes
in and sends out, and the seconds of processor time per second that all nodes together, and the server, need. The
control is the same number of nodes that have never met, each in a namespace of its own.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import urlopen

from cliffracer import Node, Settings, Supervisor
from cliffracer.transport.server import find_server_binary

SECONDS = 15.0
_PORT, _MONITOR = 24222, 28222
_JIFFIES = 100.0  # in a second


@asynccontextmanager
async def server(folder: str) -> AsyncIterator[int]:
    """Run a server whose statistics can be read; yields its process id."""
    arguments = ("-a", "127.0.0.1", "-p", str(_PORT), "-m", str(_MONITOR), "-l", f"{folder}/server.log")
    process = await asyncio.create_subprocess_exec(str(find_server_binary()), *arguments)
    await asyncio.sleep(1.0)
    try:
        yield process.pid
    finally:
        process.terminate()
        await process.wait()


def counts() -> tuple[int, int]:
    """Return how many messages the server has taken in, and sent out."""
    with urlopen(f"http://127.0.0.1:{_MONITOR}/varz") as response:
        figures = json.load(response)
    return figures["in_msgs"], figures["out_msgs"]


def processor_time(pid: int) -> float:
    """Return the seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _JIFFIES


async def measure(number: int, *, together: bool, pid: int) -> None:
    """Print one row."""
    async with AsyncExitStack() as stack:
        for n in range(number):
            settings = Settings(
                nats_url=f"nats://127.0.0.1:{_PORT}",
                node_name=f"node-{n}",
                namespace="" if together else f"apart-{n}",
                log_level="critical",
            )
            node = await stack.enter_async_context(Node(Supervisor("empty"), settings=settings))
        await asyncio.sleep(6.0)
        assert len(node.nodes()) == (number - 1 if together else 0)
        before, used, server_used, start = counts(), time.process_time(), processor_time(pid), time.monotonic()
        await asyncio.sleep(SECONDS)
        seconds = time.monotonic() - start
        after = counts()
        taken, sent = ((after[i] - before[i]) / seconds for i in (0, 1))
        own, servers = (time.process_time() - used) / seconds, (processor_time(pid) - server_used) / seconds
    how = "together" if together else "apart"
    print(f"{number:5} {how:9} {taken:9.1f} {sent:9.1f} {own:9.4f} {servers:9.4f}", flush=True)


async def main(numbers: list[int]) -> None:
    """Print a table."""
    print("nodes           in/s     out/s  nodes' CPU  server's CPU")
    with TemporaryDirectory() as folder:
        async with server(folder) as pid:
            for number in numbers:
                for together in (False, True):
                    await measure(number, together=together, pid=pid)


if __name__ == "__main__":
    asyncio.run(main([int(argument) for argument in sys.argv[1:]] or [1, 2, 10, 50]))
