"""JSON Schema as a line of text: what a handler takes and answers, in Python's words."""

import re
from collections.abc import Mapping
from typing import Any, cast

import msgspec

__all__ = ["signature_of", "types_of"]

Schema = dict[str, Any]

_WORDS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
_REF = "#/$defs/"


def signature_of(name: str, metadata: Mapping[str, str]) -> str:
    """Return `reserve(sku: str, qty: int = 1) -> int` for an endpoint with this metadata; `(...)` without a schema."""
    if metadata.get("kind") == "event":
        return f"{name}({_event_parameters(metadata)})"
    request, response = _schema(metadata.get("request")), _schema(metadata.get("response"))
    parameters = "..." if request is None else _parameters(_resolved(request, request))
    return f"{name}({parameters})" + ("" if response is None else f" -> {_type(response)}")


def types_of(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return what the types are that `signature_of` only names: `{"Order": "{sku: str, qty: int}"}`."""
    types: dict[str, str] = {}
    for key in ("request", "response"):
        schema = _schema(metadata.get(key)) or {}
        own = schema.get("$ref") if key == "request" and metadata.get("kind") != "event" else None
        for name, definition in _dict(schema.get("$defs")).items():
            if f"{_REF}{name}" != own:  # the parameters themselves are the signature
                types[name] = _type(_dict(definition))
    return types


def _schema(text: str | None) -> Schema | None:
    try:
        return None if text is None else msgspec.json.decode(text, type=Schema)
    except (ValueError, RecursionError):
        return None


def _dict(value: object) -> Schema:
    return cast("Schema", value) if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []  # type: ignore[redundant-cast]


def _resolved(schema: Schema, whole: Schema) -> Schema:
    reference = str(schema.get("$ref", ""))
    definition = _dict(whole.get("$defs")).get(reference.removeprefix(_REF)) if reference else None
    return schema if definition is None else _dict(definition)


def _event_parameters(metadata: Mapping[str, str]) -> str:
    fields = re.findall(r"\{(\w+)\}", metadata.get("pattern", ""))
    event = _schema(metadata.get("request"))
    return ", ".join([*fields, *([] if event is None else [f"event: {_type(event)}"])])


def _parameters(schema: Schema) -> str:
    parts: list[str] = []
    for name, value in _dict(schema.get("properties")).items():
        field = _dict(value)
        default = f" = {_literal(field['default'])}" if "default" in field else ""
        parts.append(f"{name}: {_type(field)}{default}")
    return ", ".join(parts)


def _type(schema: Schema) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).removeprefix(_REF)
    if "enum" in schema:
        return " | ".join(_literal(value) for value in _list(schema["enum"]))
    if "const" in schema:
        return _literal(schema["const"])
    if "anyOf" in schema:
        return " | ".join(_type(_dict(option)) for option in _list(schema["anyOf"]))
    match schema.get("type"):
        case "array":
            return _array(schema)
        case "object":
            return _object(schema)
        case str() as word:
            return _WORDS.get(word, word)
        case _:
            return "Any"


def _array(schema: Schema) -> str:
    if "prefixItems" in schema:
        return f"tuple[{', '.join(_type(_dict(item)) for item in _list(schema['prefixItems']))}]"
    return f"list[{_type(_dict(schema.get('items')))}]"


def _object(schema: Schema) -> str:
    if "properties" in schema:
        return f"{{{_parameters(schema)}}}"
    values = schema.get("additionalProperties")
    return f"dict[str, {_type(_dict(values))}]" if values else "dict"


def _literal(value: object) -> str:
    return msgspec.json.encode(value).decode()
