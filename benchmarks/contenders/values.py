"""What travels: the same bytes for every contender."""

from msgspec import Struct, json

__all__ = [
    "CREDIT",
    "DOUBLE",
    "EVENT",
    "GAUGE",
    "HANDLER_TAKES",
    "NAP",
    "PASSED_ON",
    "QUOTE",
    "Ask",
    "Double",
    "Order",
    "Progress",
    "Quote",
    "Read",
    "Take",
    "decode_ask",
    "decode_double",
    "decode_number",
    "decode_order",
    "decode_progress",
    "decode_quote",
    "decode_read",
    "decode_take",
    "encode",
    "headers_of",
    "is_right",
    "order_of",
    "quote_for",
    "take_subject",
]

EVENT = "orders.placed"
QUOTE = "echo.quote"
DOUBLE = "sleeper.double"
GAUGE = "gauge.read"
CREDIT = "flood.taken"  # how many events of a flood have been handled
PASSED_ON = "orders.passed_on"  # where a receiver shows which headers its handler has

NAP = 0.01  # seconds that a handler sleeps, of which a pool has many under way
HANDLER_TAKES = 0.001  # seconds, where more comes than can be handled

_PRICE = 7


class Order(Struct, frozen=True):
    """An event."""

    seq: int
    sku: str
    qty: int


class Ask(Struct, frozen=True):
    """A request; on the wire it is what the parameters of our handler are."""

    seq: int
    sku: str
    qty: int


class Quote(Struct, frozen=True):
    """A reply."""

    seq: int
    sku: str
    total: int


class Double(Struct, frozen=True):
    """A request for twice that number."""

    number: int


class Take(Struct, frozen=True):
    """A cast."""

    seq: int


class Read(Struct, frozen=True):
    """A request for how far a flood has come."""

    seq: int


class Progress(Struct, frozen=True):
    """The reply to that, as it was when it was answered."""

    seq: int
    handled: int


encode = json.Encoder().encode
decode_order = json.Decoder(Order).decode
decode_ask = json.Decoder(Ask).decode
decode_quote = json.Decoder(Quote).decode
decode_double = json.Decoder(Double).decode
decode_number = json.Decoder(int).decode
decode_take = json.Decoder(Take).decode
decode_read = json.Decoder(Read).decode
decode_progress = json.Decoder(Progress).decode


def order_of(seq: int) -> Order:
    """Return the event of that number."""
    return Order(seq, "A1", 1 + seq % 9)


def headers_of(seq: int) -> dict[str, str]:
    """Return the headers of an event: our packed one, and a W3C trace; no two events have the same."""
    return {
        "Cliffracer": f"- 7f3a9c01-{seq + 1:x} -",
        "traceparent": f"00-7f3a9c01{seq + 1:024x}-{seq + 1:016x}-01",
    }


def take_subject(number: int) -> str:
    """Return where the casts to the actor of that number go."""
    return f"counter-{number}.take"


def quote_for(seq: int, sku: str, qty: int) -> Quote:
    """Return the right answer."""
    return Quote(seq, sku, qty * _PRICE)


def is_right(quote: Quote, seq: int, qty: int) -> bool:
    """Tell whether a reply answers the request that it came for."""
    return quote.seq == seq and quote.total == qty * _PRICE
