"""Chat templates are rendered as their authors' tools render them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import models
from models.base import ChatMessage, EngineError, ToolCall, ToolSpec, WeightsError
from models.llm.chat_template import ChatTemplate

TINY = Path(models.__file__).parent / "bundled" / "llm" / "tiny"
HOURS = ToolSpec(
    "get_opening_hours",
    "Opening hours for a day.",
    {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]},
)
QUESTION = ChatMessage("user", "Wann öffnen Sie am Freitag?")


def render(source: str, **variables: Any) -> str:
    return ChatTemplate(source, name="test", variables=variables).render([QUESTION])


def test_the_bundled_template_with_tools_calls_and_results():
    # Equal to apply_chat_template of transformers 5.23 for the same conversation.
    messages = [
        ChatMessage("system", "You are Anna."),
        QUESTION,
        ChatMessage("assistant", "Moment.", (ToolCall("call_1", "get_opening_hours", '{"day":"friday","ü":1}'),)),
        ChatMessage("tool", '{"open": "09:00"}', (), "call_1"),
    ]
    assert ChatTemplate.load(TINY, name="tiny").render(messages, [HOURS]) == (
        "<|im_start|>system\nYou are Anna.\n\n# Tools\n\n"
        "You may call one or more functions to assist with the user query.\n\n"
        "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n"
        '{"type": "function", "function": {"name": "get_opening_hours", "description": "Opening hours for a day.", '
        '"parameters": {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]}}}\n'
        "</tools>\n\nFor each function call, return a json object with function name and arguments within "
        '<tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n'
        "</tool_call><|im_end|>\n"
        "<|im_start|>user\nWann öffnen Sie am Freitag?<|im_end|>\n"
        "<|im_start|>assistant\nMoment.\n<tool_call>\n"
        '{"name": "get_opening_hours", "arguments": {"day": "friday", "ü": 1}}\n</tool_call><|im_end|>\n'
        '<|im_start|>user\n<tool_response>\n{"open": "09:00"}\n</tool_response><|im_end|>\n'
        "<|im_start|>assistant\n"
    )


def test_without_a_generation_prompt_the_rendering_ends_with_the_last_message():
    template = ChatTemplate.load(TINY, name="tiny")
    assert template.render([QUESTION], add_generation_prompt=False) == (
        "<|im_start|>user\nWann öffnen Sie am Freitag?<|im_end|>\n"
    )


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ {'b': '<ü>', 'a': 1} | tojson }}", '{"b": "<ü>", "a": 1}'),
        ("{{ [1] | tojson(indent=2) }}", "[\n  1\n]"),
        ("{% if true %}\nx\n    {% endif %}\ny", "x\ny"),
        ("{% for m in [1, 2, 3] %}{% if m == 2 %}{% break %}{% endif %}{{ m }}{% endfor %}", "1"),
        ("{% generation %}{{ messages[0].role }}{% endgeneration %}!", "user!"),
        ("{{ bos_token }}{{ enable_thinking }}{{ strftime_now('%%') }}", "<s>False%"),
        ("{{ tools is none }}{{ tools is defined }}", "TrueTrue"),
    ],
)
def test_what_templates_may_use(source: str, expected: str):
    assert render(source, bos_token="<s>", enable_thinking=False) == expected


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ messages.append(1) }}", "unsafe"),
        ("{{ nothing.at.all }}", "undefined"),
        ("{{ 'a' + messages }}", "chat template refuses"),
    ],
)
def test_a_template_that_refuses_or_goes_too_far_is_an_engine_error(source: str, says: str):
    with pytest.raises(EngineError, match=says) as refused:
        render(source)
    assert not refused.value.retryable


def test_tools_need_a_template_that_shows_them():
    template = ChatTemplate("{{ messages[0].content }}", name="plain")
    assert not template.supports_tools
    assert template.render([QUESTION]) == QUESTION.text
    with pytest.raises(EngineError, match="no place for tools"):
        template.render([QUESTION], [HOURS])
    assert ChatTemplate("{% for t in tools %}{{ t.function.name }}{% endfor %}", name="x").supports_tools


def test_an_unknown_role_is_an_engine_error():
    with pytest.raises(EngineError, match="unknown role 'robot'"):
        ChatTemplate("x", name="test").render([ChatMessage("robot", "hi")])


def test_a_tool_result_names_its_function_and_call():
    template = ChatTemplate("{{ messages[1].name }} {{ messages[1].tool_call_id }}", name="test")
    asked = ChatMessage("assistant", "", (ToolCall("call_9", "get_price", "{}"),))
    assert template.render([asked, ChatMessage("tool", "5", (), "call_9")]) == "get_price call_9"


def test_arguments_that_are_no_json_are_shown_as_they_are():
    template = ChatTemplate("{{ messages[0].tool_calls[0].function.arguments }}", name="test")
    assert template.render([ChatMessage("assistant", "", (ToolCall("c", "f", "{half"),))]) == "{half"


def test_where_a_folder_keeps_its_template(tmp_path: Path):
    config = tmp_path / "tokenizer_config.json"
    config.write_text(json.dumps({"chat_template": "one {{ eos_token }}", "eos_token": {"content": "</s>"}}))
    assert ChatTemplate.load(tmp_path, name="test").render([QUESTION]) == "one </s>"

    named = [{"name": "default", "template": "plain"}, {"name": "tool_use", "template": "tools: {{ tools }}"}]
    config.write_text(json.dumps({"chat_template": named}))
    assert ChatTemplate.load(tmp_path, name="test").render([QUESTION]) == "tools: None"

    (tmp_path / "chat_template.jinja").write_text("file {{ extra }}")
    assert ChatTemplate.load(tmp_path, name="test", variables={"extra": "x"}).render([QUESTION]) == "file x"


def test_a_folder_without_a_usable_template_cannot_be_loaded(tmp_path: Path):
    with pytest.raises(WeightsError, match="no chat template"):
        ChatTemplate.load(tmp_path, name="test")
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(WeightsError, match=r"tokenizer_config\.json is not valid JSON"):
        ChatTemplate.load(tmp_path, name="test")
    (tmp_path / "tokenizer_config.json").unlink()
    (tmp_path / "chat_template.jinja").write_text("{% if %}")
    with pytest.raises(WeightsError, match="not valid Jinja"):
        ChatTemplate.load(tmp_path, name="test")
