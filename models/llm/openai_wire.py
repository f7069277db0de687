"""The chat completions protocol: a ChatRequest as the JSON of a request, and the JSON of a streamed answer as objects.

Source: the "Create chat completion" and "Chat completion chunk" pages of OpenAI's API reference; for priority and
cache_salt, the "OpenAI-compatible server" page of vLLM's documentation.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError

from models.base import ChatMessage, ChatRequest, ToolSpec, priority_of
from models.llm.hermes import MARKS

_OUTSIDE = ("user", "tool")
_QUOTED = 300

CONTROL = re.compile("|".join([r"<\|[A-Za-z0-9_.-]{1,40}\|>", *map(re.escape, MARKS)]))
"""Control tokens as most chat templates write them, and the tags of the tool-call format."""


def shown(request: ChatRequest) -> Sequence[ToolSpec]:
    """The tools that the model is told of. With tool_choice none it gets no tools, so that it is not tempted."""
    return () if request.tool_choice == "none" else request.tools


def has_chosen_tool(request: ChatRequest) -> bool:
    """Whether the tool that tool_choice demands exists."""
    choice = request.tool_choice
    return choice in ("auto", "none") or any(choice in ("required", tool.name) for tool in request.tools)


@dataclass(frozen=True)
class Dialect:
    """What one server wants to have in a request.

    vllm: send priority and cache_salt, which other servers ignore or refuse. temperature: for requests that name none;
    None leaves it to the server. control: finds what must not stand in the words of callers and tools, as it could end
    the turn or pass for a tool call. extra: more members of the request's JSON object.
    """

    vllm: bool = False
    temperature: float | None = None
    control: re.Pattern[str] = CONTROL
    extra: Mapping[str, Any] = field(default_factory=dict)

    def encode(self, request: ChatRequest, model: str) -> bytes:
        """JSON text. Raises TypeError or ValueError for what cannot be JSON, such as half a surrogate pair."""
        body: dict[str, Any] = {
            "model": model,
            "messages": self._messages(request.messages),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if tools := shown(request):
            body["tools"] = [_tool(tool) for tool in tools]
            body["tool_choice"] = _tool_choice(request.tool_choice)
        temperature = self.temperature if request.temperature is None else request.temperature
        if temperature is not None:
            body["temperature"] = temperature
        if request.max_tokens is not None:
            body["max_tokens"] = request.max_tokens
        if self.vllm:
            body["priority"] = int(priority_of(request.priority))
            if request.cache_key:
                # Hashed, as the server limits its length and letters, and need not know its tenants.
                body["cache_salt"] = hashlib.sha256(request.cache_key.encode()).hexdigest()
        return orjson.dumps(body | dict(self.extra), default=_plain)

    def _messages(self, messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
        names = {call.id: call.name for message in messages for call in message.tool_calls}
        out = []
        for message in messages:
            text = self.control.sub("", message.text) if message.role in _OUTSIDE else message.text
            entry: dict[str, Any] = {"role": message.role, "content": text}
            if message.tool_calls:
                entry["tool_calls"] = [
                    {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                    for call in message.tool_calls
                ]
            if message.role == "tool":
                entry["tool_call_id"] = message.tool_call_id
                if self.vllm:
                    # Not of the protocol, but some chat templates show it.
                    entry["name"] = names.get(message.tool_call_id or "", "")
            out.append(entry)
        return out


def _tool(tool: ToolSpec) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
    }


def _tool_choice(choice: str) -> Any:
    return choice if choice in ("auto", "required") else {"type": "function", "function": {"name": choice}}


def _plain(value: object) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


# ------------------------------------------------------------------------------------------ answers


class FunctionPiece(BaseModel):
    name: str | None = None
    arguments: str | None = None


class CallPiece(BaseModel):
    """A piece of a tool call. Not every server numbers its calls or repeats their id."""

    index: int | None = None
    id: str | None = None
    function: FunctionPiece = FunctionPiece()


class ContentPart(BaseModel):
    type: str = ""
    text: str | None = None


class Delta(BaseModel):
    """Thoughts come under other names (reasoning, reasoning_content), which are not read."""

    content: str | list[ContentPart] | None = None
    refusal: str | None = None
    tool_calls: list[CallPiece] | None = None

    @property
    def words(self) -> str:
        content = self.content or ""
        if not isinstance(content, str):
            content = "".join(part.text or "" for part in content if part.type == "text")
        return content + (self.refusal or "")


class Choice(BaseModel):
    index: int = 0
    delta: Delta | None = None
    finish_reason: str | None = None


class PromptDetails(BaseModel):
    cached_tokens: int | None = None


class UsageCounts(BaseModel):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: PromptDetails | None = None


class Failure(BaseModel):
    message: str = ""
    code: int | str | None = None


class Chunk(BaseModel):
    """One event of a streamed answer."""

    choices: list[Choice] | None = None
    usage: UsageCounts | None = None
    error: Failure | str | None = None

    @property
    def choice(self) -> Choice | None:
        return next((choice for choice in self.choices or () if choice.index == 0), None)

    @classmethod
    def read(cls, data: str) -> Chunk:
        """Raises ValueError for what is no chunk."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise ValueError(f"no chat completion chunk: {data[:80]!r}") from error


def error_message(body: bytes) -> str:
    """What an error's body says, on one line: the message of the protocol's error object, of FastAPI's and of a few
    others, or the text itself."""
    try:
        found = orjson.loads(body)
    except ValueError:
        found = body.decode("utf-8", "replace")
    for key in ("error", "detail", "message"):
        if isinstance(found, dict) and key in found:
            found = found[key]
    if isinstance(found, list):
        # FastAPI's list of faults quotes the whole request under "input".
        found = "; ".join(str(fault.get("msg", "")) for fault in found if isinstance(fault, dict))
    return " ".join(str(found).split())[:_QUOTED]
