"""The command: `python -m tests.system.soak [--messages 3000000] [--reconnects 20] [--loop asyncio|uvloop]`."""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import anyio

from tests.system.servers import Server
from tests.system.soak.messages import SUBSCRIPTIONS
from tests.system.soak.run import problems_of, run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print what arrived, and return 1 if anything came torn, twice, out of order or not at all."""
    parser = argparse.ArgumentParser(prog="python -m tests.system.soak", description=__doc__)
    parser.add_argument("--messages", type=int, default=3_000_000)
    parser.add_argument("--reconnects", type=int, default=20)
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="uvloop")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        try:
            report = anyio.run(
                run, server, chosen.messages, chosen.reconnects, chosen.loop,
                backend_options={"use_uvloop": chosen.loop == "uvloop"},
            )  # fmt: skip
        finally:
            server.close()
    breaks = ", ".join(f"{number} x {how}" for how, number in Counter(report.breaks).items())
    deliveries = sum(arrivals.count for arrivals in report.arrived.values())
    lines = [
        f"{report.messages} messages in {report.seconds:.1f} s on {chosen.loop}, {deliveries} deliveries; {breaks}",
        f"all subscriptions back after {max(report.back, default=0.0):.2f} s at the latest",
    ]
    for subject, (_, step) in SUBSCRIPTIONS.items():
        arrivals = report.arrived[subject]
        lines.append(f"  {subject:15} {arrivals.count} of {report.messages // step} arrived, {arrivals.gaps} gaps")
    problems = problems_of(report)
    lines += [f"  FAILED: {problem}" for problem in problems] or ["nothing torn, nothing twice, all in order"]
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
