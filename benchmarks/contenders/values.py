"""What travels: the same bytes for every contender."""

from msgspec import Struct, json

__all__ = [
    "EVENT",
    "QUOTE",
    "Ask",
    "Order",
    "Quote",
    "decode_ask",
    "decode_order",
    "decode_quote",
    "encode",
    "is_right",
]

EVENT = "orders.placed"
QUOTE = "echo.quote"

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


encode = json.Encoder().encode
decode_order = json.Decoder(Order).decode
decode_ask = json.Decoder(Ask).decode
decode_quote = json.Decoder(Quote).decode


def quote_for(seq: int, sku: str, qty: int) -> Quote:
    """Return the right answer."""
    return Quote(seq, sku, qty * _PRICE)


def is_right(quote: Quote, seq: int, qty: int) -> bool:
    """Tell whether a reply answers the request that it came for."""
    return quote.seq == seq and quote.total == qty * _PRICE
