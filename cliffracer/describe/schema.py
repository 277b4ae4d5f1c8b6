"""JSON Schema of types, as msgspec writes it, with tidy descriptions; and the same in the words of draft 07."""

import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from math import isfinite
from typing import Any, cast

import msgspec

__all__ = ["components_of", "draft_07", "schema_of", "tidy"]

Schema = dict[str, Any]


def schema_of(value_type: Any) -> Schema:
    """Return the schema of a type, complete in itself, of the dialect 2020-12.

    Raises:
        TypeError: There is none: a default value of it cannot be encoded, or two classes in it cannot be told apart.
    """
    (schema,), components = components_of([value_type], "#/$defs/")
    return {**schema, "$defs": components} if components else schema


def components_of(types: Sequence[Any], prefix: str) -> tuple[list[Schema], dict[str, Schema]]:
    """Return a schema for each of `types`, and what they refer to, by name.

    Args:
        types: In any order, each as often as you like.
        prefix: What stands before a name where they refer to it: `#/components/schemas/`.

    Raises:
        TypeError: There is none for one of them.
    """
    try:
        schemas, components = msgspec.json.schema_components(types, ref_template=f"{prefix}{{name}}")
    except KeyError as error:
        raise TypeError(f"there are two classes that are both called {error}, in one module") from None
    return _tidied(schemas, components, _short_names(components), prefix)


def draft_07(schema: Schema) -> Schema:
    """Return the same schema in the words of draft 07, with which AsyncAPI documents are read by default."""
    return _each(schema, _in_draft_07)


def tidy(text: str | None) -> str:
    """Return a docstring without the indentation of the code around it; empty if there is none.

    Two classes with the same docstring say the same, wherever they stand.
    """
    tidied, text = text or "", None
    while tidied != text:  # what is tidy stays as it is
        text = tidied
        cleaned = inspect.cleandoc(text.replace("\r", "\n").replace("\t", "    "))
        tidied = re.sub(r"[^\S\n]+$", "", cleaned, flags=re.MULTILINE)
    return tidied


# Where there are schemas inside a schema. What stands elsewhere, a default or an example, only looks like one.
_ONE = ("items", "additionalProperties", "propertyNames", "additionalItems")
_LIST = ("anyOf", "allOf", "oneOf", "prefixItems", "items")
_NAMED = ("properties", "patternProperties", "$defs")


def _each(schema: Schema, change: Callable[[Schema], Schema]) -> Schema:
    """Apply `change` to `schema`, and to all schemas inside."""

    def inside(value: Any) -> Any:
        # True and False are schemas, too.
        return _each(cast("Schema", value), change) if isinstance(value, dict) else value

    done: Schema = {}
    for key, value in schema.items():
        if key in _NAMED:
            done[key] = {name: inside(one) for name, one in value.items()}
        elif key in _LIST and isinstance(value, list):
            done[key] = [inside(one) for one in value]  # pyright: ignore[reportUnknownVariableType]
        else:
            done[key] = inside(value) if key in _ONE else value
    return change(done)


def _tidied(
    schemas: Iterable[Schema], components: dict[str, Schema], names: dict[str, str], prefix: str
) -> tuple[list[Schema], dict[str, Schema]]:
    """Return schemas with tidy descriptions, and with names that do not tell from which modules they come."""

    def refer(reference: str) -> str:
        return prefix + names[reference.removeprefix(prefix)]

    def change(schema: Schema) -> Schema:
        if isinstance(schema.get("description"), str):
            schema["description"] = tidy(schema["description"])
            if not schema["description"]:
                del schema["description"]
        if isinstance(schema.get("default"), float) and not isfinite(schema["default"]):
            del schema["default"]  # it is one, but JSON has no word for it
        if "$ref" in schema:
            schema["$ref"] = refer(schema["$ref"])
        if isinstance(schema.get("discriminator"), dict):
            mapping = schema["discriminator"]["mapping"]
            schema["discriminator"]["mapping"] = {tag: refer(reference) for tag, reference in mapping.items()}
        return schema

    found = {names[name]: _each(schema, change) for name, schema in components.items()}
    for schema in found.values():
        if "[" in schema.get("title", ""):
            schema["title"] = _without_modules(schema["title"])
    return [_each(schema, change) for schema in schemas], found


def _short_names(components: dict[str, Schema]) -> dict[str, str]:
    """Return new names for components.

    msgspec calls `Page[Page[Order]]` after the module of the inner class, and the same file has several names, as one
    imports it.
    """
    short = {name: name for name in components}
    for name, schema in components.items():
        title = schema.get("title", "")
        wanted = re.sub(r"[^a-zA-Z0-9.\-_]", "_", _without_modules(title))
        if "[" in title and wanted not in short.values():
            short[name] = wanted
    return short


def _without_modules(title: str) -> str:
    return re.sub(r"[\w-]+(?:\.[\w-]+)*\.(?=\w)", "", title)


def _in_draft_07(schema: Schema) -> Schema:
    if "prefixItems" in schema:
        rest = schema.pop("items", None)
        schema["items"] = schema.pop("prefixItems")
        if rest is not None:
            schema["additionalItems"] = rest
    if isinstance(schema.get("discriminator"), dict):
        # AsyncAPI wants the name of the property alone; each of the structs has its tag as an enum of one.
        schema["discriminator"] = schema["discriminator"]["propertyName"]
    return schema
