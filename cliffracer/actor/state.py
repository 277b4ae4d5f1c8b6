"""A copy of an actor's state, for people to look at."""

from typing import Any

import msgspec

__all__ = ["plain"]


def plain(value: Any) -> Any:
    """Return a copy of `value` in plain types; `repr` stands for what has none."""
    try:
        return msgspec.to_builtins(value, enc_hook=_text_of)
    except (TypeError, ValueError, RecursionError):
        return _text_of(value)


def _text_of(value: Any) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - an object that cannot be shown must not end the actor it is in
        return f"<{type(value).__qualname__}>"
