"""One direction of a faulty line: what is held back on it, and in which order it goes on."""

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

import anyio

from cliffracer.testing.later import Later
from cliffracer.testing.rules import Fault, Verdict

__all__ = ["Lane", "Parcel"]


class Parcel:
    """A message on its way.

    Either something is to be done when its time has come, or a task waits for that: it hears of it, takes the next
    step in its own time, and says `Lane.gone` just before.
    """

    __slots__ = ("deliver", "owner", "released", "subject")

    def __init__(self, subject: str, deliver: Callable[[], None] | None, owner: object = None) -> None:
        self.subject = subject
        self.deliver = deliver
        self.owner = owner
        """Whose it is: the subscription that it arrives at."""
        self.released = anyio.Event() if deliver is None else None


class Lane:
    """Holds parcels back, for a time or until others have overtaken them."""

    def __init__(self, later: Later) -> None:
        self._later = later
        self._order = count()
        self._held: dict[Parcel, None] = {}
        self._timed: list[tuple[float, int, Parcel]] = []
        self._windows: dict[Fault, list[tuple[Parcel, float]]] = {}
        self._ready: deque[Parcel] = deque()
        self._awaited: Parcel | None = None  # released, and its task has yet to take its step
        self._news: anyio.Event | None = None

    def hold(self, parcel: Parcel, verdict: Verdict) -> None:
        """Hold `parcel` back as `verdict` says."""
        self._held[parcel] = None
        if verdict.window is None:
            self._delay(parcel, verdict.seconds)
        else:
            self._gather(parcel, verdict.window, verdict.seconds)

    def _delay(self, parcel: Parcel, seconds: float) -> None:
        due = self._later.clock() + seconds
        heappush(self._timed, (due, next(self._order), parcel))

        def tick() -> None:
            # Not by the clock: an event loop may be a hair early.
            while self._timed and self._timed[0][0] <= due:
                self._ready.append(heappop(self._timed)[2])
            self._pump()

        self._later.call(seconds, tick)

    def _gather(self, parcel: Parcel, fault: Fault, seconds: float) -> None:
        window = self._windows.setdefault(fault, [])
        window.append((parcel, seconds))
        if len(window) >= fault.size:
            self._scatter(fault, window)
        elif len(window) == 1:
            self._later.call(fault.seconds, lambda: self._scatter(fault, window))

    def _scatter(self, fault: Fault, window: list[tuple[Parcel, float]]) -> None:
        if self._windows.get(fault) is not window:
            return  # it was full before its time was over, or the line was cut
        del self._windows[fault]
        for index in fault.shuffled(len(window)):
            parcel, seconds = window[index]
            if seconds > 0.0:
                self._delay(parcel, seconds)
            else:
                self._ready.append(parcel)
        self._pump()

    def _pump(self) -> None:
        """Let go of what is ready, one after the other: a task that waits takes its step before the next one goes."""
        while self._ready and self._awaited is None:
            parcel = self._ready.popleft()
            if parcel not in self._held:
                continue  # nobody waits for it any more
            if parcel.released is None:
                assert parcel.deliver is not None
                self._forget(parcel)
                parcel.deliver()
            else:
                self._awaited = parcel
                parcel.released.set()

    async def pass_through(self, subject: str, verdict: Verdict) -> None:
        """Wait for as long as `verdict` says; what is done next, before any wait, comes in its order.

        Cancellation: it is held back no longer, and goes nowhere.
        """
        parcel = Parcel(subject, None)
        self.hold(parcel, verdict)
        assert parcel.released is not None
        try:
            await parcel.released.wait()
        finally:
            self._forget(parcel)
            if self._awaited is parcel:
                self._awaited = None
                self._later.call(0.0, self._pump)

    def _forget(self, parcel: Parcel) -> None:
        self._held.pop(parcel, None)
        news, self._news = self._news, None
        if news is not None:
            news.set()

    async def wait_gone(self, which: Callable[[Parcel], bool] = lambda _: True) -> None:
        """Wait until nothing is held back of what `which` says."""
        while self.holds(which):
            self._news = self._news or anyio.Event()
            await self._news.wait()

    def holds(self, which: Callable[[Parcel], bool]) -> bool:
        """Tell whether something is held back of what `which` says."""
        return any(which(parcel) for parcel in self._held)

    def __len__(self) -> int:
        """The number of messages that are held back."""
        return len(self._held)

    def clear(self) -> int:
        """Lose what is held back; return how much that was."""
        lost = len(self._held)
        self._held.clear()
        self._timed.clear()
        self._windows.clear()
        self._ready.clear()
        news, self._news = self._news, None
        if news is not None:
            news.set()
        return lost
