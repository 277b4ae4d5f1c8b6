"""Messages that nobody will handle and nobody is told of: what is dropped, and who hears of that."""

from collections.abc import Callable
from typing import Any, Literal

from msgspec import Struct

from cliffracer.actor.timers import Clock
from cliffracer.envelope import Message, correlation_of
from cliffracer.exits import summary_of
from cliffracer.observe.logs import Logger, Throttle

__all__ = ["DeadLetter", "DeadLetters", "WhyDropped"]

WhyDropped = Literal["drop_new", "drop_old", "stopped"]


class DeadLetter(Struct, frozen=True, eq=False):
    """A cast or an event that was dropped. A call never is: its caller gets an error.

    Attributes:
        actor: Whose mailbox it was for.
        handler: Which handler.
        args: Its positional arguments, decoded.
        kwargs: Its keyword-only arguments, decoded; None if there are none.
        why: "drop_new" or "drop_old": the mailbox was full, and that is its policy. "stopped": the actor had stopped.
        correlation: The id shared by everything that one outside request causes.
    """

    actor: str
    handler: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any] | None
    why: WhyDropped
    correlation: str


class DeadLetters:
    """Those of one node. Where nobody subscribes, they cost nothing but their number in the statistics."""

    def __init__(self, log: Logger, clock: Clock) -> None:
        """Begin without subscribers.

        Args:
            log: Hears of a subscriber that fails.
            clock: The node's.
        """
        self._log = log
        self._failures = Throttle(1.0, clock)
        self._subscribers: dict[object, Callable[[DeadLetter], None]] = {}

    def subscribe(self, subscriber: Callable[[DeadLetter], None]) -> Callable[[], None]:
        """Have `subscriber` called with each dead letter from now on; return what ends that."""
        key = object()
        self._subscribers[key] = subscriber

        def end() -> None:
            self._subscribers.pop(key, None)

        return end

    def add(self, message: Message, why: WhyDropped) -> None:
        """Tell the subscribers of a message that is dropped."""
        if not self._subscribers:
            return
        correlation = correlation_of(message)
        letter = DeadLetter(message.to, message.handler, message.args, message.kwargs, why, correlation)
        for subscriber in list(self._subscribers.values()):
            try:
                subscriber(letter)
            except Exception as error:  # noqa: BLE001 - somebody else's code, called by whoever drops the message
                if self._failures.ready():
                    self._log.error(
                        "dead_letter_subscriber_failed",
                        actor=letter.actor,
                        handler=letter.handler,
                        error=summary_of(error),
                    )
