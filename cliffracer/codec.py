"""Bytes to values and back; one compiled decoder and encoder per handler.

JSON unless MessagePack is asked for; which of the two a payload is shows in its first byte (`wire_of`). What does
not decode raises `ValueError` with the path of the bad field, and nothing of it reaches an actor. That text goes to
whoever sent the payload.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, NoReturn, cast

import msgspec
import msgspec.inspect
from msgspec import NODEFAULT

from cliffracer.exits import summary_of

__all__ = ["Parameter", "PayloadCodec", "ValueCodec", "Wire", "encode", "wire_of"]

Wire = Literal["json", "msgpack"]

_JSON = msgspec.json.Encoder()
_MSGPACK = msgspec.msgpack.Encoder()

# No JSON text begins with a byte of 0x80 or more, and every MessagePack map, array, string and Struct does.
_FIRST_MSGPACK = b"\x80"

_PAIRS = msgspec.msgpack.Decoder(dict[str, msgspec.Raw])
_FIXMAP_PAIRS = 0x0F  # bits of the first byte of a small map
_LONG_MAPS = {0xDE: 2, 0xDF: 4}  # first byte of a larger one, and how many bytes its number of pairs has


def wire_of(payload: bytes) -> Wire:
    """Tell from its first byte whether `payload` is JSON or MessagePack; an empty one counts as JSON."""
    return "json" if payload < _FIRST_MSGPACK else "msgpack"


def encode(value: Any, wire: Wire) -> bytes:
    """Return `value` as bytes.

    Raises:
        TypeError: Its type cannot be encoded.
    """
    return _MSGPACK.encode(value) if wire == "msgpack" else _JSON.encode(value)


class ValueCodec:
    """Decodes one type, in either form."""

    __slots__ = ("_json", "_keys", "_msgpack", "_required", "decode", "type")

    def __init__(self, value_type: Any) -> None:
        """Compile the decoders of `value_type`.

        Raises:
            TypeError: msgspec does not support the type.
        """
        if (custom := _custom_type(msgspec.inspect.type_info(value_type), set())) is not None:
            raise TypeError(f"Type {custom.__qualname__!r} is not supported")
        self.type = value_type
        # Of a Struct, what the keys look like in JSON, and how many of them each payload has.
        fields = msgspec.structs.fields(value_type) if _is_struct(value_type) else ()
        self._keys = [json.dumps(field.encode_name, ensure_ascii=False).encode() for field in fields]
        self._required = sum(field.required for field in fields)
        self._json: msgspec.json.Decoder[Any] = msgspec.json.Decoder(value_type)
        self._msgpack: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(value_type)
        self.decode = self._compiled()
        """Returns the value that a payload holds, in the form that its first byte tells: a function of the payload.

        Raises:
            ValueError: It holds none, or one of another type; the message gives the path of the bad field. What a
                type's own checks raise is its cause, unless that was a ValueError or a TypeError.
        """

    def _compiled(self) -> Callable[[bytes], Any]:
        """Return `decode`. It is a closure because every message goes through it."""
        decode_json, decode_from = self._json.decode, self.decode_from
        # Each key has its colon. Where there are no more of them than keys that must be there, none is there twice.
        colons = self._required if self._keys else None

        def decode(payload: bytes) -> Any:
            if payload >= _FIRST_MSGPACK:
                return decode_from(payload, "msgpack")
            try:
                value = decode_json(payload)
                if colons is not None and payload.count(b":") > colons:
                    self._check_keys(payload)
            except ValueError:
                raise
            except BaseException as error:  # noqa: BLE001 - what comes from outside is raised again
                _refuse(error)
            return value

        return decode

    def decode_from(self, payload: bytes, wire: Wire) -> Any:
        """Return the value that `payload` holds in the form `wire`.

        For who knows the form, as of a reply: a small number in MessagePack looks like JSON.

        Raises:
            ValueError: As from `decode`.
        """
        if wire == "json" and payload < _FIRST_MSGPACK:
            return self.decode(payload)
        try:
            if wire == "json":
                return self._json.decode(payload)  # which says what is wrong with it
            value = self._msgpack.decode(payload)
            if self._keys:
                self._check_pairs(payload)
        except ValueError:
            raise
        except BaseException as error:  # noqa: BLE001 - what comes from outside is raised again
            _refuse(error)
        return value

    def _check_keys(self, payload: bytes) -> None:
        """Refuse an object that has a key twice: which of the two values is meant, parsers do not agree on.

        This is about the outermost object. In those inside it, the last one counts.
        """
        if b"\\" not in payload and all(payload.count(key) < 2 for key in self._keys):  # noqa: PLR2004
            return
        outermost: list[tuple[str, Any]] = []

        def take(pairs: list[tuple[str, Any]]) -> None:
            outermost[:] = pairs  # the outermost one comes last

        json.loads(payload, object_pairs_hook=take)
        seen: set[str] = set()
        for name, _ in outermost:
            if name in seen:
                raise ValueError(f"Object contains the key `{name}` twice - at `$`")
            seen.add(name)

    def _check_pairs(self, payload: bytes) -> None:
        """Do in MessagePack what `_check_keys` does in JSON: a map says how many pairs it has."""
        first = payload[0]
        if first in _LONG_MAPS:
            pairs = int.from_bytes(payload[1 : 1 + _LONG_MAPS[first]], "big")
        else:
            pairs = first & _FIXMAP_PAIRS
        if pairs > self._required and len(_PAIRS.decode(payload)) < pairs:
            raise ValueError("Object contains a key twice - at `$`")


def _refuse(error: BaseException) -> NoReturn:
    """Raise what a payload is refused with if decoding it raised something else than a ValueError."""
    match error:
        case KeyboardInterrupt() | SystemExit():
            raise error
        case RecursionError():
            raise ValueError("the payload is nested too deeply") from None
        case TypeError():  # a list where a set is to hold it
            raise ValueError(summary_of(error)) from None
        case _:
            # A user's type checks itself in there, and may raise what it likes. Nothing waits in there, so not even a
            # CancelledError comes from outside, and what escaped would end the transport's loop. ValueError and
            # TypeError are for the sender, and msgspec passes their text on. That of anything else was not written for
            # strangers: it may hold the path of a file, or a password.
            raise ValueError("its type could not be checked; the receiver's log says why") from error


def _is_struct(value_type: Any) -> bool:
    return isinstance(value_type, type) and issubclass(value_type, msgspec.Struct)


def _custom_type(info: object, seen: set[int]) -> type | None:
    """Return a class inside `info` that msgspec would leave to hooks, which we have none of; or None."""
    if isinstance(info, msgspec.inspect.CustomType):
        return info.cls
    if id(info) in seen:
        return None
    seen.add(id(info))
    if isinstance(info, tuple):
        parts = cast("tuple[object, ...]", info)
    elif isinstance(info, msgspec.inspect.Type | msgspec.inspect.Field):
        parts = tuple(getattr(info, field) for field in info.__struct_fields__)
    else:
        return None
    return next((found for part in parts if (found := _custom_type(part, seen)) is not None), None)


class Parameter(NamedTuple):
    """One parameter of a handler: its name, its type and, if there is one, its default."""

    name: str
    type: Any
    default: Any = NODEFAULT


class PayloadCodec:
    """The payload of a call or cast: an object keyed by the names of the handler's parameters."""

    __slots__ = ("_codec", "_keyword_only", "_positional", "_struct")

    def __init__(self, name: str, parameters: list[Parameter], keyword_only: frozenset[str]) -> None:
        """Compile the codec of one handler.

        Args:
            name: For error messages.
            parameters: In the order of the signature.
            keyword_only: Names of those that can only be given by keyword.

        Raises:
            TypeError: msgspec does not support a type.
        """
        fields: list[tuple[str, Any, Any]] = [(p.name, p.type, p.default) for p in parameters]
        self._struct = msgspec.defstruct(
            name, fields, forbid_unknown_fields=True, kw_only=bool(keyword_only), frozen=True
        )
        self._keyword_only = bool(keyword_only)
        self._positional = [p.name for p in parameters if p.name not in keyword_only]
        self._codec = ValueCodec(self._struct)

    @property
    def arity(self) -> int:
        """With how many positional arguments and nothing else there is nothing to `bind`; -1 if that is never so."""
        return -1 if self._keyword_only else len(self._positional)

    @property
    def type(self) -> type[msgspec.Struct]:
        """The parameters as a Struct, named after the handler."""
        return self._struct

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any] | None]:
        """Return the positional and the keyword-only arguments of a call, defaults filled in.

        Raises:
            TypeError: They do not fit the signature.
        """
        if not self._keyword_only:
            return msgspec.structs.astuple(self._struct(*args, **kwargs)), None
        if len(args) > len(self._positional):
            raise TypeError("too many positional arguments")
        return self._split(self._struct(**dict(zip(self._positional, args, strict=False)), **kwargs))

    def encode(self, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None, wire: Wire) -> bytes:
        """Return the payload for arguments as `decode` gives them.

        Raises:
            TypeError: An argument cannot be encoded.
        """
        if kwargs is None:
            return encode(self._struct(*args), wire)
        return encode(self._struct(**dict(zip(self._positional, args, strict=True)), **kwargs), wire)

    def decode(self, payload: bytes) -> tuple[tuple[Any, ...], dict[str, Any] | None]:
        """Return the positional and the keyword-only arguments that `payload` holds; an empty payload counts as `{}`.

        Raises:
            ValueError: It does not fit; the message gives the path of the bad field.
        """
        value = cast("msgspec.Struct", self._codec.decode(payload or b"{}"))
        return self._split(value) if self._keyword_only else (msgspec.structs.astuple(value), None)

    def _split(self, value: msgspec.Struct) -> tuple[tuple[Any, ...], dict[str, Any]]:
        fields = msgspec.structs.asdict(value)
        return tuple(fields.pop(name) for name in self._positional), fields
