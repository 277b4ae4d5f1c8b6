"""`cliffracer call` and `cliffracer cast`: one message from the shell, to an actor on any node."""

import json
import sys
from typing import Any

import click

from cliffracer.cli.connect import connected, settings_for
from cliffracer.envelope import Message, pack_context
from cliffracer.errors import (
    ActorCrashed,
    CallError,
    CallTimeout,
    Disconnected,
    InvalidMessage,
    NoActor,
    Refusal,
    TransportError,
    UnknownHandler,
)
from cliffracer.names import subject_problem
from cliffracer.node.node import run_on_asyncio
from cliffracer.node.remote import call_error_of
from cliffracer.node.settings import Settings
from cliffracer.node.wire import error_of
from cliffracer.transport.contract import Response

__all__ = ["call", "cast", "exit_code_of"]

_EXIT_CODES: dict[type[CallError], int] = {
    InvalidMessage: 4,
    UnknownHandler: 5,
    NoActor: 6,
    CallTimeout: 7,
    ActorCrashed: 8,
    Disconnected: 10,
}
_REFUSED = 3
_OTHER_FAILURE = 9


def exit_code_of(error: CallError | Refusal) -> int:
    """Return the exit code that stands for `error`; `cliffracer --help` lists them."""
    if isinstance(error, Refusal):
        return _REFUSED
    return _EXIT_CODES.get(type(error), _OTHER_FAILURE)


@click.command()
@click.argument("target", metavar="ACTOR.HANDLER")
@click.argument("arguments", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--json", "payload", metavar="OBJECT", help="All arguments as one JSON object.")
@click.option("--nats", metavar="URL", help="The NATS server.  [default: CLIFFRACER_NATS_URL or nats://127.0.0.1:4222]")
@click.option(
    "--timeout", type=float, metavar="SECONDS", help="How long to wait.  [default: CLIFFRACER_CALL_TIMEOUT or 5]"
)
def call(target: str, arguments: tuple[str, ...], payload: str | None, nats: str | None, timeout: float | None) -> None:
    """Call a handler and print its answer as JSON.

    Values are JSON where they parse, text otherwise: cliffracer call orders.place sku=A1 qty=2
    """
    response = _send(target, _payload_of(arguments, payload), nats, timeout)
    click.echo(response.payload.decode(errors="replace"))


@click.command()
@click.argument("target", metavar="ACTOR.HANDLER")
@click.argument("arguments", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--json", "payload", metavar="OBJECT", help="All arguments as one JSON object.")
@click.option("--nats", metavar="URL", help="The NATS server.  [default: CLIFFRACER_NATS_URL or nats://127.0.0.1:4222]")
@click.option(
    "--timeout", type=float, metavar="SECONDS", help="How long to wait.  [default: CLIFFRACER_CALL_TIMEOUT or 5]"
)
def cast(target: str, arguments: tuple[str, ...], payload: str | None, nats: str | None, timeout: float | None) -> None:
    """Send a handler a message without waiting for it to be handled.

    It is confirmed when the message is in the actor's mailbox: cliffracer cast inventory.restock sku=A1 qty=5
    """
    _send(target, _payload_of(arguments, payload), nats, timeout)
    click.echo(f"taken by {target.partition('.')[0]}", err=True)


def _payload_of(arguments: tuple[str, ...], payload: str | None) -> bytes:
    if payload is not None:
        if arguments:
            raise click.UsageError("give NAME=VALUE arguments or --json, not both.")
        try:
            value = json.loads(payload)
        except (ValueError, RecursionError) as error:
            raise click.UsageError(f'--json: {error}. Type an object: --json \'{{"sku": "A1", "qty": 2}}\'.') from None
        if not isinstance(value, dict):
            raise click.UsageError("--json takes an object, with one key for each parameter of the handler.")
        return payload.encode()
    values: dict[str, Any] = {}
    for argument in arguments:
        name, equals, text = argument.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{argument!r} is no argument; type NAME=VALUE, like qty=2.")
        if name in values:
            raise click.UsageError(f"{name!r} is given twice.")
        try:
            values[name] = json.loads(text, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            values[name] = text
    return json.dumps(values).encode()


def _no_constant(text: str) -> None:
    raise ValueError(text)  # NaN and Infinity are Python's, and no JSON: they stay text


def _send(target: str, payload: bytes, nats: str | None, timeout: float | None) -> Response:
    if "." not in target or subject_problem(target):
        raise click.UsageError(f"{target!r} is no target; type ACTOR.HANDLER, like orders.place.")
    settings = settings_for(nats)
    if timeout is not None and not 0 < timeout < float("inf"):
        raise click.UsageError("--timeout takes a number of seconds above zero.")
    subject = settings.prefix() + target
    outcome = run_on_asyncio(lambda: _request(settings, subject, target, payload, timeout or settings.call_timeout))
    if isinstance(outcome, CallError | Refusal):
        click.echo(_tell(outcome), err=True)
        sys.exit(exit_code_of(outcome))
    assert isinstance(outcome, Response)
    return outcome


async def _request(
    settings: Settings, subject: str, target: str, payload: bytes, timeout: float
) -> Response | CallError | Refusal:
    async with connected(settings) as transport:
        try:
            # Who does not wait any more should not be worked for: the time left goes with the message.
            headers = pack_context(Message("", "", deadline=timeout), 0.0)
            response = await transport.request(subject, payload, headers=headers, timeout=timeout)
        except TransportError as error:
            return call_error_of(error, target)
    return error_of(response, target) or response


def _tell(error: CallError | Refusal) -> str:
    if isinstance(error, Refusal):
        return f"refused ({error.code}): {error.message}"
    return f"{error.code}: {error}\n{_ADVICE[error.retry]}"


_ADVICE = {
    "safe": "The message was not handled: it is safe to try again.",
    "unsafe": "The message may have been handled: look before you try again.",
    "useless": "Trying again will not help.",
}
