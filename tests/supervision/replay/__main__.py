"""The command: `python -m tests.supervision.replay FILE.jsonl`."""

import argparse
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from tests.supervision.replay.backends import Backend, replay
from tests.supervision.replay.compare import Level, compare
from tests.supervision.replay.excepted import EXCEPTED
from tests.supervision.replay.scenario import Record, read
from tests.supervision.replay.trees import Workers


def main(arguments: Sequence[str] | None = None) -> int:
    """Replay a file, print what differs, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.supervision.replay", description=__doc__)
    parser.add_argument("file", type=Path, help="the traces, .jsonl or .jsonl.gz")
    parser.add_argument("--level", choices=["A", "B", "C"], default="B", help="B adds snapshots, C reports")
    parser.add_argument("--backend", choices=["trio", "asyncio"], default="trio")
    parser.add_argument("--workers", choices=["actors", "functions"], default="actors")
    parser.add_argument("--only", default="", metavar="TEXT", help="only scenarios whose name holds this")
    chosen = parser.parse_args(arguments)
    passed, failed, excepted = 0, 0, 0
    for record in read(chosen.file):
        if chosen.only not in record.name:
            continue
        if (reason := EXCEPTED.get(record.name)) is not None:
            excepted += 1
            _say(f"excepted: {record.name}: {reason}")
        elif problems := _problems_of(record, chosen.level, chosen.backend, chosen.workers):
            failed += 1
            _say(f"FAILED: {record.name}", *problems)
        else:
            passed += 1
    _say(f"{excepted} excepted", f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def _problems_of(record: Record, level: Level, backend: Backend, workers: Workers) -> list[str]:
    try:
        differences = compare(record, replay(record, backend, workers), level)
    except Exception as error:
        return ["  the replay broke:", *(f"    {line}" for line in traceback.format_exception(error))]
    return [f"  {difference}" for difference in differences]


if __name__ == "__main__":
    sys.exit(main())
