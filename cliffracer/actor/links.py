"""Links and monitors: how an actor hears that something else has ended.

A *monitor* brings one `Down`, a *link* lets both fall together. Both hold on to one incarnation: that of the moment
when they were made. Each incarnation keeps its own, so nothing reaches the next one. Monitors reach actors of other
nodes as well; links do not.
"""

from collections.abc import Callable
from typing import Any, cast

from msgspec import Struct

from cliffracer.actor.host import Host, Target, Watched
from cliffracer.actor.nodes import NodeDown, NodeLost, NodeUp
from cliffracer.actor.ref import find_address, label_of
from cliffracer.envelope import Fallen, NodeNews, Signal, Stop
from cliffracer.errors import NoActor
from cliffracer.exits import Exit, LinkLost, Normal

__all__ = ["Bonds", "Down"]


class Down(Struct, frozen=True, eq=False):
    """Something that was monitored has ended; see `Actor.on_down`.

    Attributes:
        ref: What was monitored, as it was given to `monitor`.
        reason: Why it ended. `NoActor` if it did not run when it was to be monitored; `NodeLost` if its node has gone,
            and so nobody can tell. Of a crash on another node only the incident is told: its log has the rest.
        incarnation: Which incarnation of it has ended; 0 if it did not run.
        node: The name of the node where it ran; empty if it did not run.
    """

    ref: Any
    reason: Exit | NoActor | NodeLost
    incarnation: int
    node: str = ""


class _Monitor:
    """Puts the notice into the mailbox of who monitors."""

    __slots__ = ("_node", "_put_signal", "key", "release", "target")

    def __init__(self, key: str, target: Target, node: str, put_signal: Callable[[Signal], None]) -> None:
        self.key = key
        self.target = target
        self.release: Callable[[], None] | None = None  # what ends the watch, if there is one
        self._node = node
        self._put_signal = put_signal

    def tell(self, reason: Exit, incarnation: int) -> None:
        self._put_signal(Fallen(self, reason, incarnation, self._node))

    def tell_elsewhere(self, reason: Exit | NodeLost | None, incarnation: int, node: str) -> None:
        self._put_signal(Fallen(self, reason, incarnation, node))


class _Link:
    """One half of a link, kept by `one`: when that ends, the other falls. The other half is kept by the other."""

    __slots__ = ("_one", "_other", "_who")

    def __init__(self, one: Watched, who: str, other: Watched) -> None:
        self._one = one
        self._who = who
        self._other = other

    def tell(self, reason: Exit, incarnation: int) -> None:
        del incarnation
        self._other.unwatch(_Link(self._other, "", self._one))
        # OTP: a normal end concerns nobody else.
        if not isinstance(reason, Normal):
            self._other.fall(LinkLost(self._who, reason))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Link) and other._one is self._one and other._other is self._other

    __hash__ = None  # type: ignore[assignment]


class Bonds:
    """What one incarnation of an actor monitors, and how it is linked."""

    def __init__(self, name: str, host: Host, put_signal: Callable[[Signal], None]) -> None:
        """Start without any.

        Args:
            name: The actor's.
            host: Finds what runs.
            put_signal: Puts a signal into the actor's mailbox.
        """
        self._name = name
        self._host = host
        self._put_signal = put_signal
        self._monitors: dict[str, _Monitor] = {}
        self._nodes_watch: Callable[[], None] | None = None  # what ends it
        self._is_over = False

    def monitor(self, target: Target) -> None:
        """Bring about one `Down` when what runs there now ends; at once if nothing does."""
        key, process = self._host.place_of(target), self._find(target)
        if key in self._monitors or self._is_over:
            return
        monitor = self._monitors[key] = _Monitor(key, target, self._host.control.name, self._put_signal)
        address = find_address(target)
        if process is not None:
            process.watch(monitor)
            monitor.release = lambda: process.unwatch(monitor)
        elif address is not None:
            monitor.release = self._host.watch_elsewhere(address.name, monitor.tell_elsewhere)
        else:
            monitor.tell_elsewhere(None, 0, "")

    def demonitor(self, target: Target) -> None:
        """Take a monitor away; a notice that waits in the mailbox is dropped, too."""
        monitor = self._monitors.pop(self._host.place_of(target), None)
        if monitor is None:
            # What is forgotten has no place any more, but its notice may still wait.
            monitor = next((one for one in self._monitors.values() if one.target == target), None)
            if monitor is not None:
                del self._monitors[monitor.key]
        if monitor is not None and monitor.release is not None:
            monitor.release()

    def monitor_nodes(self) -> None:
        """Hear of each node that joins or goes, from now on."""
        if not self._is_over and self._nodes_watch is None:
            self._nodes_watch = self._host.watch_nodes(self._tell_of_node)

    def demonitor_nodes(self) -> None:
        """Hear of them no more."""
        if self._nodes_watch is not None:
            self._nodes_watch()
            self._nodes_watch = None

    def _tell_of_node(self, change: NodeUp | NodeDown) -> None:
        self._put_signal(NodeNews(change))

    def link(self, target: Target) -> None:
        """Fall when it falls, and let it fall with us."""
        label, process, own = label_of(target), self._find(target), self._own()
        if self._is_over:
            return
        if process is None:
            self._put_signal(Stop(LinkLost(label, None), ordered=False))
        elif own is not None:
            self._part(own, process)  # two links would be one too many
            process.watch(_Link(process, label, own))
            own.watch(_Link(own, self._name, process))

    def unlink(self, target: Target) -> None:
        """Take a link away, whichever of the two made it."""
        process, own = self._find(target), self._own()
        if process is not None and own is not None and not self._is_over:
            self._part(own, process)

    def down_of(self, signal: Fallen) -> Down | None:
        """Return what to tell the actor, or None if it has taken the monitor away meanwhile."""
        monitor = signal.monitor
        if not isinstance(monitor, _Monitor) or self._monitors.get(monitor.key) is not monitor:
            return None
        del self._monitors[monitor.key]
        reason = cast("Exit | NodeLost | None", signal.reason)
        if reason is None:
            where = "on this node" if find_address(monitor.target) is None else "on any node that can be reached"
            return Down(monitor.target, NoActor(label_of(monitor.target), f"it did not run {where}"), 0)
        return Down(monitor.target, reason, signal.incarnation, signal.node)

    def news_of(self, signal: NodeNews) -> NodeUp | NodeDown | None:
        """Return what to tell the actor, or None if it does not want to hear of it any more."""
        return None if self._nodes_watch is None else cast("NodeUp | NodeDown", signal.change)

    def release(self) -> None:
        """Let go of all monitors: the actor has ended. Who is linked to it hears of that from its process."""
        self._is_over = True
        self.demonitor_nodes()
        for monitor in self._monitors.values():
            if monitor.release is not None:
                monitor.release()
        self._monitors.clear()

    def _part(self, own: Watched, process: Watched) -> None:
        process.unwatch(_Link(process, "", own))
        own.unwatch(_Link(own, "", process))

    def _own(self) -> Watched | None:
        return self._host.find_process_of(self._name)

    def _find(self, target: Target) -> Watched | None:
        process = self._host.find_process(target)
        if process is not None and process is self._own():
            raise ValueError(f"{self._name!r} cannot watch itself; on_stop runs when it ends.")
        return process
