"""Scenarios and their traces, as they stand in the files."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

__all__ = ["Json", "Record", "read"]

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Record:
    """One scenario, and what OTP made of it.

    Attributes:
        name: Unique among all.
        tags: What occurs in it.
        root: The flags and children of the root supervisor.
        ops: What is done to the tree.
        trace: What happened: first the start, then one step for each operation.
    """

    name: str
    tags: frozenset[str]
    root: Json
    ops: tuple[Json, ...]
    trace: tuple[Json, ...]


def read(path: Path) -> Iterator[Record]:
    """Yield the records of a file, `.jsonl` or `.jsonl.gz`."""
    with path.open("rb") as file, gzip.open(file) if path.suffix == ".gz" else file as lines:
        for line in lines:
            if line.strip():
                yield _record_of(json.loads(line))


def _record_of(raw: Json) -> Record:
    scenario = raw["scenario"]
    return Record(raw["name"], frozenset(raw["tags"]), scenario["root"], tuple(scenario["ops"]), tuple(raw["trace"]))
