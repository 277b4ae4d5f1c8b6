"""The command: `python -m tests.system.drain [--runs 20] [--calls 100000] [--handler-ms 20] [--signal]`."""

import argparse
import random
import sys
import time
from collections.abc import Sequence

import anyio

from cliffracer.transport.server import run_server
from tests.system.drain.run import How, run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run so many times, print the counts of each, and return 1 if anything was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.system.drain", description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--calls", type=int, default=100_000, help="calls in each run")
    parser.add_argument("--handler-ms", type=float, default=0.0, help="milliseconds that a handler takes")
    parser.add_argument("--signal", action="store_true", help="stop by SIGTERM instead of by leaving the block")
    chosen = parser.parse_args(arguments)
    how: How = "signal" if chosen.signal else "block"
    return anyio.run(_runs, chosen.runs, chosen.calls, chosen.handler_ms, how)


async def _runs(runs: int, calls: int, handler_ms: float, how: How) -> int:
    clean = 0
    sys.stdout.write(f"{runs} runs of {calls} calls, handlers of {handler_ms:g} ms, stop by {how}\n")
    async with run_server(port=0) as url:
        for number in range(1, runs + 1):
            begin = time.monotonic()
            # Each run leaves at another moment, and the same run at the same.
            leave_at = random.Random(number).randint(calls // 5, calls * 4 // 5)
            counts = await run(url, calls=calls, handler_ms=handler_ms, how=how, leave_at=leave_at)
            clean += counts.is_clean
            seconds = time.monotonic() - begin
            sys.stdout.write(f"{number:3} {'ok' if counts.is_clean else 'BAD'} ({seconds:.1f} s) {counts}\n")
            sys.stdout.flush()
    sys.stdout.write(f"{clean} of {runs} runs answered every call and lost no event\n")
    return 0 if clean == runs else 1


if __name__ == "__main__":
    sys.exit(main())
