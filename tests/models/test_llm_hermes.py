"""Tool calls in a stream of text: found however the text is split, never spoken."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.base import TextDelta, ToolCallDelta
from models.llm.hermes import MARKS, HermesParser, new_call_id

Call = tuple[str, str]


def read(pieces: Iterable[str]) -> tuple[str, list[Call], HermesParser]:
    """(all text, calls as (name, arguments), parser); checks that ids and names come first and only once."""
    numbers = itertools.count()
    parser = HermesParser(lambda: f"call_{next(numbers)}")
    deltas = [delta for piece in pieces for delta in parser.feed(piece)] + parser.finish()
    text, names, arguments = "", list[str](), list[str]()
    for delta in deltas:
        if isinstance(delta, TextDelta):
            assert delta.text
            text += delta.text
            continue
        assert isinstance(delta, ToolCallDelta)
        if delta.index == len(names):
            assert (delta.id, delta.name is None) == (f"call_{delta.index}", False)
            names.append(delta.name or "")
            arguments.append("")
        else:
            assert delta.index == len(names) - 1
            assert delta.id is None
            assert delta.name is None
        arguments[delta.index] += delta.arguments
    assert parser.calls == len(names)
    return text, list(zip(names, arguments, strict=True)), parser


def call(name: str, arguments: Any) -> str:
    body = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{body}\n</tool_call>"


def test_text_without_markup_passes_unchanged():
    text, calls, _ = read(["We open at nine ", "and close at six; 3 < 4, a <b> and <tool", "box>."])
    assert text == "We open at nine and close at six; 3 < 4, a <b> and <toolbox>."
    assert calls == []


def test_a_call_is_passed_on_and_not_spoken():
    text, calls, parser = read([call("get_opening_hours", {"day": "friday"})])
    assert text == ""
    assert calls == [("get_opening_hours", '{"day": "friday"}')]
    assert parser.malformed == 0


def test_arguments_are_passed_on_while_they_arrive():
    parser = HermesParser()
    started = parser.feed('<tool_call>{"name": "note", "arguments": {"text": "Call ')
    assert started == [ToolCallDelta(0, '{"text": "Call ', id=started[0].id, name="note")]  # type: ignore[union-attr]
    assert parser.feed("Anna back") == [ToolCallDelta(0, "Anna back")]
    assert parser.feed('"}}</tool_call>') == [ToolCallDelta(0, '"}')]
    assert parser.finish() == []


def test_words_are_passed_on_as_soon_as_they_cannot_be_markup():
    parser = HermesParser()
    assert parser.feed("One moment") == [TextDelta("One moment")]
    assert parser.feed(", please. <tool_") == [TextDelta(", please.")]
    assert parser.feed("box>") == [TextDelta(" <tool_box>")]


def test_several_calls_in_one_turn_keep_their_order():
    source = call("get_price", {"service": "haircut"}) + "\n" + call("get_directions", {})
    text, calls, _ = read([source])
    assert text == ""
    assert calls == [("get_price", '{"service": "haircut"}'), ("get_directions", "{}")]


def test_white_space_around_markup_is_not_spoken():
    text, _, _ = read(["\n\n One moment.\n\n", call("a", {}), "\n", call("b", {}), "\nDone. \n"])
    assert text == "One moment. Done."


@pytest.mark.parametrize(
    "source",
    [
        "<think>\nThe caller wants <b>hours</b>.\n</think>\n\nFriday it is.",
        "<think>a</think><think>b</think>Friday it is.",
        "Friday <think>hm</think>it is.",
        '<tool_response>\n{"open": "09:00"}\n</tool_response>\nFriday it is.',
        "</tool_call>Friday it is.</think>",
        "Friday it is.<think>never ends",
        "Friday it is.</tool_ca",
        "<think>one <tool_call> here</think>Friday it is.",
    ],
)
def test_thoughts_and_stray_tags_are_not_spoken(source: str):
    assert read([source])[0] == "Friday it is."
    assert read(source)[0] == "Friday it is."


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"name": "f"}', ("f", "{}")),
        ('{"arguments": {"a": 1}, "name": "f"}', ("f", '{"a": 1}')),
        ('{"name": "f", "parameters": {"a": 1}}', ("f", '{"a": 1}')),
        ('{"id": 7, "name": "f", "x": [{"name": "g"}], "arguments": {"name": "h"}}', ("f", '{"name": "h"}')),
        ('{"name": "f", "arguments": "{\\"a\\": \\"b\\"}"}', ("f", '{"a": "b"}')),
        ('{"name": "f", "arguments": null}', ("f", "{}")),
        ('\n\n{ "name" :\n"f" , "arguments" : {  } }\n\n', ("f", "{  }")),
        ('{"name": "f", "arguments": {"tag": "a < b </tool"}}', ("f", '{"tag": "a < b </tool"}')),
    ],
)
def test_variants_of_a_well_formed_call(body: str, expected: Call):
    for pieces in ([f"<tool_call>{body}</tool_call>"], f"<tool_call>{body}</tool_call>"):
        text, calls, parser = read(pieces)
        assert (text, calls, parser.malformed) == ("", [expected], 0)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('<tool_call>{"name": "f", "arguments": {"a": 1}', [("f", '{"a": 1}')]),
        ('<tool_call>{"name": "f", "arguments": {"a": "cut of', [("f", '{"a": "cut of"}')]),
        ('<tool_call>{"name": "f", "argum', [("f", "{}")]),
        ('<tool_call>{"name": "f", "arguments": {"a": 1}</tool_call>', [("f", '{"a": 1}')]),
        ('<tool_call>{"name": "f", "arguments": {"a": 1,}}</tool_call>', [("f", '{"a": 1}')]),
        ('<tool_call>{"name": "f", "arguments": {a: 1}}</tool_call>', [("f", "{}")]),
        ('<tool_call>{"arguments": {a: 1}, "name": "f"}</tool_call>', [("f", "{}")]),
        ('<tool_call>```json\n{"name": "f", "arguments": {"a": 1}}\n```</tool_call>', [("f", '{"a": 1}')]),
        ('<tool_call>"name": "f", "arguments": {"a": 1}</tool_call>', [("f", '{"a": 1}')]),
        ('<tool_call>{"name": "f", "arguments": "nonsense"}</tool_call>', [("f", "{}")]),
        ('<tool_call>{"name": "f"<tool_call>{"name": "g"}</tool_call>', [("f", "{}"), ("g", "{}")]),
        ("<tool_call>get_opening_hours(friday)</tool_call>", []),
        ('<tool_call>{"arguments": {"name": "Anna"}}</tool_call>', []),
        ('<tool_call>{"name": 5, "arguments": {}}</tool_call>', []),
        ('<tool_call>{"name": "", "arguments": {}}</tool_call>', []),
        ("<tool_call></tool_call>", []),
        ("<tool_call>", []),
        ('<tool_call>{"x": ' + "[" * 5000 + "</tool_call>", []),
    ],
)
def test_a_malformed_call_is_saved_if_its_name_can_be_read_and_counted(source: str, expected: list[Call]):
    for pieces in ([source], source):
        text, calls, parser = read(pieces)
        assert text == ""
        assert calls == expected
        assert parser.malformed == 1


def test_ids_fit_the_protocol_and_differ():
    ids = {new_call_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(re.fullmatch(r"call_[0-9a-zA-Z]{21}", call_id) for call_id in ids)


fragments = st.sampled_from(
    [
        *MARKS,
        '{"name": "f", "arguments": ',
        '{"a": "b',
        '"}}',
        "{",
        "}",
        '"',
        "\\",
        " ",
        "\n",
        "<",
        "</",
        "<tool",
        "Hello.",
        ",",
    ]
)
noise = st.lists(fragments | st.text(max_size=5), max_size=14).map("".join)


@given(noise, st.lists(st.integers(0, 150), max_size=10))
def test_any_split_of_any_input_gives_the_same(source: str, cuts: list[int]):
    text, calls, parser = read([source])
    bounds = [0, *sorted(cuts), len(source)]
    split = read(source[start:end] for start, end in itertools.pairwise(bounds))
    assert split[:2] == (text, calls)
    assert split[2].malformed == parser.malformed
    assert read(source)[:2] == (text, calls)
    assert not any(mark in text for mark in MARKS)
    assert all(isinstance(json.loads(arguments), dict) for _, arguments in calls)


words = st.text(st.characters(codec="utf-8", exclude_characters="<"), min_size=1, max_size=12).filter(str.strip)
names = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)
arguments_ = st.dictionaries(st.text(max_size=6), st.text(max_size=8) | st.integers() | st.booleans(), max_size=3)
turns = st.lists(words | st.tuples(names, arguments_.filter(lambda a: "tool_call>" not in str(a))), max_size=6)


@given(turns, st.integers(1, 9))
def test_words_and_calls_come_back_apart(turn: list[str | tuple[str, dict[str, Any]]], size: int):
    source = "".join(part if isinstance(part, str) else call(*part) for part in turn)
    text, calls, parser = read(source[at : at + size] for at in range(0, len(source), size))
    assert [(name, json.loads(found)) for name, found in calls] == [part for part in turn if not isinstance(part, str)]
    assert (
        text.split()
        == " ".join(
            "".join(group) for spoken, group in itertools.groupby(turn, lambda part: isinstance(part, str)) if spoken
        ).split()
    )
    assert parser.malformed == 0
