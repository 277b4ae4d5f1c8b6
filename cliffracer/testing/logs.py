"""A log that is data."""

from collections.abc import MutableMapping
from typing import Any, cast

import structlog

from cliffracer.observe.logs import Logger

__all__ = ["LogLine", "logger_into"]

LogLine = dict[str, Any]


def logger_into(lines: list[LogLine]) -> Logger:
    """Return a logger that appends each line to `lines`, and writes nothing.

    A line is a dictionary: the name of the event under `event`, its level under `level`, and its fields. Left out is
    what each node does for itself and is of no interest: the debug lines of its own supervisor, `$node`.
    """

    def keep(_: Any, level: str, line: MutableMapping[str, Any]) -> Any:
        if line.get("supervisor") != "$node" or level != "debug":
            lines.append({**line, "level": level})
        raise structlog.DropEvent

    return cast(
        "Logger",
        structlog.wrap_logger(
            structlog.PrintLogger(), processors=[keep], wrapper_class=structlog.make_filtering_bound_logger("debug")
        ).bind(),
    )
