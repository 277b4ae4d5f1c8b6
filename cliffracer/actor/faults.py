"""What an exception means: a fault of the code it passed through, a force from outside, or the end of the program."""

import secrets
from math import inf
from typing import Any, cast

import anyio

from cliffracer.exits import Crashed, summary_of

__all__ = ["crash_of", "is_outside_force", "leaving_in"]


def is_outside_force(error: BaseException) -> bool:
    """Tell whether `error` ends the task or the process from outside, and is no fault of the code it passed through.

    A CancelledError that nobody asked for is a fault, like any other exception; so is what is no `Exception`, such as
    the panic of an extension module.
    """
    if isinstance(error, anyio.get_cancelled_exc_class()):
        return anyio.current_effective_deadline() == -inf
    return leaving_in(error) is not None or isinstance(error, GeneratorExit)


def leaving_in(error: BaseException | None) -> BaseException | None:
    """Return the SystemExit or KeyboardInterrupt that `error` is, or holds, or None."""
    if isinstance(error, KeyboardInterrupt | SystemExit):
        return error
    if isinstance(error, BaseExceptionGroup):
        members: tuple[BaseException, ...] = cast("Any", error).exceptions
        return next((found for member in members if (found := leaving_in(member)) is not None), None)
    return None


def crash_of(error: BaseException) -> Crashed:
    """Return the exit that `error` means, under a new incident id."""
    return Crashed(summary_of(error), secrets.token_hex(6))
