"""Configuration, items and overrides as the OpenAI Realtime API (GA) wants them from a client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pybase64

from server.core import events as e

Json = dict[str, Any]

VOICES = frozenset(("alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar"))
_MAX_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the operator has set for a provider. voice: for sessions whose own it does not have, "" for the provider's
    default. transcription: the model (Azure: the deployment) that writes down what the caller says, for the replay on a
    new connection; "" asks for it only where the client does."""

    voice: str = ""
    transcription: str = ""


def session_object(config: e.SessionConfig, wishes: Wishes) -> Json:
    """``session`` of a ``session.update`` that sets everything."""
    extras = config.extras
    session: Json = {
        "type": "realtime",
        "output_modalities": [config.modality],
        "instructions": config.instructions,
        "tools": [_tool(tool) for tool in (*config.tools, *(own.tool for own in config.server_tools))],
        "tool_choice": _tool_choice(config.tool_choice),
        "max_output_tokens": "inf" if config.max_output_tokens is None else config.max_output_tokens,
        "audio": {"input": _input(config, wishes), "output": _output(config, wishes)},
    }
    if not config.parallel_tool_calls:
        session["parallel_tool_calls"] = False
    # null takes nothing away here that the provider has by default; models without reasoning refuse the field.
    session |= {name: extras[name] for name in ("truncation", "include", "reasoning") if extras.get(name) is not None}
    return session


def _input(config: e.SessionConfig, wishes: Wishes) -> Json:
    return {
        "format": format_object(config.input_format),
        "transcription": _transcription(config.transcription, wishes),
        "noise_reduction": config.extras.get("audio.input.noise_reduction"),
        "turn_detection": turn_detection(config.turn_detection),
    }


def _output(config: e.SessionConfig, wishes: Wishes) -> Json:
    output: Json = {"format": format_object(config.output_format), "speed": config.speed}
    voice = config.voice if config.voice.lower() in VOICES else wishes.voice
    return {**output, "voice": voice} if voice else output


def format_object(kind: e.AudioFormat) -> Json:
    """``format``: only PCM says its rate."""
    return {"type": kind.value, "rate": kind.rate} if kind is e.AudioFormat.PCM else {"type": kind.value}


def _transcription(wish: e.InputTranscription | None, wishes: Wishes) -> Json | None:
    model = wishes.transcription or (wish.model if wish else None)
    if not model:
        return None
    values = {
        "model": model,
        "language": wish.language if wish else None,
        "prompt": wish.prompt if wish else None,
        "keywords": (list(wish.keywords) or None) if wish else None,
    }
    return {name: value for name, value in values.items() if value is not None}


def turn_detection(turns: e.TurnDetection | None, *, protected: bool = False) -> Json | None:
    """``turn_detection``. protected: the caller's voice must not end what is being said."""
    if turns is None:
        return None
    answers = {
        "create_response": turns.create_response,
        "interrupt_response": turns.interrupt_response and not protected,
    }
    if turns.kind == "semantic_vad":
        return {"type": turns.kind, "eagerness": turns.eagerness, **answers}
    values: Json = {
        "type": turns.kind,
        "threshold": turns.threshold,
        "prefix_padding_ms": turns.prefix_padding_ms,
        "silence_duration_ms": turns.silence_duration_ms,
        **answers,
    }
    return values if turns.idle_timeout_ms is None else {**values, "idle_timeout_ms": turns.idle_timeout_ms}


def _tool(tool: e.Tool) -> Json:
    return {"type": "function", "name": tool.name, "description": tool.description, "parameters": tool.parameters}


def _tool_choice(choice: str) -> str | Json:
    return choice if choice in ("auto", "none", "required") else {"type": "function", "name": choice}


def item_object(item: e.Item, audio: bytes | None = None) -> Json:
    """An item for ``conversation.item.create`` or as input of a response. audio: samples of its one audio part."""
    values: Json = {"type": item.kind.value}
    if item.id:
        values["id"] = item.id
    if item.kind is e.ItemKind.FUNCTION_CALL:
        return {**values, "name": item.name, "call_id": item.call_id, "arguments": item.arguments}
    if item.kind is e.ItemKind.FUNCTION_CALL_OUTPUT:
        return {**values, "call_id": item.call_id, "output": item.output}
    return {**values, "role": item.role, "content": [_part(part, audio) for part in item.content]}


def _part(part: e.ContentPart, audio: bytes | None) -> Json:
    if part.kind != "input_audio":
        return {"type": part.kind, "text": part.text or ""}
    if audio is not None:
        return {"type": part.kind, "audio": pybase64.b64encode_as_string(audio)}
    return {"type": "input_text", "text": part.text or ""}


def response_object(wanted: e.ResponseOverrides) -> Json:
    """``response`` of a ``response.create``: what is overridden, and nothing else."""
    output: Json = {}
    if wanted.output_format is not None:
        output["format"] = format_object(wanted.output_format)
    if wanted.voice is not None and wanted.voice.lower() in VOICES:
        output["voice"] = wanted.voice
    tokens = wanted.max_output_tokens
    values: Json = {
        "conversation": None if wanted.conversation == "auto" else wanted.conversation,
        "instructions": wanted.instructions,
        "output_modalities": None if wanted.modality is None else [wanted.modality],
        "audio": {"output": output} if output else None,
        "tools": None if wanted.tools is None else [_tool(tool) for tool in wanted.tools],
        "tool_choice": None if wanted.tool_choice is None else _tool_choice(wanted.tool_choice),
        "parallel_tool_calls": wanted.parallel_tool_calls,
        "max_output_tokens": None if tokens is None else min(tokens, _MAX_TOKENS),
        "metadata": None if wanted.metadata is None else dict(wanted.metadata),
        "input": None if wanted.input is None else [_context(entry) for entry in wanted.input],
    }
    return {name: value for name, value in values.items() if value is not None}


def _context(entry: e.Item | str) -> Json:
    return {"type": "item_reference", "id": entry} if isinstance(entry, str) else item_object(entry)


def recital(words: str) -> Json:
    """``response`` that has these words spoken, as exactly as a generative model can be told to: nothing else in its
    context, no tools."""
    return {
        "instructions": "You read text aloud. Say the following words exactly as they are, in their language, with"
        f" nothing before or after them: {words}",
        "input": [],
        "tools": [],
        "tool_choice": "none",
    }
