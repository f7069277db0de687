"""The objects of the Chat Completions API: a request read into a ChatRequest, an answer written as completion or
chunks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from models.base import ChatMessage, ChatRequest, Priority, ToolCall, ToolCallDelta, ToolSpec, Usage
from server.transports.wire import new_id
from server.transports.wire_fields import MAX_DEPTH, Fields, listed, too_deep

_ROLES = ("system", "developer", "user", "assistant", "tool")
_TEXT_PARTS = {"text": "text", "refusal": "refusal"}
"""Kinds of content parts that are words, each with the field that holds them."""
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_NO_PARAMETERS: Mapping[str, Any] = {"type": "object", "properties": {}}
_MAX_TOOLS = 128
_MAX_STOPS = 4
_ANY_COUNT = 2**31 - 1


@dataclass(frozen=True, slots=True)
class ChatWish:
    """What a client asks for. model: the name that it used, for the echo. stop: sequences that end the answer.
    parallel: whether more than one function may be called in it. user: who asks, as the client names them."""

    request: ChatRequest
    model: str
    stream: bool
    include_usage: bool
    stop: tuple[str, ...]
    parallel: bool
    user: str = ""


# ---------------------------------------------------------------------------------------- reading


def read_chat(body: Fields, default_model: str) -> ChatWish:
    """A request to create a completion. Raises ClientError for what is wrong, and for what would be answered
    differently from what was asked."""
    _refuse_unsupported(body)
    stream = body.flag("stream") or False
    options = body.object("stream_options")
    if options is not None and not stream:
        body.reject("stream_options", "is only allowed when 'stream' is true.")
    tools, choice = _read_tool_choice(body, _read_tools(body))
    limit = body.integer("max_completion_tokens", 1, _ANY_COUNT) or body.integer("max_tokens", 1, _ANY_COUNT)
    request = ChatRequest(
        messages=_read_messages(body),
        tools=tools,
        tool_choice=choice,
        max_tokens=limit,
        temperature=body.number("temperature", 0, 2),
        # A caller on the line whose turn is over goes first.
        priority=Priority.PREPARED,
    )
    return ChatWish(
        request=request,
        model=body.text("model", 256) or default_model,
        stream=stream,
        include_usage=bool(options and options.flag("include_usage")),
        stop=_read_stop(body),
        parallel=body.flag("parallel_tool_calls") is not False,
        user=body.text("user", 256) or "",
    )


def _refuse_unsupported(body: Fields) -> None:
    if (body.integer("n", 1, _ANY_COUNT) or 1) > 1:
        body.reject("n", "this server makes 1 answer to a request.")
    for name in ("logprobs", "top_logprobs"):
        if body.values.get(name):
            body.reject(name, "this server gives no log probabilities; leave it out.")
    if any(wanted != "text" for wanted in body.array("modalities") or ()):
        body.reject("modalities", "must be ['text']; for speech, send the answer to /v1/audio/speech.")
    for name, now in {"functions": "tools", "function_call": "tool_choice"}.items():
        if body.values.get(name) is not None:
            body.reject(name, f"is no longer in use; send '{now}'.")
    form = body.object("response_format")
    if form is not None:
        form.choice("type", ("text",))


def _read_messages(body: Fields) -> Sequence[ChatMessage]:
    messages = [_read_message(fields) for fields in body.needed("messages", body.objects("messages"))]
    if not messages:
        body.reject("messages", "must have at least 1 element.")
    return messages


def _read_message(fields: Fields) -> ChatMessage:
    role = fields.needed("role", fields.choice("role", _ROLES))
    calls = _read_calls(fields) if role == "assistant" else ()
    text = _read_content(fields)
    if text is None and not calls:
        fields.needed("content", text)
    call_id = fields.needed("tool_call_id", fields.text("tool_call_id")) if role == "tool" else None
    return ChatMessage("system" if role == "developer" else role, text or "", calls, call_id)


def _read_content(fields: Fields) -> str | None:
    if not isinstance(fields.values.get("content"), list):
        return fields.text("content")
    parts = []
    for part in fields.objects("content") or ():
        kind = part.needed("type", part.text("type"))
        if kind not in _TEXT_PARTS:
            part.reject("type", f"the model of this server reads text only: 'text', not '{kind}'.")
        parts.append(part.needed(_TEXT_PARTS[kind], part.text(_TEXT_PARTS[kind])))
    return "\n".join(parts)


def _read_calls(fields: Fields) -> tuple[ToolCall, ...]:
    calls = []
    for call in fields.objects("tool_calls") or ():
        call.choice("type", ("function",))
        function = call.needed("function", call.object("function"))
        name = function.needed("name", function.text("name"))
        calls.append(ToolCall(call.needed("id", call.text("id")), name, _read_arguments(function)))
    return tuple(calls)


def _read_arguments(function: Fields) -> str:
    text = function.text("arguments") or "{}"
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict) or too_deep(value):
        function.reject("arguments", f"must be the JSON text of an object, nested at most {MAX_DEPTH} levels deep.")
    return text


def _read_tools(body: Fields) -> dict[str, ToolSpec]:
    tools: dict[str, ToolSpec] = {}
    for fields in body.objects("tools", _MAX_TOOLS) or ():
        fields.needed("type", fields.choice("type", ("function",)))
        function = fields.needed("function", fields.object("function"))
        name = function.needed("name", function.text("name"))
        if not _NAME.fullmatch(name):
            function.reject("name", "must be 1 to 64 letters, digits, '_' or '-'.")
        if name in tools:
            function.reject("name", f"'{name}' is the name of another tool already.")
        parameters = function.object("parameters")
        description = function.text("description") or ""
        tools[name] = ToolSpec(name, description, parameters.values if parameters else _NO_PARAMETERS)
    return tools


def _read_tool_choice(body: Fields, tools: dict[str, ToolSpec]) -> tuple[Sequence[ToolSpec], str]:
    """The tools that the model is shown, and how it may use them."""
    given = body.values.get("tool_choice")
    shown = list(tools.values())
    if not isinstance(given, dict):
        choice = body.choice("tool_choice", ("auto", "none", "required")) or "auto"
        if choice == "required" and not tools:
            body.reject("tool_choice", "is 'required', but there are no 'tools'.")
        return shown, choice
    forced = Fields(given, body.at("tool_choice"))
    kind = forced.needed("type", forced.choice("type", ("function", "allowed_tools")))
    if kind == "function":
        return shown, _read_named(forced, tools)
    allowed = forced.needed("allowed_tools", forced.object("allowed_tools"))
    mode = allowed.needed("mode", allowed.choice("mode", ("auto", "required")))
    names = [_read_named(one, tools) for one in allowed.needed("tools", allowed.objects("tools"))]
    if not names:
        allowed.reject("tools", "must have at least 1 element.")
    return [tool for tool in shown if tool.name in names], mode


def _read_named(owner: Fields, tools: dict[str, ToolSpec]) -> str:
    function = owner.needed("function", owner.object("function"))
    name = function.needed("name", function.text("name"))
    if name not in tools:
        known = f"must be one of {listed(tools)}" if tools else "there are no 'tools'"
        function.reject("name", f"{known}, not '{name}'.")
    return name


def _read_stop(body: Fields) -> tuple[str, ...]:
    given = body.values.get("stop")
    stops = body.array("stop", _MAX_STOPS) if isinstance(given, list) else [body.text("stop")]
    if any(not isinstance(stop, str) for stop in stops or () if stop is not None):
        body.reject("stop", "must be a string, or an array of strings.")
    return tuple(stop for stop in stops or () if stop)


# ---------------------------------------------------------------------------------------- writing


@dataclass(slots=True)
class Completion:
    """One answer in the making. created: Unix seconds. usage: None when the answer was ended before it was counted."""

    id: str
    model: str
    created: int
    text: str = ""
    calls: dict[int, list[str]] = field(default_factory=dict)
    finish_reason: str = "stop"
    usage: Usage | None = None

    def add_call(self, delta: ToolCallDelta) -> dict[str, Any]:
        """Take a piece of a call; the same as the ``delta`` of a chunk."""
        function = {"arguments": delta.arguments}
        piece: dict[str, Any] = {"index": delta.index, "function": function}
        if delta.index not in self.calls:
            self.calls[delta.index] = [delta.id or new_id("call"), delta.name or "", ""]
            function["name"] = self.calls[delta.index][1]
            piece |= {"id": self.calls[delta.index][0], "type": "function"}
        self.calls[delta.index][2] += delta.arguments
        return {"tool_calls": [piece]}

    def whole(self) -> dict[str, Any]:
        """The ``chat.completion``."""
        text = self.text if self.text or not self.calls else None
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
        if self.calls:
            message["tool_calls"] = [
                {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
                for call_id, name, arguments in self.calls.values()
            ]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish_reason}
        return {**self._head("chat.completion"), "choices": [choice], "usage": _usage(self.usage)}

    def chunk(self, delta: Mapping[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        """A ``chat.completion.chunk`` of the one choice."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**self._head("chat.completion.chunk"), "choices": [choice]}

    def usage_chunk(self) -> dict[str, Any]:
        """The last chunk of a client that wants to know what the answer took."""
        return {**self._head("chat.completion.chunk"), "choices": [], "usage": _usage(self.usage)}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def _usage(usage: Usage | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
    }
