"""Why something ended: in the words of the traces, as our `Exit`, and as the log has it."""

import re

from cliffracer.exits import Crashed, Exit, Killed, Normal, NotStarted, Shutdown

__all__ = ["REFUSED", "Boom", "StartFault", "exit_of", "exit_of_text", "word_of"]

REFUSED = "refused"
"""Stands for each word that says what is wrong with a spec: every library has its own."""

_CRASHED = re.compile(r"crashed: (?P<error>.*?)(?: \(incident [^()]*\))?")
_NOT_STARTED = re.compile(r"shutdown: child '(?P<child>[^']*)' did not start, (?P<reason>.*)")


class Boom(Exception):
    """What a worker ends with when the scenario says `crash:TEXT`; the text is the message."""


class StartFault(Exception):
    """What a start fails with; the message is the word of the trace: fail, raise, bad_return."""


def exit_of(word: str) -> Exit:
    """Return the exit that a reason of a scenario means."""
    kind, _, text = word.partition(":")
    match kind:
        case "normal":
            return Normal()
        case "shutdown":
            return Shutdown(text)
        case "killed":
            return Killed()
        case _:
            return Crashed(f"Boom: {text}", "of the scenario")


def word_of(reason: Exit) -> str:
    """Return how a trace would write `reason`."""
    match reason:
        case Normal():
            return "normal"
        case Shutdown(detail):
            return f"shutdown:{detail}" if detail else "shutdown"
        case Killed():
            return "killed"
        case NotStarted(child, why):
            return f"shutdown:failed_to_start_child({child},{word_of(why)})"
        case Crashed(error):
            return _word_of_error(error)
    return f"unexpected: {reason}"


def _word_of_error(error: str) -> str:
    name, _, text = error.partition(": ")
    match name:
        case "Boom":
            return f"crash:{text}"
        case "StartFault":
            return text
        case "SpecError":
            return REFUSED
        case "TypeError" if text.endswith("and no supervisor"):
            return "bad_return"
        case _:
            return f"unexpected: {error}"


def exit_of_text(text: str) -> Exit:
    """Return the exit that the log tells of: the other way round of `str()`."""
    if found := _CRASHED.fullmatch(text):
        return Crashed(found["error"], "of the log")
    if found := _NOT_STARTED.fullmatch(text):
        return NotStarted(found["child"], exit_of_text(found["reason"]))
    return exit_of(text.replace("shutdown: ", "shutdown:"))
