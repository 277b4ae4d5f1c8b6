"""What goes wrong on a `FaultyTransport`: written by the test, while the nodes run."""

from collections.abc import Callable
from math import inf
from random import Random
from typing import TypeAlias

from cliffracer.testing.rules import Crossing, Direction, Fault, FaultKind, Verdict, judge

__all__ = ["Faults", "When"]

When: TypeAlias = Callable[[Crossing], bool]
_A_PAIR = 2


class Faults:
    """A list of faults, in the order in which they act.

    With the same seed and the same messages, the same ones suffer.
    """

    def __init__(self, *, seed: int = 0) -> None:
        """Begin without any.

        Args:
            seed: Decides who suffers where chance has a say.
        """
        self._seed = seed
        self._faults: list[Fault] = []

    def drop(
        self,
        subject: str = ">",
        *,
        direction: Direction | None = None,
        times: int | None = None,
        probability: float = 1.0,
        when: When | None = None,
    ) -> Fault:
        """Lose messages. Nobody is told: a request waits to its end, as on a line that swallows it.

        Args:
            subject: Which messages: a subject, or a pattern with the wildcards of NATS. A reply counts under the
                subject of the request that it answers.
            direction: "out" for what this node sends, "in" for what arrives here, None for both.
            times: How many messages; None for all of them, until `Fault.stop`.
            probability: How likely each of them is to suffer, above 0 and up to 1.
            when: Asked for each message that fits so far; it suffers only if this returns True.

        Returns:
            The fault, which counts how often it has acted, and can be stopped. `with faults.drop(...):` stops it
            at the end of the block.

        Raises:
            ValueError: An argument makes no sense.
        """
        return self._add(FaultKind.DROP, subject, direction, times, probability, when)

    def delay(
        self,
        seconds: float,
        subject: str = ">",
        *,
        direction: Direction | None = None,
        times: int | None = None,
        probability: float = 1.0,
        when: When | None = None,
    ) -> Fault:
        """Hold messages back. Those that are held equally long keep their order, and others overtake them.

        Args:
            seconds: How long. A request that is answered passes twice.
            subject: As for `drop`, like the other arguments.
            direction: See there.
            times: See there.
            probability: See there.
            when: See there.

        Raises:
            ValueError: An argument makes no sense.
        """
        if not 0.0 < seconds < inf:
            raise ValueError(f"cannot delay for {seconds} s: write a number above zero.")
        return self._add(FaultKind.DELAY, subject, direction, times, probability, when, seconds=seconds)

    def duplicate(
        self,
        subject: str = ">",
        *,
        copies: int = 1,
        direction: Direction | None = None,
        times: int | None = None,
        probability: float = 1.0,
        when: When | None = None,
    ) -> Fault:
        """Let messages come more than once, one right after the other.

        Of a request the copies that go out carry no reply subject, so only one answer comes.

        Args:
            subject: As for `drop`, like the arguments after the next.
            copies: How many there are besides the message itself.
            direction: See there.
            times: See there; of messages, and not of copies.
            probability: See there.
            when: See there.

        Raises:
            ValueError: An argument makes no sense.
        """
        if copies < 1:
            raise ValueError(f"cannot duplicate with copies={copies}: write 1 or more.")
        return self._add(FaultKind.DUPLICATE, subject, direction, times, probability, when, size=copies)

    def reorder(
        self,
        subject: str = ">",
        *,
        window: int = 2,
        within: float = 1.0,
        direction: Direction | None = None,
        times: int | None = None,
        probability: float = 1.0,
        when: When | None = None,
    ) -> Fault:
        """Gather messages, and let them go in another order: two change places, more are shuffled by the seed.

        Args:
            subject: As for `drop`, like the arguments after the next two.
            window: How many are gathered.
            within: Seconds after which those that are there go on, if no more come.
            direction: See there. With None, both directions share the dice, but each has a window of its own.
            times: See there; of messages, so two for one exchange.
            probability: See there.
            when: See there.

        Raises:
            ValueError: An argument makes no sense.
        """
        if window < _A_PAIR or not 0.0 < within < inf:
            raise ValueError(
                f"cannot reorder {window} messages within {within} s: it takes two or more, and some time."
            )
        return self._add(FaultKind.REORDER, subject, direction, times, probability, when, size=window, seconds=within)

    def refuse_connect(self, *, times: int | None = None) -> Fault:
        """Let `Transport.connect` fail, as without a server.

        Args:
            times: How often; None for always, until `Fault.stop`.

        Raises:
            ValueError: `times` is below 1.
        """
        return self._add(FaultKind.REFUSE_CONNECT, ">", None, times, 1.0, None)

    def _add(
        self,
        kind: FaultKind,
        subject: str,
        direction: Direction | None,
        times: int | None,
        probability: float,
        when: When | None,
        *,
        seconds: float = 0.0,
        size: int = 1,
    ) -> Fault:
        fault = Fault(
            kind,
            subject,
            direction=direction,
            times=times,
            probability=probability,
            when=when,
            # Each has dice of its own, so that one more fault does not change what the others do.
            random=Random(f"{self._seed}/{len(self._faults)}"),  # noqa: S311 - a test is no secret
            seconds=seconds,
            size=size,
        )
        self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Stop all faults. What is held back goes on in its time; a line that is cut stays cut."""
        for fault in self._faults:
            fault.stop()

    # For transports

    @property
    def are_at_work(self) -> bool:
        """Whether a message could suffer at the moment."""
        return any(fault.kind is not FaultKind.REFUSE_CONNECT and not fault.is_over for fault in self._faults)

    def judge(self, message: Crossing) -> Verdict:
        """Return what becomes of `message`."""
        return judge(self._faults, message)

    def refuses_connect(self) -> bool:
        """Tell whether a `connect` is to fail; if so, that is counted."""
        for fault in self._faults:
            if fault.kind is FaultKind.REFUSE_CONNECT and not fault.is_over:
                fault.act()
                return True
        return False
