"""The objects inside server events of the Realtime API (GA): session, item, content part, response.

Strict clients drop an event, or the connection, over one null too many. So what is absent is left out, but for the
nulls that the API's own session, user audio part and response have.
"""

from __future__ import annotations

from typing import Any

import pybase64

from server.core.events import (
    AudioFormat,
    ContentPart,
    InputTranscription,
    Item,
    ItemKind,
    McpEndpoint,
    ResponseStatus,
    ResponseView,
    SessionConfig,
    TokenUsage,
    Tool,
    TurnDetection,
)
from server.core.tools import NO_APPROVAL, ToolFilter
from server.transports.wire_extras import NOISE_REDUCTION, unknown_extras

Json = dict[str, Any]


def session_object(config: SessionConfig, session_id: str, model: str, expires_at: int) -> Json:
    """The whole effective configuration, of a speaking or of a transcription session."""
    extras = config.extras
    if extras.get("type") == "transcription":
        return {
            "type": "transcription",
            "object": "realtime.transcription_session",
            "id": session_id,
            "expires_at": expires_at,
            "audio": {"input": _audio_input(config, transcribes=True)},
            "include": extras.get("include"),
        }
    session = {
        "type": "realtime",
        "object": "realtime.session",
        "id": session_id,
        "model": model,
        "output_modalities": [config.modality],
        "instructions": config.instructions,
        "tools": [*map(_tool, config.tools), *map(_mcp_server, config.mcp)],
        "tool_choice": _tool_choice(config.tool_choice),
        "max_output_tokens": _limit(config.max_output_tokens),
        "tracing": extras.get("tracing"),
        "truncation": extras.get("truncation") or "auto",
        "prompt": None,
        "expires_at": expires_at,
        "audio": {"input": _audio_input(config, transcribes=False), "output": _audio_output(config)},
        "include": extras.get("include"),
        **unknown_extras(extras, ""),
    }
    if not config.parallel_tool_calls:
        session["parallel_tool_calls"] = False
    if extras.get("reasoning") is not None:
        session["reasoning"] = extras["reasoning"]
    return session


def _audio_input(config: SessionConfig, transcribes: bool) -> Json:
    return {
        "format": format_object(config.input_format),
        "transcription": _transcription(config.transcription),
        "noise_reduction": config.extras.get(NOISE_REDUCTION),
        "turn_detection": _turn_detection(config.turn_detection, transcribes),
        **unknown_extras(config.extras, "audio.input."),
    }


def _audio_output(config: SessionConfig) -> Json:
    return {
        "format": format_object(config.output_format),
        "voice": config.voice,
        "speed": config.speed,
        **unknown_extras(config.extras, "audio.output."),
    }


def format_object(kind: AudioFormat) -> Json:
    """``format``: only PCM says its rate."""
    return {"type": kind.value, "rate": kind.rate} if kind is AudioFormat.PCM else {"type": kind.value}


def _transcription(wanted: InputTranscription | None) -> Json | None:
    """Fields that are not set stay away: clients check them by type."""
    if wanted is None:
        return None
    values = {
        "model": wanted.model,
        "language": wanted.language,
        "prompt": wanted.prompt,
        "keywords": list(wanted.keywords) or None,
    }
    return {name: value for name, value in values.items() if value is not None}


def _turn_detection(turns: TurnDetection | None, transcribes: bool) -> Json | None:
    if turns is None:
        return None
    answers = {"create_response": turns.create_response, "interrupt_response": turns.interrupt_response}
    if turns.kind == "semantic_vad":
        return {"type": turns.kind} if transcribes else {"type": turns.kind, "eagerness": turns.eagerness, **answers}
    values: Json = {
        "type": turns.kind,
        "threshold": turns.threshold,
        "prefix_padding_ms": turns.prefix_padding_ms,
        "silence_duration_ms": turns.silence_duration_ms,
    }
    return values if transcribes else {**values, "idle_timeout_ms": turns.idle_timeout_ms, **answers}


def _tool(tool: Tool) -> Json:
    return {"type": "function", "name": tool.name, "description": tool.description, "parameters": tool.parameters}


def _mcp_server(server: McpEndpoint) -> Json:
    """As the client gave it, without what it authorises itself with."""
    values: Json = {"type": "mcp", "server_label": server.server_label, "server_url": server.server_url}
    allowed, approval = server.allowed, server.approval
    if allowed != ToolFilter():
        values["allowed_tools"] = sorted(allowed.names or ()) if allowed.read_only is None else _filter(allowed)
    rules = {"always": approval.always, "never": approval.never}
    named: Json = {name: _filter(rule) for name, rule in rules.items() if rule is not None}
    asked = "never" if approval == NO_APPROVAL else named or "always"
    return {**values, "require_approval": asked}


def _filter(tools: ToolFilter) -> Json:
    names = None if tools.names is None else sorted(tools.names)
    values = {"tool_names": names, "read_only": tools.read_only}
    return {name: value for name, value in values.items() if value is not None}


def _tool_choice(choice: str) -> str | Json:
    return choice if choice in ("auto", "none", "required") else {"type": "function", "name": choice}


def _limit(tokens: int | None) -> int | str:
    return "inf" if tokens is None else tokens


def item_object(item: Item, audio: bytes | None = None) -> Json:
    """An item. audio: samples to put into its first audio part (for ``conversation.item.retrieved`` only)."""
    values: Json = {"id": item.id, "object": "realtime.item", "type": item.kind.value, "status": item.status.value}
    if item.kind is ItemKind.FUNCTION_CALL:
        return {**values, "name": item.name, "call_id": item.call_id, "arguments": item.arguments}
    if item.kind is ItemKind.FUNCTION_CALL_OUTPUT:
        return {**values, "call_id": item.call_id, "output": item.output}
    if item.kind is not ItemKind.MESSAGE:
        return _mcp_item(item)
    content = [_part(part) for part in item.content]
    heard = next((part for part in content if part["type"] in ("input_audio", "output_audio")), None)
    if audio is not None and heard is not None:
        heard["audio"] = pybase64.b64encode_as_string(audio)
    return {**values, "role": item.role, "content": content}


def _mcp_item(item: Item) -> Json:
    """Items about MCP have no status and no ``object`` in the API."""
    values: Json = {"id": item.id, "type": item.kind.value}
    if item.kind is ItemKind.MCP_APPROVAL_RESPONSE:
        answer = {"approval_request_id": item.approval_request_id, "approve": item.approve}
        return {**values, **answer, "reason": item.reason or None}
    values["server_label"] = item.server_label
    if item.kind is ItemKind.MCP_LIST_TOOLS:
        tools = [{"name": t.name, "description": t.description, "input_schema": t.parameters} for t in item.tools]
        return {**values, "tools": tools}
    values |= {"name": item.name, "arguments": item.arguments}
    if item.kind is ItemKind.MCP_APPROVAL_REQUEST:
        return values
    error = {"type": "tool_execution_error", "message": item.error} if item.error else None
    asked = item.approval_request_id or None
    return {**values, "approval_request_id": asked, "output": item.output or None, "error": error}


def _part(part: ContentPart) -> Json:
    if part.kind == "input_audio":
        return {"type": part.kind, "transcript": part.text}
    if part.kind == "output_audio":
        return {"type": part.kind} if part.text is None else {"type": part.kind, "transcript": part.text}
    return {"type": part.kind, "text": part.text or ""}


def part_object(kind: str, text: str) -> Json:
    """The part of ``response.content_part.*``. kind: the short name, audio or text."""
    return {"type": kind, "transcript" if kind == "audio" else "text": text}


def response_object(response: ResponseView) -> Json:
    """``response``: usage and metadata are null where there is none. ``kammerton`` is a field that the API lacks
    and that its clients pass over: the language that is spoken, the one before it where that has just changed, and
    facts of the tools that it reports."""
    language: Json = {"language": response.language, "switched_from": response.switched_from}
    extension = {name: value for name, value in language.items() if value is not None}
    extension |= response.facts
    return {
        **({"kammerton": extension} if extension else {}),
        "object": "realtime.response",
        "id": response.id,
        "status": response.status.value,
        "status_details": _status_details(response),
        "output": [item_object(item) for item in response.output],
        "conversation_id": response.conversation or None,
        "output_modalities": [response.modality],
        "max_output_tokens": _limit(response.max_output_tokens),
        "audio": {"output": {"format": format_object(response.output_format), "voice": response.voice}},
        "usage": None if response.usage is None else _usage(response.usage),
        "metadata": None if response.metadata is None else dict(response.metadata),
    }


def _status_details(response: ResponseView) -> Json | None:
    if response.status is ResponseStatus.FAILED:
        error = {"type": "server_error", "code": response.error_code, "message": response.error_message}
        return {
            "type": "failed",
            "error": {name: value for name, value in error.items() if value is not None},
        }
    if response.status in (ResponseStatus.CANCELLED, ResponseStatus.INCOMPLETE):
        reason = {} if response.reason is None else {"reason": response.reason}
        return {"type": response.status.value, **reason}
    return None


def _usage(usage: TokenUsage) -> Json:
    """Cached tokens are counted as text first: the prompt begins with text."""
    cached_text = min(usage.cached, usage.input_text)
    input_tokens = usage.input_text + usage.input_audio
    output_tokens = usage.output_text + usage.output_audio
    return {
        "total_tokens": input_tokens + output_tokens,
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "input_token_details": {
            "text_tokens": usage.input_text,
            "audio_tokens": usage.input_audio,
            "image_tokens": 0,
            "cached_tokens": usage.cached,
            "cached_tokens_details": {
                "text_tokens": cached_text,
                "audio_tokens": usage.cached - cached_text,
                "image_tokens": 0,
            },
        },
        "output_token_details": {"text_tokens": usage.output_text, "audio_tokens": usage.output_audio},
    }
