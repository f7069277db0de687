"""Whether a call's arguments are what the tool's JSON Schema asks for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson
from jsonschema import Draft202012Validator, SchemaError, ValidationError, validators
from jsonschema.exceptions import best_match
from referencing import Registry
from referencing.exceptions import Unresolvable

_MAX_PROBLEM = 300
_DOCUMENTS: Registry[Any] = Registry()
"""Knows no document but the schema itself: a reference to another one is never fetched."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """A call's arguments. problem: what is wrong with them, for the model to read; "" if they are valid."""

    values: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""


def check(schema: Mapping[str, Any], text: str) -> Arguments:
    """Parse and validate the arguments of one call; no text at all means ``{}``. A schema that is none itself, or
    refers to a document elsewhere, asks for an object only."""
    try:
        values = orjson.loads(text or "{}")
    except orjson.JSONDecodeError as error:
        return Arguments(problem=f"the arguments are not JSON: {error.msg}")
    if not isinstance(values, dict):
        return Arguments(problem="the arguments must be one JSON object")
    validator = _validator(json.dumps(schema, default=dict, sort_keys=True))
    try:
        found = best_match(validator.iter_errors(values)) if validator else None
    except Unresolvable:
        found = None
    except RecursionError:
        return Arguments(problem="the arguments are nested too deeply")
    return Arguments(values) if found is None else Arguments(problem=_told(found))


def _told(error: ValidationError) -> str:
    where = ".".join(str(step) for step in error.absolute_path)
    return f"{where}: {error.message}"[:_MAX_PROBLEM] if where else error.message[:_MAX_PROBLEM]


def _unchecked(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    """Regular expressions come from clients, too, and one can be made to run for ever: they are not run."""
    yield from ()


_Validator = validators.extend(Draft202012Validator, {"pattern": _unchecked, "patternProperties": _unchecked})


@lru_cache(maxsize=256)
def _validator(schema: str) -> Any:
    parsed = orjson.loads(schema)
    try:
        _Validator.check_schema(parsed)
    except (SchemaError, RecursionError):
        return None
    return _Validator(parsed, registry=_DOCUMENTS)
