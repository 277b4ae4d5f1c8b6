"""What strangers send: payloads, headers and reply subjects that fit nothing, each with what is wrong with it.

The payloads are for the handler `put(sku: str, qty: int, note: str = "", price: float = 0.0, anything: Any = None)`.
"""

from typing import Any, NamedTuple

import msgspec

__all__ = ["BAD_CONTEXTS", "BAD_PAYLOADS", "BAD_REPLY_SUBJECTS", "BAD_TRACES", "BAD_WORDS", "Bad"]


class Bad(NamedTuple):
    """Something that must not get in.

    Attributes:
        id: What it is, in a few words.
        bytes: The payload.
        problem: What the sender is told, in part.
    """

    id: str
    bytes: bytes
    problem: str


def _with(**fields: bytes) -> bytes:
    """Return a payload that fits, but for these fields, which are JSON texts."""
    texts = {"sku": b'"A1"', "qty": b"1", **fields}
    return b"{" + b", ".join(f'"{key}": '.encode() + text for key, text in texts.items()) + b"}"


def _pack(**fields: Any) -> bytes:
    return msgspec.msgpack.encode({"sku": "A1", "qty": 1, **fields})


def _pack_pairs(*pairs: tuple[Any, bytes]) -> bytes:
    """Return a MessagePack map of pairs, which may have a key twice; the values are MessagePack already."""
    return bytes([0x80 | len(pairs)]) + b"".join(msgspec.msgpack.encode(key) + value for key, value in pairs)


_A1, _ONE = msgspec.msgpack.encode("A1"), msgspec.msgpack.encode(1)
_DEEP = 100_000

BAD_PAYLOADS = [
    # No JSON
    Bad("a nul byte", b"\x00", "malformed"),
    Bad("text", b"hello", "malformed"),
    Bad("an HTTP request", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "malformed"),
    Bad("half an object", b'{"sku": "A1", "qty": 1', "truncated"),
    Bad("half a key", b'{"sk', "truncated"),
    Bad("one brace too many", _with() + b"}", "trailing"),
    Bad("two objects", _with() + _with(), "trailing"),
    Bad("a nul byte behind", _with() + b"\x00", "trailing"),
    Bad("a comma too many", b'{"sku": "A1", "qty": 1,}', "malformed"),
    Bad("a comment", b'{"sku": "A1", /* one */ "qty": 1}', "malformed"),
    Bad("single quotes", b"{'sku': 'A1', 'qty': 1}", "malformed"),
    Bad("bare keys", b'{sku: "A1", qty: 1}', "malformed"),
    Bad("a line break in a string", b'{"sku": "a\nb", "qty": 1}', "malformed"),
    Bad("a byte order mark", b"\xef\xbb\xbf" + _with(), "Expected `object`, got `int`"),
    Bad("UTF-16", _with().decode().encode("utf-16-le"), "malformed"),
    Bad("no UTF-8", _with(sku=b'"\xff\xfe"'), "codec can't decode"),
    Bad("a surrogate in UTF-8", _with(sku=b'"\xed\xa0\x80"'), "codec can't decode"),
    Bad("half a surrogate pair", _with(sku=b'"\\ud800"'), "malformed"),
    Bad("an unknown escape", _with(sku=b'"\\x41"'), "malformed"),
    # Deep
    Bad("100,000 open brackets", b"[" * _DEEP, "Expected `object`, got `array`"),
    Bad("100,000 open objects", b'{"sku":' * _DEEP, "Expected `str`, got `object`"),
    Bad("100,000 brackets where anything goes", _with(anything=b"[" * _DEEP + b"]" * _DEEP), "nested too deeply"),
    Bad("100,000 open brackets where anything goes", _with(anything=b"[" * _DEEP), "nested too deeply"),
    Bad("100,000 objects where anything goes", _with(anything=b'{"a":' * _DEEP + b"1" + b"}" * _DEEP), "nested too"),
    # Numbers
    Bad("5,000 digits", _with(qty=b"9" * 5000), "out of range"),
    Bad("5,000 digits where anything goes", _with(anything=b"9" * 5000), "out of range"),
    Bad("5,000 digits before the point", _with(price=b"9" * 5000), "out of range"),
    Bad("a whole number beyond all floats", _with(qty=b"1e400"), "out of range"),
    Bad("a float beyond all floats", _with(price=b"1e400"), "out of range"),
    Bad("a float beyond all floats where anything goes", _with(anything=b"-1e999"), "out of range"),
    Bad("half an item", _with(qty=b"1.5"), "Expected `int`, got `float` - at `$.qty`"),
    Bad("a float for a whole number", _with(qty=b"1.0"), "Expected `int`, got `float` - at `$.qty`"),
    Bad("an exponent for a whole number", _with(qty=b"1e2"), "Expected `int`, got `float` - at `$.qty`"),
    Bad("NaN", _with(price=b"NaN"), "malformed"),
    Bad("infinity", _with(price=b"Infinity"), "malformed"),
    Bad("a leading zero", _with(qty=b"01"), "malformed"),
    Bad("a plus sign", _with(qty=b"+1"), "malformed"),
    Bad("a hexadecimal number", _with(qty=b"0x10"), "malformed"),
    # Types
    Bad("a number in a string", _with(qty=b'"1"'), "Expected `int`, got `str` - at `$.qty`"),
    Bad("true for one", _with(qty=b"true"), "Expected `int`, got `bool` - at `$.qty`"),
    Bad("null for a number", _with(qty=b"null"), "Expected `int`, got `null` - at `$.qty`"),
    Bad("null for a default", _with(note=b"null"), "Expected `str`, got `null` - at `$.note`"),
    Bad("a list for a number", _with(qty=b"[1]"), "Expected `int`, got `array` - at `$.qty`"),
    Bad("an object for text", _with(sku=b"{}"), "Expected `str`, got `object` - at `$.sku`"),
    Bad("a number for text", _with(sku=b"1"), "Expected `str`, got `int` - at `$.sku`"),
    Bad("a list of arguments", b'["A1", 1]', "Expected `object`, got `array`"),
    Bad("null", b"null", "Expected `object`, got `null`"),
    Bad("a bare number", b"1", "Expected `object`, got `int`"),
    Bad("a bare string", b'"A1"', "Expected `object`, got `str`"),
    # Fields
    Bad("nothing", b"", "missing required field `sku`"),
    Bad("an empty object", b"{}", "missing required field `sku`"),
    Bad("no quantity", b'{"sku": "A1"}', "missing required field `qty`"),
    Bad("a field too many", _with(colour=b'"red"'), "unknown field `colour`"),
    Bad("capitals", b'{"SKU": "A1", "qty": 1}', "unknown field `SKU`"),
    Bad("self", _with(self=b"1"), "unknown field `self`"),
    Bad("a dunder", _with(__class__=b'"os.system"'), "unknown field `__class__`"),
    Bad("an empty key", b'{"": 1, "sku": "A1", "qty": 1}', "unknown field ``"),
    Bad("a key of 60,000 letters", b'{"' + b"x" * 60_000 + b'": 1}', "unknown field `xxx"),
    Bad("a key twice", b'{"sku": "A1", "sku": "B2", "qty": 1}', "the key `sku` twice"),
    Bad("a key twice, the same value", b'{"sku": "A1", "qty": 1, "qty": 1}', "the key `qty` twice"),
    Bad("a key twice, one escaped", b'{"sku": "A1", "\\u0073ku": "B2", "qty": 1}', "the key `sku` twice"),
    Bad("a default twice", b'{"note": "a", "sku": "A1", "qty": 1, "note": "b"}', "the key `note` twice"),
    # MessagePack
    Bad("no MessagePack", b"\xc1", "malformed"),
    Bad("half a map", _pack()[:-1], "truncated"),
    Bad("bytes behind a map", _pack() + b"\x00", "trailing"),
    Bad("a map of 4,294,967,295 pairs", b"\xdf\xff\xff\xff\xff", "truncated"),
    Bad("a key of 4,294,967,295 bytes", b"\x81\xdb\xff\xff\xff\xffabc", "truncated"),
    Bad("an array of 4,294,967,295 items", b"\xdd\xff\xff\xff\xff", "Expected `object`, got `array`"),
    Bad("100,000 arrays", b"\x91" * _DEEP, "Expected `object`, got `array`"),
    Bad("100,000 arrays where anything goes", _pack(anything=0)[:-1] + b"\x91" * _DEEP + b"\x00", "nested too deeply"),
    Bad("a number as a key", _pack_pairs((1, _ONE)), "Expected `str`, got `int`"),
    Bad("bytes as text", _pack(sku=b"A1"), "Expected `str`, got `bytes` - at `$.sku`"),
    Bad("bytes as a key", _pack_pairs((b"sku", _A1), (b"qty", _ONE)), "Expected `str`, got `bytes`"),
    Bad("text that is no UTF-8", _pack_pairs(("sku", b"\xa2\xff\xfe"), ("qty", _ONE)), "codec can't decode"),
    Bad("a float in MessagePack", _pack(qty=1.0), "Expected `int`, got `float` - at `$.qty`"),
    Bad("a number in text in MessagePack", _pack(qty="1"), "Expected `int`, got `str` - at `$.qty`"),
    Bad("a field too many in MessagePack", _pack(colour="red"), "unknown field `colour`"),
    Bad("an empty map", b"\x80", "missing required field `sku`"),
    Bad("an array of arguments", b"\x92" + _A1 + _ONE, "Expected `object`, got `array`"),
    Bad("nil", b"\xc0", "Expected `object`, got"),
    Bad("an extension type", b"\xd4\x05\x00", "Expected `object`, got `ext`"),
    Bad("a key twice in MessagePack", _pack_pairs(("sku", _A1), ("sku", _A1), ("qty", _ONE)), "a key twice"),
]

# Values of the header `Cliffracer`, which should be '<seconds left> <correlation id> <chain>'.
BAD_CONTEXTS = [
    "", " ", "soon", "1", "1 -", "1 - - -", "1  -", "- -", "\u0661\u0660 - -", "1_0 - -", " 1 - -",
    "nan - -", "inf - -", "-inf - -", "1e999 - -", "0x10 - -", "1,5 - -",
    f"1 {'c' * 65} -", f"1 {'c' * 60_000} -", "1 \x1b[2J -", "1 a\x00b -", "1 \u202e -",
    "1 - a..b", "1 - a,", "1 - ,", "1 - a b", "1 - a*", "1 - $SRV", "1 - \u00fc", f"1 - {'n' * 65}",
    f"1 - {','.join(['a'] * 65)}", f"1 - {','.join(['a'] * 30_000)}",
    "9" * 60_000 + " - -",
    "1 - -, 1 - -",  # as a header that stands there twice arrives
]  # fmt: skip

# Values of the header `traceparent`, which should be W3C's.
BAD_TRACES = [
    "", "x", "00-abc-def-01",
    "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
    "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" * 2,
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01, 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "a" * 60_000,
]  # fmt: skip

# Where an answer must not go: the node would send it with its own rights.
BAD_REPLY_SUBJECTS = [
    "other.nudge", "ledger.put", "prod.ledger.put", "orders.7.closed",
    "$SRV.PING", "$SRV.INFO.ledger", "$JS.API.STREAM.DELETE.orders", "$JS.ACK.orders.worker.1.1.1.1.0",
    "$KV.config.limit", "$SYS.REQ.SERVER.PING", "$CLIFFRACER.tree",
    "INBOX.x", "x._INBOX.y", "-", "ledger",
]  # fmt: skip

# What another node would never say.
BAD_WORDS = [
    b'{"type": "hello"}', b'{"type": "here", "id": "", "name": "x"}', b'{"type": "hello", "id": "a.b", "name": "x"}',
    b'{"type": "hello", "id": ">", "name": "x"}', b'{"type": "hello", "id": "x", "name": ""}',
    b'{"type": "hello", "id": "' + b"x" * 65 + b'", "name": "x"}',
    b'{"type": "hello", "id": "x", "name": "' + b"x" * 60_000 + b'"}',
    b'{"type": "' + b"x" * 60_000 + b'", "id": "x", "name": "x"}', b'{"type": 1, "id": "x", "name": "x"}',
    b'{"type": "ended", "monitor": "1; drop", "name": "x", "reason": {"type": "Normal"}, "incarnation": 1}',
    b'{"type": "ended", "monitor": "1", "name": "x", "reason": {"type": "os.system"}, "incarnation": 1}',
    b'{"type": "forget", "id": "$SRV", "monitor": "1"}', b'{"id": "x", "name": "x", "monitor": "-1"}',
]  # fmt: skip
