"""JSON Schema of one handler: what it takes, and what it answers.

Schemas are of the dialect 2020-12, as msgspec writes them; what is used twice stands once, under `$defs`.
"""

from typing import Any

from cliffracer.actor.handlers import Handler
from cliffracer.codec import ValueCodec
from cliffracer.describe.schema import schema_of

__all__ = ["event_schema", "request_schema", "response_schema", "schema_of"]


def request_schema(handler: Handler) -> dict[str, Any] | None:
    """Return the schema of what a call or cast takes, an object with one key a parameter; None for other kinds."""
    return None if handler.payload is None else schema_of(handler.payload.type)


def response_schema(handler: Handler) -> dict[str, Any] | None:
    """Return the schema of the answer to a call; None for other kinds."""
    return _of_codec(handler.result)


def event_schema(handler: Handler) -> dict[str, Any] | None:
    """Return the schema of the event that a handler takes; None if it takes no payload, or is of another kind."""
    return _of_codec(handler.event_payload)


def _of_codec(codec: ValueCodec | None) -> dict[str, Any] | None:
    return None if codec is None else schema_of(codec.type)
