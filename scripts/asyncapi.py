"""The Realtime socket as an AsyncAPI 3 document.

The server has no schemas of its own: its codec reads field by field. So the shapes of the events are those of the
`openai` package's types, without what the server refuses or never sends.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import openai
import yaml
from pydantic.json_schema import models_json_schema

from scripts.conformance_probes import EVENTS, client_models, server_models, verdicts
from server.transports.openai_realtime import PATHS

ROOT = Path(__file__).parents[1]

Json = dict[str, Any]

_SCHEMAS = "#/components/schemas/"
_DESCRIPTION = (
    "The OpenAI Realtime API (GA) as this server speaks it: one JSON object in each text frame. The schemas are "
    f"derived from the types of openai {openai.__version__}; "
    "docs/conformance.md says what the server does with each field."
)


def asyncapi(read: Collection[str], sent: Collection[str]) -> str:
    """The document as YAML. read, sent: types of the client's and of the server's events."""
    client = {kind: model for kind, model in client_models().items() if kind in read}
    server = {kind: model for kind, model in server_models().items() if kind in sent}
    models = {**client, **server}
    names, schemas = _schemas(models)
    document = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Kammerton realtime socket",
            "version": tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"],
            "description": _DESCRIPTION,
        },
        "servers": {"local": {"host": "127.0.0.1:8080", "protocol": "ws"}},
        "defaultContentType": "application/json",
        "channels": {"realtime": _channel(models)},
        "operations": {
            "readClientEvent": _operation("receive", client),
            "sendServerEvent": _operation("send", server),
        },
        "components": {
            "messages": {kind: {"name": kind, "payload": {"$ref": names[kind]}} for kind in sorted(models)},
            "schemas": schemas,
        },
    }
    return yaml.safe_dump(document, sort_keys=False, width=120, allow_unicode=True)


def _channel(models: Collection[str]) -> Json:
    query = {
        "type": "object",
        "properties": {"model": {"type": "string"}, "intent": {"type": "string", "enum": ["transcription"]}},
    }
    return {
        "address": PATHS[0],
        "messages": {kind: {"$ref": f"#/components/messages/{kind}"} for kind in sorted(models)},
        "bindings": {"ws": {"method": "GET", "query": query}},
    }


def _operation(action: str, models: Collection[str]) -> Json:
    messages = [{"$ref": f"#/channels/realtime/messages/{kind}"} for kind in sorted(models)]
    return {"action": action, "channel": {"$ref": "#/channels/realtime"}, "messages": messages}


def _schemas(models: dict[str, Any]) -> tuple[dict[str, str], Json]:
    """References to the events' schemas, by type, and all schemas that these need, by name."""
    inputs: list[Any] = [(model, "validation") for model in models.values()]
    refs, whole = models_json_schema(inputs, ref_template=_SCHEMAS + "{model}")
    raw = {name: _cleaned(schema) for name, schema in whole["$defs"].items()}
    for request, path in (("RealtimeSessionCreateRequest", "session."), ("RealtimeResponseCreateParams", "response.")):
        for name in _refused(path):
            raw[request]["properties"].pop(name, None)
    names = {kind: refs[model, "validation"]["$ref"] for kind, model in models.items()}
    kept: Json = {}
    wanted = list(names.values())
    while wanted:
        name = wanted.pop().removeprefix(_SCHEMAS)
        if name not in kept:
            kept[name] = raw[name]
            wanted += _references(raw[name])
    return names, dict(sorted(kept.items()))


def _refused(path: str) -> Iterator[str]:
    for kind in EVENTS:
        for _, found in verdicts(kind):
            yield from (it.field.removeprefix(path) for it in found if it.refused and it.field.startswith(path))


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _cleaned(schema: Any) -> Any:
    """Without titles and prose, which are the package's own."""
    if isinstance(schema, list):
        return [_cleaned(value) for value in schema]
    if not isinstance(schema, dict):
        return schema
    cleaned: Json = {}
    for key, value in schema.items():
        if key == "properties":
            cleaned[key] = {name: _cleaned(field) for name, field in value.items()}
        elif key not in ("title", "description", "default") and (key, value) != ("additionalProperties", True):
            cleaned[key] = _cleaned(value)
    return cleaned
