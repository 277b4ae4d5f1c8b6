"""How a client of nats-py is connected, within a time and with an error that helps, and how it is given up."""

# nats-py declares its own types loosely.
# pyright: reportUnknownMemberType=false

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
from nats import errors as nats_errors
from nats.aio.client import Client

from cliffracer.errors import ConnectFailed
from cliffracer.exits import summary_of
from cliffracer.transport.nats.client import PENDING_SIZE
from cliffracer.transport.nats.options import NatsOptions, without_credentials

__all__ = ["abandon", "open_client", "to_the_end"]

_PING_INTERVAL = 10  # seconds: a dead peer is noticed after two of them, at the latest after three
_RECONNECT_WAIT = 0.5  # seconds between two attempts
_CLOSE_TIMEOUT = 5.0  # seconds


async def open_client(
    client: Client, options: NatsOptions, on_error: Callable[[Exception], None], callbacks: dict[str, Any]
) -> None:
    """Connect `client`, retrying until `connect_timeout`.

    Args:
        client: A client that was not used yet.
        options: Where to.
        on_error: Told, once it is connected, what goes wrong.
        callbacks: The other callbacks of nats-py, by their names.

    Raises:
        ConnectFailed: There is no connection in time; `client` is closed.
    """
    errors: list[Exception] = []
    connected = False

    async def note(error: Exception) -> None:
        if connected:
            on_error(error)
        elif _is_denial(error):
            raise error  # out of `connect`: asking again will not help
        else:
            errors.append(error)

    # In a task of its own: what nats-py waits with, on Python 3.11, swallows a cancellation that comes in the same
    # turn as the server's words.
    try:
        opening = asyncio.create_task(
            client.connect(list(options.servers), error_cb=note, **callbacks, **_parameters(options))
        )
        try:
            await asyncio.wait({opening}, timeout=options.connect_timeout)
        finally:
            opening.cancel()
            opening.add_done_callback(_ignore)
        if opening.done():
            opening.result()
            connected = True
    except (OSError, ValueError, ImportError, nats_errors.Error) as error:
        errors.append(error)
    finally:
        if not connected:
            await abandon(client)
    if not connected:
        raise ConnectFailed(_why(errors, options))


def _ignore(opening: "asyncio.Task[None]") -> None:
    # asyncio logs what nobody has looked at; of one that is given up, nobody will.
    if not opening.cancelled():
        opening.exception()


async def abandon(client: Client) -> None:
    """Close `client`, whatever state it is in, and whoever is cancelled meanwhile."""
    await to_the_end(_close(client))


async def to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Do `work`, whoever is cancelled meanwhile; the cancellation comes out when it is done.

    anyio's shields hold off anyio's own cancellation. asyncio's `Task.cancel()`, with which `asyncio.run` passes on
    Ctrl-C and `asyncio.timeout` its time-outs, goes through them; but not into another task.
    """
    doing = asyncio.create_task(work)
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while not doing.done():
            try:
                await asyncio.wait({doing})
            except asyncio.CancelledError as error:
                cancelled = error
    doing.result()
    if cancelled is not None:
        raise cancelled


async def _close(client: Client) -> None:
    # One that is half connected, or whose peer has gone, raises here; there is nothing left to save. It is a
    # RuntimeError where something waits to be sent, and uvloop has closed the socket.
    with anyio.move_on_after(_CLOSE_TIMEOUT):
        try:
            await client.close()
        except (OSError, RuntimeError, AssertionError, AttributeError, nats_errors.Error):
            return


def _parameters(options: NatsOptions) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "name": options.name,
        "user": options.user,
        "password": options.password,
        "token": options.token,
        "user_credentials": options.creds_file,
        "tls": _tls(options),
        "connect_timeout": max(1, int(options.connect_timeout)),
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": _RECONNECT_WAIT,
        "ping_interval": _PING_INTERVAL,
        "pending_size": PENDING_SIZE,
        "skip_subject_validation": True,  # done by the transport, once
    }
    return {key: value for key, value in parameters.items() if value is not None}


def _tls(options: NatsOptions) -> ssl.SSLContext | None:
    if not (options.tls_ca_file or options.tls_cert_file):
        return None
    context = ssl.create_default_context(cafile=options.tls_ca_file)
    if options.tls_cert_file:
        context.load_cert_chain(options.tls_cert_file, options.tls_key_file)
    return context


def _why(errors: list[Exception], options: NatsOptions) -> str:
    where = ", ".join(without_credentials(server) for server in options.servers)
    if any(_is_denial(error) for error in errors):
        return (
            f"the NATS server at {where} refused the credentials.\n"
            "Check CLIFFRACER_NATS_USER and CLIFFRACER_NATS_PASSWORD, CLIFFRACER_NATS_TOKEN, "
            "or CLIFFRACER_NATS_CREDS_FILE."
        )
    last = summary_of(errors[-1]) if errors else "no answer"
    return (
        f"no NATS server answered at {where} within {options.connect_timeout} s ({last}).\n"
        "Is it running? Start one, give another address (--nats URL, CLIFFRACER_NATS_URL), "
        "or do without (--nats none)."
    )


def _is_denial(error: Exception) -> bool:
    # During the first connection nats-py passes on the server's words, and has no class for them.
    return "authorization violation" in str(error).lower() or isinstance(error, nats_errors.AuthorizationError)
