"""Links and monitors: how an actor hears that something else has ended.

A *monitor* brings one `Down`, a *link* lets both fall together. Both hold on to one incarnation: that of the moment
when they were made. Each incarnation keeps its own, so nothing reaches the next one.
"""

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from cliffracer.actor.host import Host, Target, Watched
from cliffracer.actor.ref import label_of
from cliffracer.envelope import Fallen, Signal, Stop
from cliffracer.errors import NoActor
from cliffracer.exits import Exit, LinkLost, Normal

__all__ = ["Bonds", "Down"]


class Down(Struct, frozen=True, eq=False):
    """Something that was monitored has ended; see `Actor.on_down`.

    Attributes:
        ref: What was monitored, as it was given to `monitor`.
        reason: Why it ended; `NoActor` if it did not run when it was to be monitored.
        incarnation: Which incarnation of it has ended; 0 if it did not run.
    """

    ref: Any
    reason: Exit | NoActor
    incarnation: int


class _Monitor:
    """Puts the notice into the mailbox of who monitors."""

    __slots__ = ("_put_signal", "process", "target")

    def __init__(self, target: Target, process: Watched | None, put_signal: Callable[[Signal], None]) -> None:
        self.target = target
        self.process = process
        self._put_signal = put_signal

    def tell(self, reason: Exit | None, incarnation: int) -> None:
        self._put_signal(Fallen(self, reason, incarnation))


class _Link:
    """One direction of a link: when the one ends, the other falls."""

    __slots__ = ("_other", "_who")

    def __init__(self, who: str, other: Watched) -> None:
        self._who = who
        self._other = other

    def tell(self, reason: Exit, incarnation: int) -> None:
        del incarnation
        # OTP: a normal end concerns nobody else.
        if not isinstance(reason, Normal):
            self._other.fall(LinkLost(self._who, reason))


class Bonds:
    """The links and monitors of one incarnation of an actor."""

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
        # For each link: the other process, what tells it of us, and what tells us of it.
        self._links: dict[str, tuple[Watched, _Link, _Link]] = {}

    def monitor(self, target: Target) -> None:
        """Bring about one `Down` when what runs there now ends; at once if nothing does."""
        label = self._label_of(target)
        if label in self._monitors:
            return
        process = self._host.find_process(target)
        monitor = self._monitors[label] = _Monitor(target, process, self._put_signal)
        if process is None:
            monitor.tell(None, 0)
        else:
            process.watch(monitor)

    def demonitor(self, target: Target) -> None:
        """Take a monitor away; a notice that waits in the mailbox is dropped, too."""
        monitor = self._monitors.pop(self._label_of(target), None)
        if monitor is not None and monitor.process is not None:
            monitor.process.unwatch(monitor)

    def link(self, target: Target) -> None:
        """Fall when it falls, and let it fall with us."""
        label = self._label_of(target)
        if label in self._links:
            known, _, _ = self._links[label]
            if not known.has_ended:
                return
            self.unlink(target)
        process = self._host.find_process(target)
        own = self._host.find_process_of(self._name)
        if process is None:
            self._put_signal(Stop(LinkLost(label, None), ordered=False))
        elif own is not None:
            ours, theirs = _Link(label, own), _Link(self._name, process)
            process.watch(ours)
            own.watch(theirs)
            self._links[label] = (process, ours, theirs)

    def unlink(self, target: Target) -> None:
        """Take a link away, in both directions."""
        link = self._links.pop(self._label_of(target), None)
        if link is not None:
            process, ours, theirs = link
            process.unwatch(ours)
            own = self._host.find_process_of(self._name)
            if own is not None:
                own.unwatch(theirs)

    def down_of(self, signal: Fallen) -> Down | None:
        """Return what to tell the actor, or None if it has taken the monitor away meanwhile."""
        monitor = signal.monitor
        if not isinstance(monitor, _Monitor):
            return None
        label = label_of(monitor.target)
        if self._monitors.get(label) is not monitor:
            return None
        del self._monitors[label]
        reason = NoActor(label, "it did not run on this node") if signal.reason is None else signal.reason
        return Down(monitor.target, reason, signal.incarnation)

    def release(self) -> None:
        """Let go of everything: the actor has ended. Who is linked to it hears of that from its process."""
        for monitor in self._monitors.values():
            if monitor.process is not None:
                monitor.process.unwatch(monitor)
        for process, ours, _ in self._links.values():
            process.unwatch(ours)
        self._monitors.clear()
        self._links.clear()

    def _label_of(self, target: Target) -> str:
        label = label_of(target)
        if label == self._name:
            raise ValueError(f"{self._name!r} cannot watch itself; on_stop runs when it ends.")
        return label
