"""Arguments of calls against JSON Schemas, also those of clients who mean no good."""

from __future__ import annotations

import pytest

from server.runtime.tool_arguments import check
from tests.runtime.tools import SCHEMA


def test_no_arguments_are_an_empty_object():
    assert check({"type": "object"}, "").values == {}
    assert check({"type": "object"}, "").problem == ""


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"day": 5}', "day: 5 is not one of ['friday', 'sunday']"),
        ("{}", "'day' is a required property"),
        ("null", "the arguments must be one JSON object"),
        ('{"day": NaN}', "the arguments are not JSON"),
        ("[" * 5000 + "]" * 5000, "the arguments are not JSON"),
    ],
)
def test_what_is_wrong_is_said_in_a_few_words(text: str, problem: str):
    assert check(SCHEMA, text).problem.startswith(problem)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "no such type"},
        {"$ref": "http://127.0.0.1:9/never-fetched.json"},
        {"properties": {"a": {"pattern": "(a+)+$"}}},
        {"type": "object", "additionalProperties": True},
    ],
    ids=["broken", "elsewhere", "regular expression", "anything"],
)
def test_a_strange_schema_asks_for_an_object_and_harms_nobody(schema: dict[str, object]):
    assert check(schema, '{"a": "' + "a" * 60 + '!"}').problem == ""
    assert check(schema, "[]").problem


def test_an_endless_schema_is_no_endless_check():
    schema = {"$defs": {"a": {"properties": {"a": {"$ref": "#/$defs/a"}}}}, "$ref": "#/$defs/a"}
    text = '{"a":' * 300 + "1" + "}" * 300
    assert check(schema, text).problem in ("", "the arguments are nested too deeply")
