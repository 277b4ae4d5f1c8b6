"""The command: `python -m tests.system.overload [--messages 100000]`."""

import argparse
import sys
from collections.abc import Sequence

import anyio

from cliffracer.transport.server import run_server
from tests.system.overload.run import LOCAL, run


def main(arguments: Sequence[str] | None = None) -> int:
    """Flood a mailbox, print the counts, and return 1 if a message is unaccounted for."""
    parser = argparse.ArgumentParser(prog="python -m tests.system.overload", description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000, help="casts and events to send")
    return anyio.run(_run, parser.parse_args(arguments).messages)


async def _run(messages: int) -> int:
    async with run_server(port=0) as url:
        counts = await run(url, messages)
    sys.stdout.write(f"{counts}\n")
    return 1 if counts.unaccounted or counts.other or counts.local != LOCAL else 0


if __name__ == "__main__":
    sys.exit(main())
