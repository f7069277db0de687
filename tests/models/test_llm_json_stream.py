"""A JSON object in pieces: passed on as it was written, and closable at any moment."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.llm.json_stream import JsonObjectStream

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(st.text(max_size=8), values, max_size=5)
json_like = st.text(alphabet=" {}[]:,\"\\abtrue1.0eE-\n'u0dD8\ud7ff", max_size=60)


def read(text: str) -> tuple[str, JsonObjectStream]:
    stream = JsonObjectStream()
    out, _ = stream.feed(text)
    return out + stream.close(), stream


@given(objects, st.booleans(), st.sampled_from([None, 2]), st.text(max_size=5))
def test_a_valid_object_comes_out_byte_for_byte(value: dict[str, Any], ascii_only: bool, indent: int | None, tail: str):
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    stream = JsonObjectStream()
    out, rest = stream.feed(text + tail)
    assert (out, rest) == (text, tail)
    assert stream.done
    assert not stream.repaired
    assert stream.close() == ""


@given(objects, st.booleans(), st.data())
def test_wherever_it_is_cut_off_what_was_passed_on_can_be_closed(value: dict[str, Any], ascii_only: bool, data: Any):
    text = json.dumps(value, ensure_ascii=ascii_only)
    at = data.draw(st.integers(0, len(text) - 1))
    out, stream = read(text[:at])
    closed = json.loads(out)
    out.encode()
    assert stream.repaired
    assert list(closed) == list(value)[: len(closed)], "whole members only, in their order"
    assert all(closed[key] == value[key] for key in list(closed)[:-1])


@given(json_like)
def test_whatever_comes_the_result_is_an_object(text: str):
    out, stream = read(text)
    assert isinstance(json.loads(out), dict)
    out.encode()
    if not stream.repaired:
        assert json.loads(out) == json.JSONDecoder().raw_decode(text.lstrip())[0]


@given(objects | json_like, st.lists(st.integers(0, 80), max_size=6))
def test_the_split_makes_no_difference(value: dict[str, Any] | str, cuts: list[int]):
    text = value if isinstance(value, str) else json.dumps(value)
    whole, _ = read(text)
    stream = JsonObjectStream()
    bounds = [0, *sorted(cuts), len(text)]
    pieces = [stream.feed(text[start:end])[0] for start, end in itertools.pairwise(bounds)]
    assert "".join(pieces) + stream.close() == whole


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"day": "fri', {"day": "fri"}),
        ('{"day": "friday", "time": 1', {"day": "friday"}),
        ('{"a": 1, "b": [1, {"c": "d', {"a": 1, "b": [1, {"c": "d"}]}),
        ('{"a": 1,}', {"a": 1}),
        ('{"a": [1, 2,]}', {"a": [1, 2]}),
        ('{"a": True, "b": None}', {"a": True, "b": None}),
        ('{"a": "two\nlines"}', {"a": "two\nlines"}),
        ('{"a": "C:\\dir \\\t"}', {"a": "C:\\dir \\\t"}),
        ('{"a": "\\ud83d!"}', {"a": "\ufffd!"}),
        ('{"a": "\\udc00"}', {"a": "\ufffd"}),
        ('{"a": 1, "b": friday, "c": 2}', {"a": 1}),
        ('{"a": 007}', {}),
        ('{"a" 1}', {}),
        ('{"a":}', {}),
        ("[1]", {}),
        ("", {}),
        ('{"a": ' + "[" * 500, {"a": None}),
        ('{"a": ' + "9" * 5000 + "}", {}),
    ],
)
def test_a_slip_costs_as_little_as_possible(text: str, expected: dict[str, Any]):
    out, stream = read(text)
    found = json.loads(out)
    if expected == {"a": None}:
        assert found.keys() == {"a"}, "depth is bounded, the object still closes"
    else:
        assert found == expected
    assert stream.repaired
