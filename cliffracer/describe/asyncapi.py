"""A whole tree as an AsyncAPI 3.0.0 document: what can be called, what is heard, what is published."""

import re
from collections.abc import Iterable
from typing import Any

from cliffracer.actor.actor import Actor
from cliffracer.actor.handlers import Handler, Kind
from cliffracer.actor.publications import Publication
from cliffracer.describe.offers import Offer, Offers, offers_of
from cliffracer.describe.schema import components_of, draft_07, tidy
from cliffracer.errors import CALL_ERRORS, DefinitionError
from cliffracer.names import Pattern
from cliffracer.supervision.spec import Supervisor

__all__ = ["asyncapi_of"]

Json = dict[str, Any]

_CONTENT_TYPES = {"json": "application/json", "msgpack": "application/msgpack"}
_BINDING_VERSION = "0.1.0"
_FIX = "give it types and defaults that JSON can hold, and each class a name of its own."
_MAX_QUEUE = 255  # characters; what the binding allows


def asyncapi_of(
    tree: Supervisor,
    *,
    namespace: str = "",
    title: str = "",
    version: str = "1.0.0",
    also: Iterable[type[Actor]] = (),
) -> Json:
    """Return an AsyncAPI 3.0.0 document of all that `tree` takes, answers and publishes. Nothing is started.

    Calls and casts are operations that receive, and so are `@event` handlers; what a class declares in `publishes` is
    an operation that sends. The same tree gives the same document, in the same order.

    Args:
        tree: The tree.
        namespace: What stands before the subjects of calls and casts, without its dot.
        title: Of the document; the id of the tree if empty.
        version: Of what the tree offers, for its readers. It is yours to count.
        also: Classes of actors that come while the tree runs. Their name is a parameter of the address.

    Raises:
        DefinitionError: A handler has no schema, for a default value of it cannot be encoded.
    """
    return _Document(offers_of(tree, also), namespace).build(title or tree.id, version)


class _Document:
    """Collects channels, operations and messages; the schemas come last, all at once, so that each has one name."""

    def __init__(self, offers: Offers, namespace: str) -> None:
        self._offers = offers
        self._prefix = f"{namespace}." if namespace else ""
        self._channels: dict[str, Json] = {}
        self._operations: dict[str, Json] = {}
        self._event_channels: dict[str, str] = {}
        """Keys of the channels of events, by subject without the names of its fields."""
        self._payloads: list[tuple[Json, Any, str, str]] = []
        """Messages that still lack their schema: the message, the type, whose it is, and where that stands."""
        self._message_types: dict[tuple[str, str], Any] = {}

    def build(self, title: str, version: str) -> Json:
        """Return the document."""
        for offer in self._offers.actors:  # before what is heard: who publishes names the fields
            for publication in offer.actor.__publications__:
                self._add_publication(offer, publication)
        for offer in self._offers.actors:
            self._add_handlers(offer)
        schemas = self._fill_payloads()
        return {
            "asyncapi": "3.0.0",
            "info": {"title": title, "version": version, "description": self._description()},
            "defaultContentType": _CONTENT_TYPES["json"],
            "channels": self._channels,
            "operations": self._operations,
            "components": {"messages": {"error": _error_message()}, "schemas": schemas},
        }

    def _description(self) -> str:
        lines = [f"The supervision tree `{self._offers.tree}`, on NATS. Every actor takes JSON and MessagePack."]
        if self._offers.unknown:
            lines += ["", "Not described here, for it is not known before the tree runs:", ""]
            lines += [f"- `{part.path}`: {part.reason}" for part in self._offers.unknown]
        return "\n".join(lines)

    # Actors

    def _add_handlers(self, offer: Offer) -> None:
        for handler in offer.actor.__handlers__.values():
            if handler.payload is not None:
                self._add_addressed(offer, handler)
            elif handler.pattern is not None:
                self._add_event(offer, handler, handler.pattern)

    def _add_addressed(self, offer: Offer, handler: Handler) -> None:
        assert handler.payload is not None
        # A name that is not known yet is a parameter, called after the class.
        parameter = "" if offer.name else offer.actor.__options__.name.replace("-", "_")
        name = offer.name or offer.actor.__options__.name
        content_type = _CONTENT_TYPES[offer.actor.__options__.wire]
        label = f"{offer.actor.__name__}.{handler.name}"
        channel: Json = {
            "address": f"{self._prefix}{offer.name or f'{{{parameter}}}'}.{handler.name}",
            "messages": {"request": self._message(f"{name}.{handler.name}.request", content_type)},
        }
        self._will_hold(channel["messages"]["request"], handler.payload.type, offer, label)
        if parameter:
            channel["parameters"] = {parameter: {"description": f"The name that a {offer.actor.__name__} was given."}}
        key = self._add_channel(f"{name}.{handler.name}", channel)
        operation = self._operation("receive", offer, handler, key, ["request"])
        queue = f"{self._prefix}{offer.name}" if offer.name else ""
        operation |= _bindings(queue)
        if handler.kind is Kind.CALL and handler.result is not None:
            result = self._message(f"{name}.{handler.name}.result", content_type)
            self._will_hold(result, handler.result.type, offer, label)
            reply = self._add_channel(
                f"{key}.reply",
                {
                    "address": None,
                    "description": "The reply subject of the request.",
                    "messages": {"result": result, "error": {"$ref": "#/components/messages/error"}},
                },
            )
            operation["reply"] = {
                "channel": {"$ref": f"#/channels/{reply}"},
                "messages": [{"$ref": f"#/channels/{reply}/messages/{one}"} for one in ("result", "error")],
            }
        self._add_operation(f"{name}.{handler.name}", operation)

    def _add_event(self, offer: Offer, handler: Handler, pattern: Pattern) -> None:
        label = f"{offer.actor.__name__}.{handler.name}"
        key = self._event_channel(pattern)
        if handler.event_payload is None:
            message = "any"
            self._channels[key]["messages"].setdefault(
                message, {"name": message, "summary": "Any payload, or none: who listens does not look at it."}
            )
        else:
            message = self._event_message(key, handler.event_payload.type, offer, label)
        operation = self._operation("receive", offer, handler, key, [message])
        if handler.to == "all":
            operation["description"] = "\n\n".join(
                part for part in (operation.get("description", ""), "Every replica hears it.") if part
            )
        elif offer.name:
            operation |= _bindings(f"{self._prefix}{offer.name}.{handler.name}")
        self._add_operation(f"{offer.name or offer.actor.__options__.name}.{handler.name}", operation)

    def _add_publication(self, offer: Offer, publication: Publication) -> None:
        name = offer.name or offer.actor.__options__.name
        key = self._event_channel(publication.pattern)
        label = f"{offer.actor.__name__}.publishes: {publication.pattern.text!r}"
        message = self._event_message(key, publication.codec.type, offer, label)
        operation = _operation("send", name, key, [message])
        self._add_operation(f"{name}.publish.{key}", operation)

    # Channels

    def _add_channel(self, wanted: str, channel: Json) -> str:
        return _add(self._channels, wanted, channel)

    def _event_channel(self, pattern: Pattern) -> str:
        """Return the key of the channel of that subject; the names of its fields are those of whoever came first."""
        key = self._event_channels.get(pattern.subject)
        if key is None:
            channel: Json = {"address": pattern.text, "messages": {}}
            if pattern.fields:
                channel["parameters"] = {
                    field: {"description": f"Token {index + 1} of the subject."} for field, index in pattern.fields
                }
            if pattern.subject.count("*") != len(pattern.fields) or pattern.subject.endswith(">"):
                channel["description"] = "In the address, `*` stands for one token, and `>` for one or more."
            key = self._event_channels[pattern.subject] = self._add_channel(pattern.text, channel)
        return key

    # Messages

    def _message(self, name: str, content_type: str) -> Json:
        message: Json = {"name": name}
        if content_type != _CONTENT_TYPES["json"]:
            message["contentType"] = content_type
        return message

    def _event_message(self, channel: str, value_type: Any, offer: Offer, label: str) -> str:
        """Return the key, in that channel, of the message that holds a `value_type`."""
        messages = self._channels[channel]["messages"]
        for key in messages:
            if (channel, key) in self._message_types and self._message_types[channel, key] == value_type:
                return str(key)
        wanted = value_type.__name__ if isinstance(value_type, type) else "event"
        key = _add(messages, wanted, self._message(wanted, _CONTENT_TYPES["json"]))
        self._message_types[channel, key] = value_type
        self._will_hold(messages[key], value_type, offer, label)
        return key

    def _will_hold(self, message: Json, value_type: Any, offer: Offer, label: str) -> None:
        self._payloads.append((message, value_type, label, offer.actor.__module__))

    def _fill_payloads(self) -> dict[str, Json]:
        """Give each message its schema, and return the schemas that they refer to."""
        prefix = "#/components/schemas/"
        for _, value_type, label, where in self._payloads:
            try:
                components_of([value_type], prefix)
            except (TypeError, ValueError) as error:
                raise DefinitionError(where, f"{label} has no schema: {error}.", _FIX) from None
        try:
            schemas, components = components_of([value_type for _, value_type, _, _ in self._payloads], prefix)
        except TypeError as error:
            raise DefinitionError(self._offers.tree, f"the tree has no schema: {error}.", _FIX) from None
        for (message, *_), schema in zip(self._payloads, schemas, strict=True):
            message["payload"] = draft_07(schema)
        return {name: draft_07(components[name]) for name in sorted(components)}

    # Operations

    def _operation(self, action: str, offer: Offer, handler: Handler, channel: str, messages: list[str]) -> Json:
        operation = _operation(action, offer.name or offer.actor.__options__.name, channel, messages)
        text = tidy(getattr(offer.actor, handler.name).__doc__)
        if text:
            operation["summary"], _, more = text.partition("\n")
            if more:
                operation["description"] = text
        return operation

    def _add_operation(self, wanted: str, operation: Json) -> None:
        _add(self._operations, wanted, operation)


def _operation(action: str, name: str, channel: str, messages: list[str]) -> Json:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "tags": [{"name": name}],
        "messages": [{"$ref": f"#/channels/{channel}/messages/{one}"} for one in messages],
    }


def _bindings(queue: str) -> Json:
    if not queue or len(queue) > _MAX_QUEUE:
        return {}
    return {"bindings": {"nats": {"queue": queue, "bindingVersion": _BINDING_VERSION}}}


def _add(table: dict[str, Any], wanted: str, value: Json) -> str:
    """Put `value` into `table`, under a key like `wanted` that a reference can hold, and return the key."""
    stem = re.sub(r"[^A-Za-z0-9_.-]", "", wanted.replace("*", "any").replace(">", "rest")) or "channel"
    key, number = stem, 1
    while key in table:
        number += 1
        key = f"{stem}-{number}"
    table[key] = value
    return key


def _error_message() -> Json:
    """Return the message that is a failure: the headers of ADR-32, our code, and the body."""
    text = {"type": "string"}
    return {
        "name": "error",
        "summary": "A refusal, or one of the errors of a fixed table.",
        "headers": {
            "type": "object",
            "properties": {
                "Nats-Service-Error": {**text, "description": "What happened, in one line, for a person."},
                "Nats-Service-Error-Code": {**text, "description": "A number like those of HTTP."},
                "Cliffracer-Error": {
                    "description": "The fixed code; `refused` for a refusal, which has its own code in the body.",
                    "enum": ["refused", *sorted(CALL_ERRORS)],
                },
            },
            "required": ["Nats-Service-Error", "Nats-Service-Error-Code", "Cliffracer-Error"],
        },
        "payload": {
            "type": "object",
            "properties": {
                "code": {**text, "description": "The same code; for a refusal, its own."},
                "message": {**text, "description": "What happened, for a person."},
                "target": {**text, "description": "Whom the call was for."},
                "incident": {**text, "description": "Under which the log of the node has the crash."},
                "data": {"description": "What the refusal carries, for a program."},
            },
            "required": ["code"],
        },
    }
