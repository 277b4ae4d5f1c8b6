"""Actors elsewhere: a `Destination` that sends over the transport."""

from math import inf
from typing import Any

from cliffracer.actor.host import Address
from cliffracer.actor.timers import Clock
from cliffracer.envelope import Message, pack_context
from cliffracer.errors import (
    CallError,
    CallTimeout,
    Disconnected,
    InvalidMessage,
    MailboxFull,
    MessageTooLarge,
    NoActor,
    NoResponders,
    NotAuthorized,
    NotConnected,
    NotPermitted,
    OutboundFull,
    PayloadTooLarge,
    Refusal,
    RequestTimeout,
    TransportError,
)
from cliffracer.node.wire import error_of, refusal_class
from cliffracer.transport.contract import Transport

__all__ = ["RemoteActor", "call_error_of"]

_AS_CALL_ERROR: dict[type[TransportError], type[CallError]] = {
    NoResponders: NoActor,
    RequestTimeout: CallTimeout,
    NotConnected: Disconnected,
    NotPermitted: NotAuthorized,
    PayloadTooLarge: MessageTooLarge,
    OutboundFull: MailboxFull,
}


def call_error_of(error: TransportError, target: str) -> CallError:
    """Return what a caller gets for a fault of the transport."""
    if isinstance(error, NoResponders):
        return NoActor(target, f"no actor {target.partition('.')[0]!r} runs on any node that can be reached")
    call_error = _AS_CALL_ERROR[type(error)](target, str(error))
    if isinstance(error, NotConnected) and error.nothing_sent:
        call_error.retry = "safe"
    return call_error


class RemoteActor:
    """An actor reached over the transport, wherever it runs. Meets `Destination`."""

    def __init__(self, transport: Transport, prefix: str, address: Address, clock: Clock, cast_timeout: float) -> None:
        """Describe the way to an actor.

        Args:
            transport: The way.
            prefix: The namespace with its dot, or nothing.
            address: The actor.
            clock: The node's clock.
            cast_timeout: Seconds that a cast may wait for room in the outbound buffer.
        """
        self._transport = transport
        self._subject = f"{prefix}{address.name}."
        self._address = address
        self._clock = clock
        self._cast_timeout = cast_timeout
        self._refusals: dict[str, type[Refusal]] = {}  # by code, as they were met

    def _class_of(self, code: str) -> type[Refusal]:
        cls = self._refusals.get(code)
        if cls is None:
            cls = refusal_class(code, self._address.module)
            if cls is not Refusal:  # codes that nobody knows may be any number
                self._refusals[code] = cls
        return cls

    async def call(self, message: Message, give_up: float) -> Any:
        """Send `message` and wait for its answer; see `Destination.call`."""
        handler = self._address.handlers[message.handler]
        payload, headers = self._pack(message)
        timeout = None if give_up == inf else give_up - self._clock()
        try:
            response = await self._transport.request(
                self._subject + message.handler, payload, headers=headers, timeout=timeout
            )
        except TransportError as error:
            raise call_error_of(error, message.target) from None
        if response.headers is not None and (failure := error_of(response, message.target, self._class_of)) is not None:
            raise failure
        assert handler.result is not None
        try:
            return handler.result.decode_from(response.payload, self._address.wire)
        except ValueError as error:
            raise InvalidMessage(
                message.target, f"the answer does not fit what the handler declares: {error}"
            ) from error.__cause__

    async def cast(self, message: Message) -> None:
        """Send `message`; see `Destination.cast`."""
        payload, headers = self._pack(message)
        try:
            await self._transport.publish(
                self._subject + message.handler, payload, headers=headers, timeout=self._cast_timeout
            )
        except TransportError as error:
            raise call_error_of(error, message.target) from None

    def _pack(self, message: Message) -> tuple[bytes, dict[str, str]]:
        codec = self._address.handlers[message.handler].payload
        assert codec is not None
        return codec.encode(message.args, message.kwargs, self._address.wire), pack_context(message, self._clock())
