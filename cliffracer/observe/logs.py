"""Loggers: readable lines on a terminal, JSON elsewhere.

A node's logger is made here and handed down; nothing process-wide is configured, so an application that embeds a
node keeps its own logging as it is.
"""

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from cliffracer.envelope import correlation_of, current_message

__all__ = ["LogFormat", "LogLevel", "Logger", "Throttle", "make_logger", "printable", "shortened"]

_SHOWN = 256  # characters of foreign text
Logger = FilteringBoundLogger
LogFormat = Literal["auto", "console", "json"]
LogLevel = Literal["debug", "info", "warning", "error", "critical"]


def make_logger(level: LogLevel = "info", form: LogFormat = "auto", stream: TextIO | None = None) -> Logger:
    """Return a logger of its own, independent of structlog's global configuration.

    Args:
        level: What is below it is not logged.
        form: "console" for people, "json" for machines; "auto" is console on a terminal and JSON elsewhere.
        stream: Where the lines go; standard error by default.
    """
    out = sys.stderr if stream is None else stream
    console = form == "console" or (form == "auto" and out.isatty())
    processors: Sequence[Processor] = [
        _add_correlation,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if console else "iso", utc=not console),
        *(_console(colors=out.isatty()) if console else _json()),
    ]
    return cast(
        "Logger",
        structlog.wrap_logger(
            structlog.WriteLogger(cast("TextIO", _Patient(out))),
            processors=processors,
            wrapper_class=structlog.make_filtering_bound_logger(level),
            context_class=dict,
            cache_logger_on_first_use=True,
        ).bind(),
    )


class _Patient:
    """A stream whose other end may be gone, or whose disk may be full: nobody falls over what it cannot take."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


def _add_correlation(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    message = current_message.get()
    if message is not None:
        line.setdefault("correlation", correlation_of(message))
    return line


def _escape(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    """Keep what strangers wrote from forging a line, or from talking to the terminal."""
    return {key: printable(value) if isinstance(value, str) else value for key, value in line.items()}


def _console(*, colors: bool) -> list[Processor]:
    return [
        _escape,
        structlog.dev.ConsoleRenderer(
            colors=colors, pad_event_to=24, exception_formatter=structlog.dev.plain_traceback
        ),
    ]


def _json() -> list[Processor]:
    return [structlog.processors.ExceptionRenderer(), structlog.processors.JSONRenderer(serializer=_dumps)]


# A log line must never be the thing that fails: what JSON does not know is shown as text.


def _dumps(line: EventDict, **_: Any) -> str:
    try:
        return json.dumps(line, default=_text_of)
    except (TypeError, ValueError):
        return json.dumps({str(key): _text_of(value) for key, value in line.items()})


def _text_of(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - somebody's own __str__
        return f"<{type(value).__name__}>"


# What strangers have written ends up in lines and replies, too.


def printable(text: str) -> str:
    """Return `text` with all that cannot be printed written as an escape: line breaks, terminal codes, and the like."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shortened(text: str) -> str:
    """Return what a stranger has written, cut to what a reply or a log line should hold of it."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


class Throttle:
    """Lets a line through once in a while, so that a flood of bad messages does not become a flood of lines."""

    __slots__ = ("_clock", "_next", "_seconds")

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._next = float("-inf")

    def ready(self) -> bool:
        """Tell whether a line may be written now; if so, the next one has to wait."""
        now = self._clock()
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True
