"""How errors look on the wire.

An error reply carries the two headers of the NATS service protocol (ADR-32), so that any client sees that it is
one, our fixed code beside them, and a body for programs:

    Nats-Service-Error: inventory.reserve: the actor crashed over this message; ...
    Nats-Service-Error-Code: 500
    Cliffracer-Error: crashed

    {"code": "crashed", "message": "the actor crashed...", "target": "inventory.reserve", "incident": "1f0c...",
    "data": null}

A refusal has the code `refused` in the header and its own code in the body.
"""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from msgspec import Struct

from cliffracer.codec import Wire, encode, wire_of
from cliffracer.errors import CALL_ERRORS, CallError, Refusal
from cliffracer.observe.logs import printable
from cliffracer.transport.contract import Headers, Response

__all__ = ["error_of", "error_reply", "refusal_class"]

_TEXT = "Nats-Service-Error"
_STATUS = "Nats-Service-Error-Code"
_CODE = "Cliffracer-Error"
_REFUSED = "refused"
_REFUSED_STATUS = 422
_MAX_TEXT = 256  # characters of the header; the body has it all


class _Body(Struct):
    code: str
    message: str = ""
    target: str = ""
    incident: str = ""
    data: Any = None


def error_reply(error: CallError | Refusal, wire: Wire) -> tuple[bytes, dict[str, str]]:
    """Return payload and headers of the reply that says `error`.

    Raises:
        TypeError: The data of a refusal cannot be encoded.
    """
    if isinstance(error, Refusal):
        body = _Body(error.code, error.message, data=error.data)
        status, code = _REFUSED_STATUS, _REFUSED
    else:
        body = _Body(error.code, error.detail, error.target, error.incident)
        status, code = error.status, error.code
    # A header is one line, and ADR-32 wants it non-empty. What a stranger wrote may stand in it, terminal codes too.
    text = printable(" ".join(str(error).split()))[:_MAX_TEXT] or body.code
    return encode(body, wire), {_TEXT: text, _STATUS: str(status), _CODE: code}


def error_of(
    response: Response, target: str, class_of: Callable[[str], type[Refusal]] = lambda _: Refusal
) -> CallError | Refusal | None:
    """Return the error that `response` says, or None if it is a result.

    Args:
        response: A reply, from one of ours or from any NATS service.
        target: Whom the call was for.
        class_of: Returns the class to use for a refusal with this code.
    """
    headers = response.headers
    if not headers or _STATUS not in headers:
        return None
    code = headers.get(_CODE, "")
    body = _body_of(response, headers)
    if code in CALL_ERRORS:
        return CALL_ERRORS[code](body.target or target, body.message, incident=body.incident)
    return _refusal(body, class_of(body.code))


def _body_of(response: Response, headers: Headers) -> _Body:
    decode: Any = msgspec.msgpack.decode if wire_of(response.payload) == "msgpack" else msgspec.json.decode
    try:
        body: _Body = decode(response.payload, type=_Body)
    except (ValueError, RecursionError):
        # A service that is none of ours: the headers are all we know.
        return _Body(code="service_error", message=headers.get(_TEXT, ""), data={"status": headers[_STATUS]})
    return body


def _refusal(body: _Body, cls: type[Refusal]) -> Refusal:
    # Not by calling the class: a subclass may take other arguments than the wire brings.
    refusal = cls.__new__(cls)
    Refusal.__init__(refusal, body.message, data=body.data)
    refusal.__dict__["code"] = body.code
    return refusal


def refusal_class(code: str, module: str) -> type[Refusal]:
    """Return the class that this process knows for the code of a refusal.

    Two teams may well have an `OutOfStock` each. So one that the module of the actor's class has, defined or imported
    there, comes first; else it is the only one of all that are loaded; else a plain `Refusal`.

    Args:
        code: The code.
        module: The name of the module in which the class of the called actor is defined.
    """
    near = vars(sys.modules[module]).values() if module in sys.modules else ()
    for known in (near, _subclasses(Refusal)):
        found = {cls for cls in known if isinstance(cls, type) and issubclass(cls, Refusal) and cls.code == code}
        if len(found) == 1:
            return found.pop()
    return Refusal


def _subclasses(cls: type[Refusal]) -> Iterator[type[Refusal]]:
    for subclass in cls.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)
