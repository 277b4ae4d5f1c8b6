"""One heap of timers per node: call deadlines, `@every` ticks, delays.

One task serves them all, so that a waiting call costs a heap entry and no cancel scope, and ten thousand ticking
actors cost no ten thousand tasks.
"""

import heapq
from collections.abc import Callable
from itertools import count
from math import inf
from time import monotonic
from typing import Any

import anyio
import anyio.lowlevel
from anyio.abc import TaskStatus

from cliffracer.actor.waiters import CallReply, EventWaiter, LoopReply, Reply, Waiter

__all__ = ["Clock", "Timer", "Timers", "running_clock"]

Clock = Callable[[], float]

# Cancelled timers stay in the heap until their time comes, or until they are more than half of it.
_COMPACT_ABOVE = 256


def running_clock() -> Clock:
    """Return the clock of the running event loop: monotonic, in seconds; virtual under trio's test clock.

    asyncio's loop can be asked directly, and its own clock is `time.monotonic`; each is a fraction of the price of the
    one before.
    """
    loop: Any = anyio.lowlevel.current_token().native_token
    loop_clock: Clock | None = getattr(loop, "time", None)
    if loop_clock is None:
        return anyio.current_time
    # That of a subclass, or of one loop alone, may be any clock.
    is_asyncios = getattr(loop_clock, "__module__", "") == "asyncio.base_events" and "time" not in vars(loop)
    return monotonic if is_asyncios else loop_clock


class Timer:
    """An action that is due at some time, unless it is cancelled."""

    __slots__ = ("_action", "_timers")

    def __init__(self, timers: "Timers", action: Callable[[], None]) -> None:
        self._timers = timers
        self._action: Callable[[], None] | None = action

    def cancel(self) -> None:
        """Drop the action; harmless if it has run or was dropped before."""
        if self._action is not None:
            self._action = None
            self._timers.forget_one()

    def fire(self) -> None:
        """Run the action, once."""
        action, self._action = self._action, None
        if action is not None:
            action()

    @property
    def pending(self) -> bool:
        """Whether the action is still to run."""
        return self._action is not None


class Timers:
    """The timers of one node."""

    def __init__(self, clock: Clock) -> None:
        """Create an empty heap.

        Args:
            clock: Read for nothing but "now".
        """
        self.clock = clock
        # Those of asyncio and uvloop. Any other may be a virtual one, that stands still while code runs.
        self.is_real = clock is monotonic or type(getattr(clock, "__self__", None)).__module__ == "uvloop"
        # What anyio looks up anew at each call, `use_running_loop` looks up once.
        self.effective_deadline: Clock = anyio.current_effective_deadline
        self.new_waiter: Callable[[], Waiter] = EventWaiter
        self.new_reply: Callable[[], CallReply] = lambda: Reply(EventWaiter())
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = count()
        self._cancelled = 0
        self._next_due = inf
        self._wake = anyio.Event()

    def use_running_loop(self) -> None:
        """Settle on the event loop that runs now; it must stay the same from here on."""
        token = anyio.lowlevel.current_token()
        self.effective_deadline = token.backend_class.current_effective_deadline
        new_future = getattr(token.native_token, "create_future", None)
        if new_future is not None:
            self.new_waiter = new_future
            self.new_reply = lambda: LoopReply(new_future())

    def at(self, when: float, action: Callable[[], None]) -> Timer:
        """Run `action` at `when`, in seconds of the clock; at once if that has passed.

        The action must not wait; it puts something into a mailbox or sets an event. What it raises ends the node.
        """
        timer = Timer(self, action)
        heapq.heappush(self._heap, (when, next(self._order), timer))
        if when < self._next_due:
            self._wake.set()
        return timer

    def forget_one(self) -> None:
        """Note that a timer in the heap was cancelled."""
        self._cancelled += 1
        if self._cancelled > _COMPACT_ABOVE and self._cancelled * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].pending]
            heapq.heapify(self._heap)
            self._cancelled = 0

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Fire timers until cancelled."""
        task_status.started()
        while True:
            self._fire_due()
            self._wake = anyio.Event()
            self._next_due = self._heap[0][0] if self._heap else inf
            with anyio.CancelScope(deadline=self._next_due):
                await self._wake.wait()
            self._next_due = inf

    def _fire_due(self) -> None:
        now = self.clock()
        while self._heap and self._heap[0][0] <= now:
            _, _, timer = heapq.heappop(self._heap)
            if timer.pending:
                timer.fire()
            else:
                self._cancelled -= 1

    def __len__(self) -> int:
        """The number of timers that are still to fire."""
        return len(self._heap) - self._cancelled
