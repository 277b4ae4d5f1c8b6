"""What one handler of an actor has done so far, all incarnations together."""

from cliffracer.errors import CallError, Refusal

__all__ = ["Tally"]

_MAX_TEXT = 256  # characters, as in the header of an error reply


class Tally:
    """The counters of one handler.

    Attributes:
        handled: Messages that came to an end, whatever the end.
        errors: Of these, the ones that ended with an error.
        nanoseconds: From the start of each message to its end, all together, waiting included. Real ones, also under a
            virtual clock: uvloop's stands still while a handler computes.
        last_error: What the last caller that got an error was told, or would have been; empty if none was.
        last_error_at: When that was, in seconds of the node's clock.
    """

    __slots__ = ("errors", "handled", "last_error", "last_error_at", "nanoseconds")

    def __init__(self) -> None:
        self.handled = 0
        self.errors = 0
        self.nanoseconds = 0
        self.last_error = ""
        self.last_error_at = 0.0

    def note_error(self, answer: CallError | Refusal, now: float) -> None:
        """Count an error.

        Args:
            answer: What the caller gets for it: written for callers, so it holds nothing of the inside.
            now: The node's clock.
        """
        self.errors += 1
        self.last_error_at = now
        try:
            text = " ".join(str(answer).split())
        except Exception:  # noqa: BLE001 - a refusal of the user's that has no words must not do harm by being counted
            text = ""
        # A lone surrogate could not be told to anybody.
        self.last_error = (text or answer.code).encode(errors="replace").decode()[:_MAX_TEXT]
