"""What nodes say to each other about monitors, as JSON.

[ns.]NAME.$monitor                to one replica of an actor: a question; it answers, or with an error
[ns.]$CLIFFRACER.monitors.ID      to one node: ended, forget, still
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from cliffracer.exits import Crashed, Exit, LinkLost, NotStarted, Shutdown
from cliffracer.node.peers import NodeId, NodeName

__all__ = [
    "MONITOR",
    "NUMBERS",
    "QUESTION",
    "WATCHING",
    "WORDS",
    "End",
    "Ended",
    "Forget",
    "Question",
    "Still",
    "Watching",
    "for_others",
    "subject_of",
]

MONITOR = "$monitor"
"""Stands where a handler's name would; no handler can have it."""

_MAX_TEXT = 256  # characters
_MAX_DEPTH = 8

Number = Annotated[int, Meta(ge=0, lt=2**53)]


class Question(Struct):
    """Who wants to hear of the end of an actor, and under which number."""

    id: NodeId
    name: NodeName
    monitor: Number


class Watching(Struct):
    """The answer: where it runs, and which incarnation."""

    id: NodeId
    name: NodeName
    incarnation: int


class End(Struct):
    """What is watched under a number has ended."""

    monitor: Number
    reason: Exit
    incarnation: int


class Ended(Struct, tag="ended"):
    """These have ended, on this node. The answer, whatever it is, confirms that."""

    id: NodeId
    name: NodeName
    ends: list[End]


class Forget(Struct, tag="forget"):
    """I do not want to hear of it any more."""

    id: NodeId
    monitor: Number


class Still(Struct, tag="still"):
    """Of all my numbers above `after` and up to `upto`, these are what I may monitor at yours.

    The answer is a list of those that are not known there.
    """

    id: NodeId
    after: Number
    upto: Number
    monitors: list[Number]


QUESTION = msgspec.json.Decoder(Question)
WATCHING = msgspec.json.Decoder(Watching)
NUMBERS = msgspec.json.Decoder(list[Number])
WORDS: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Ended | Forget | Still)


def subject_of(node_id: str) -> str:
    """Return the subject on which a node hears what concerns monitors."""
    return f"$CLIFFRACER.monitors.{node_id}"


def for_others(reason: Exit, depth: int = 0) -> Exit:
    """Return `reason` as it may leave the process: not too large, and the text of an exception stays in the log."""
    if isinstance(reason, Crashed):
        return Crashed("the log of its node says how", reason.incident)
    if isinstance(reason, Shutdown):
        return Shutdown(reason.detail[:_MAX_TEXT])
    if isinstance(reason, LinkLost | NotStarted) and reason.reason is not None:
        inner = for_others(reason.reason, depth + 1)
        if depth >= _MAX_DEPTH:
            return inner  # of a long chain the first ones are told, and the last one
        if isinstance(reason, LinkLost):
            return LinkLost(reason.who[:_MAX_TEXT], inner)
        return NotStarted(reason.child[:_MAX_TEXT], inner)
    return reason
