"""What the figures depend on: machine and versions; no path and no host name."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from cliffracer.transport.server import find_server_binary

__all__ = ["environment"]

_VERSIONS_OF = (
    "cliffracer",
    "anyio",
    "msgspec",
    "nats-py",
    "uvloop",
    "faststream",
    "fast-depends",
    "pykka",
    "pytest",
    "pytest-benchmark",
)


def environment() -> dict[str, Any]:
    """Return it, for JSON."""
    return {
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": {name: _version(name) for name in _VERSIONS_OF} | {"nats-server": _server_version()},
    }


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def _server_version() -> str:
    said = subprocess.run([str(find_server_binary()), "--version"], capture_output=True, text=True, check=True).stdout
    return said.rpartition(" ")[2].strip().removeprefix("v")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
