"""What an actor hears of the other nodes."""

from typing import Literal

from msgspec import Struct

__all__ = ["NodeDown", "NodeInfo", "NodeLost", "NodeUp"]


class NodeInfo(Struct, frozen=True):
    """A node, for the length of one life.

    Attributes:
        id: No other node has it, nor has this one after a restart.
        name: How it is called in logs.
    """

    id: str
    name: str


class NodeUp(Struct, frozen=True):
    """A node has joined; see `Actor.on_node_change`."""

    node: NodeInfo


class NodeDown(Struct, frozen=True):
    """A node has gone; see `Actor.on_node_change`.

    Attributes:
        node: Which one.
        reason: "left": it stopped in order, and said so. "silent": it was not heard of for `node_timeout` seconds; it
            may have died, or it may be cut off.
    """

    node: NodeInfo
    reason: Literal["left", "silent"]


class NodeLost(Struct, frozen=True):
    """Why a monitored actor of another node counts as ended: that node has gone. OTP says `noconnection`.

    Attributes:
        node: The name of that node.
    """

    node: str

    def __str__(self) -> str:
        return f"node lost: {self.node}"
