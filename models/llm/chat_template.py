"""A model's own chat template (Jinja), rendered as the Hugging Face tools render it, without them.

Source of the conventions: the "Chat templates" chapter of the transformers documentation, and the templates themselves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import jinja2
import jinja2.ext
import jinja2.meta
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox

from models.base import CatalogError, ChatMessage, EngineError, ToolSpec, WeightsError

_ROLES = ("system", "user", "assistant", "tool")


class ChatTemplate:
    """The template of one model. source: its Jinja text. supports_tools: whether it shows tools to the model at all."""

    def __init__(self, source: str, *, name: str, variables: Mapping[str, Any] | None = None) -> None:
        """source: Jinja text. name: the engine's, for errors. variables: what the template may ask for besides the
        conversation (special tokens, switches such as enable_thinking). Raises WeightsError for broken Jinja."""
        self.source = source
        self._name = name
        self._variables = dict(variables or {})
        environment = _environment()
        try:
            self._template = environment.from_string(source)
            self.supports_tools = "tools" in jinja2.meta.find_undeclared_variables(environment.parse(source))
        except jinja2.TemplateError as error:
            raise WeightsError(name, f"the chat template of {name} is not valid Jinja: {error}") from error

    @classmethod
    def load(
        cls, folder: Path, *, name: str, variables: Mapping[str, Any] | None = None, tools: bool = False
    ) -> ChatTemplate:
        """From chat_template.jinja, or else from tokenizer_config.json. tools: it has to show them to the model.

        Raises WeightsError when neither file has a template, CatalogError for one without a place for tools."""
        config = _read_config(folder / "tokenizer_config.json", name)
        file = folder / "chat_template.jinja"
        source = file.read_text(encoding="utf-8") if file.is_file() else config.get("chat_template")
        if isinstance(source, list):
            # Several named templates: the one for tools also serves without.
            named = {item["name"]: item["template"] for item in source}
            source = named.get("tool_use", named.get("default"))
        if not isinstance(source, str):
            raise WeightsError(name, f"{folder} holds no chat template (chat_template.jinja or tokenizer_config.json)")
        template = cls(source, name=name, variables={**_special_tokens(config), **(variables or {})})
        if tools and not template.supports_tools:
            allowed = "choose another model, or set the option tools = false in its entry of the catalogue"
            raise CatalogError(f"{name} cannot call functions: its chat template has no place for tools; {allowed}")
        return template

    def render(
        self, messages: Sequence[ChatMessage], tools: Sequence[ToolSpec] = (), *, add_generation_prompt: bool = True
    ) -> str:
        """The text of the prompt. Raises EngineError for tools that the template cannot show and for a conversation
        that the template refuses (some insist on alternating roles)."""
        if tools and not self.supports_tools:
            raise EngineError(self._name, f"the chat template of {self._name} has no place for tools")
        try:
            return self._template.render(
                **self._variables,
                messages=self._as_dicts(messages),
                tools=[_tool(tool) for tool in tools] or None,
                add_generation_prompt=add_generation_prompt,
            )
        except (jinja2.TemplateError, TypeError, ValueError, LookupError) as error:
            raise EngineError(self._name, f"the chat template refuses the conversation: {error}") from error

    def _as_dicts(self, messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
        names = {call.id: call.name for message in messages for call in message.tool_calls}
        out = []
        for message in messages:
            if message.role not in _ROLES:
                raise EngineError(self._name, f"unknown role {message.role!r}")
            entry: dict[str, Any] = {"role": message.role, "content": message.text}
            if message.tool_calls:
                entry["tool_calls"] = [
                    {
                        "id": call.id,
                        "type": "function",
                        "function": {"name": call.name, "arguments": _arguments(call.arguments)},
                    }
                    for call in message.tool_calls
                ]
            if message.role == "tool":
                entry["tool_call_id"] = message.tool_call_id
                entry["name"] = names.get(message.tool_call_id or "", "")
            out.append(entry)
        return out


class _Generation(jinja2.ext.Extension):
    """``{% generation %}`` marks the model's own words for training; for a prompt it is only its content."""

    tags = {"generation"}  # noqa: RUF012 - declared so by jinja2

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment() -> jinja2.sandbox.ImmutableSandboxedEnvironment:
    """Templates come with downloaded weights: they are run in the sandbox."""
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Plain JSON, where Jinja's own filter would escape it for HTML and sort the keys."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _arguments(text: str) -> Any:
    """Templates expect an object (many put it through ``tojson``); text that is none is shown as it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _tool(tool: ToolSpec) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)},
    }


def _read_config(path: Path, name: str) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise WeightsError(name, f"{path} is not valid JSON: {error}") from error
    return config if isinstance(config, dict) else {}


def _special_tokens(config: Mapping[str, Any]) -> dict[str, str]:
    """bos_token, eos_token, ...: a string, or an object with its content."""
    found = {}
    for key, value in config.items():
        text = value.get("content") if isinstance(value, dict) else value
        if key.endswith("_token") and isinstance(text, str):
            found[key] = text
    return found
