"""Which message suffers what: decided by rules, with no clock and no await."""

from collections.abc import Callable, Sequence
from enum import Enum
from random import Random
from types import TracebackType
from typing import Literal, Self, TypeAlias

import anyio
from msgspec import Struct

from cliffracer.names import matches, subject_problem
from cliffracer.transport.contract import Headers

__all__ = ["Crossing", "Direction", "Fault", "FaultKind", "Verdict", "judge"]

Direction: TypeAlias = Literal["out", "in"]


class Crossing(Struct, frozen=True):
    """A message that passes a `FaultyTransport`.

    Attributes:
        direction: "out": this node sends it. "in": it arrives here.
        subject: Its subject; of a reply, the subject of the request that it answers.
        payload: Its bytes.
        headers: Its headers, or None.
        is_reply: Whether it is the reply to a request.
    """

    direction: Direction
    subject: str
    payload: bytes
    headers: Headers | None
    is_reply: bool


class FaultKind(Enum):
    """What a fault does."""

    DROP = "drop"
    DELAY = "delay"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    REFUSE_CONNECT = "refuse_connect"


class Fault:
    """One rule, and how often it has acted. A `with` block around it ends it.

    Attributes:
        kind: What it does.
        count: How often it has done so.
    """

    def __init__(
        self,
        kind: FaultKind,
        subject: str,
        *,
        direction: Direction | None,
        times: int | None,
        probability: float,
        when: Callable[[Crossing], bool] | None,
        random: Random,
        seconds: float = 0.0,
        size: int = 1,
    ) -> None:
        """Make a rule; `FaultyTransport.drop` and its like do so.

        Args:
            kind: What to do.
            subject: A subject, or a pattern with the wildcards of NATS.
            direction: "out", "in", or None for both.
            times: How often; None for always.
            probability: Of each message that matches, how likely it is to suffer.
            when: Asked last; a message suffers only if it returns True.
            random: Where the dice come from.
            seconds: How long a delay is, or how long a reordering waits for more.
            size: Copies of a duplication; messages that are reordered together.

        Raises:
            ValueError: A value makes no sense.
        """
        if problem := subject_problem(subject, wildcards=True):
            raise ValueError(f"cannot {kind.value} {subject!r}: {problem}.")
        if direction not in ("out", "in", None):
            raise ValueError(f"cannot {kind.value} {direction!r}: the direction is 'out', 'in', or None for both.")
        if times is not None and times < 1:
            raise ValueError(f"cannot {kind.value} {times} times: write times=1 or more, or None for always.")
        if not 0.0 < probability <= 1.0:
            raise ValueError(f"cannot {kind.value} with probability {probability}: it is above 0, and at most 1.")
        self.kind = kind
        self.count = 0
        self.seconds = seconds
        self.size = size
        self._random = random
        self._subject = subject
        self._direction = direction
        self._left = times
        self._probability = probability
        self._when = when
        self._happened: anyio.Event | None = None

    @property
    def is_over(self) -> bool:
        """Whether it was ended, or has acted as often as it was to."""
        return self._left == 0

    def stop(self) -> None:
        """End it; what it holds back already goes its way in its time."""
        self._left = 0

    def strikes(self, message: Crossing) -> bool:
        """Tell whether it acts on `message`; if so, that is counted."""
        if self.is_over or self._direction not in (None, message.direction):
            return False
        if not matches(self._subject, message.subject):
            return False
        if self._when is not None and not self._when(message):
            return False
        if self._probability < 1.0 and self._random.random() >= self._probability:
            return False
        self.act()
        return True

    def act(self) -> None:
        """Count that it has acted once more."""
        self.count += 1
        if self._left is not None:
            self._left -= 1
        happened, self._happened = self._happened, None
        if happened is not None:
            happened.set()

    async def wait(self, count: int = 1) -> None:
        """Wait until it has acted so often; a cancel scope bounds that."""
        while self.count < count:
            self._happened = self._happened or anyio.Event()
            await self._happened.wait()

    def shuffled(self, count: int) -> list[int]:
        """Return the numbers from 0 to below `count` in another order than that, if there is one."""
        order = list(range(count))
        while count > 1 and order == sorted(order):
            self._random.shuffle(order)
        return order

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self.stop()

    def __repr__(self) -> str:
        return f"<Fault {self.kind.value} {self._subject!r}, {self.count} times>"


class Verdict(Struct, frozen=True):
    """What becomes of a message.

    Attributes:
        is_dropped: It goes nowhere.
        copies: How often it goes on.
        seconds: How long it is held back.
        window: The reordering that it waits for, or None.
    """

    is_dropped: bool = False
    copies: int = 1
    seconds: float = 0.0
    window: Fault | None = None

    @property
    def is_held(self) -> bool:
        """Whether it does not go on at once."""
        return self.window is not None or self.seconds > 0.0


_PASSES = Verdict()


def judge(faults: Sequence[Fault], message: Crossing) -> Verdict:
    """Return what becomes of `message`: the faults act in the order in which they were made.

    What is dropped suffers nothing more. Copies and delays add up. Of several reorderings the first one has it.
    """
    copies, seconds = 1, 0.0
    window: Fault | None = None
    for fault in faults:
        if fault.kind is FaultKind.REORDER and window is not None:
            continue
        if fault.kind is FaultKind.REFUSE_CONNECT or not fault.strikes(message):
            continue
        match fault.kind:
            case FaultKind.DROP:
                return Verdict(is_dropped=True)
            case FaultKind.DELAY:
                seconds += fault.seconds
            case FaultKind.DUPLICATE:
                copies += fault.size
            case _:
                window = fault
    if copies == 1 and window is None and seconds == 0.0:
        return _PASSES
    return Verdict(copies=copies, seconds=seconds, window=window)
