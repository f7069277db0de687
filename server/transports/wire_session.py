"""``session.update`` of the Realtime API (GA): the client's settings to changes of the SessionConfig.

Stock clients send much that a server of one's own has no use for (other vendors' voices and model names, tracing,
noise reduction). It is accepted, and what has no use here is kept for the echo (wire_extras.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from server.core.events import (
    AudioFormat,
    InputTranscription,
    SessionConfig,
    Truncation,
    TurnDetection,
)
from server.transports.wire_extras import LOGPROBS, keep_extras
from server.transports.wire_fields import Fields
from server.transports.wire_tools import read_mcp, read_tool_choice, read_tools

MAX_OUTPUT_TOKENS = 4096

_ANY_MS = 60_000
_MAX_KEYWORDS, _MAX_KEYWORD = 256, 128


def read_session(session: Fields, current: SessionConfig, extras: Mapping[str, Any]) -> dict[str, Any]:
    """The changes that an update asks for, by field name of SessionConfig.

    extras: those of all updates so far; if any change, ``changes["extras"]`` has all of them. Raises ClientError:
    then nothing of the update holds.
    """
    kind = session.needed("type", session.choice("type", ("realtime", "transcription")))
    session.text("model")
    audio = session.object("audio") or Fields({}, session.at("audio"))
    source = audio.object("input") or Fields({}, audio.at("input"))
    target = audio.object("output") or Fields({}, audio.at("output"))
    values: dict[str, Any] = {
        "modality": read_modality(session),
        "instructions": session.text("instructions"),
        "input_format": read_format(source),
        "output_format": read_format(target),
        "voice": read_voice(target),
        "speed": target.number("speed", 0.25, 1.5),
        "temperature": read_temperature(session),
        "tools": read_tools(session, beside_mcp=True),
        "mcp": read_mcp(session),
        "tool_choice": read_tool_choice(session),
        "parallel_tool_calls": session.flag("parallel_tool_calls"),
    }
    changes = {name: value for name, value in values.items() if value is not None}
    tokens = read_max_output_tokens(session)
    if tokens is not None:
        changes["max_output_tokens"] = None if tokens == "inf" else tokens
    if "transcription" in source.values:
        changes["transcription"] = read_transcription(source)
    changes |= _turn_changes(source, current, kind)
    kept = keep_extras(session, source, target, extras, kind)
    if kept != extras:
        changes["extras"] = kept
        changes["truncation"] = _truncation(kept.get("truncation"))
        changes["logprobs"] = LOGPROBS in (kept.get("include") or ())
    return changes


def _truncation(wanted: Any) -> Truncation:
    """``truncation`` as it was checked and kept for the echo."""
    if not isinstance(wanted, Mapping):
        return Truncation(wanted or "auto")
    limits = wanted.get("token_limits", {})
    return Truncation("retention_ratio", wanted["retention_ratio"], limits.get("post_instructions"))


def transcribing(config: SessionConfig) -> SessionConfig:
    """The configuration of a session that only transcribes (``?intent=transcription``) as it starts."""
    turns = config.turn_detection
    silent = None if turns is None else replace(turns, create_response=False, interrupt_response=False)
    return replace(config, turn_detection=silent, extras={**config.extras, "type": "transcription"})


def _turn_changes(source: Fields, current: SessionConfig, kind: str) -> dict[str, Any]:
    """A session that only transcribes has turns, but never answers one."""
    responds = kind == "realtime"
    if "turn_detection" in source.values:
        detection = read_turn_detection(source)
        if detection is not None and not responds:
            detection = replace(detection, create_response=False, interrupt_response=False)
        return {"turn_detection": detection}
    if kind == current.extras.get("type", "realtime") or current.turn_detection is None:
        return {}
    return {
        "turn_detection": replace(current.turn_detection, create_response=responds, interrupt_response=responds),
    }


def read_turn_detection(source: Fields) -> TurnDetection | None:
    """``turn_detection``: fields that an object leaves out take their defaults. null and false mean manual turns."""
    if source.values["turn_detection"] is False:
        return None
    turns = source.object("turn_detection")
    if turns is None:
        return None
    kind = turns.needed("type", turns.choice("type", ("server_vad", "semantic_vad")))
    values: dict[str, Any] = {
        "create_response": turns.flag("create_response"),
        "interrupt_response": turns.flag("interrupt_response"),
    }
    if kind == "server_vad":
        values |= {
            "threshold": turns.number("threshold", 0, 1),
            "prefix_padding_ms": turns.integer("prefix_padding_ms", 0, _ANY_MS),
            "silence_duration_ms": turns.integer("silence_duration_ms", 0, _ANY_MS),
            "idle_timeout_ms": turns.integer("idle_timeout_ms", 5_000, 30_000),
        }
    else:
        values["eagerness"] = turns.choice("eagerness", ("low", "medium", "high", "auto"))
    return TurnDetection(kind, **{name: value for name, value in values.items() if value is not None})


def read_transcription(source: Fields) -> InputTranscription | None:
    """``transcription``: any model name is taken, the server hears with its own. null: not shown to the client."""
    wanted = source.object("transcription")
    if wanted is None:
        return None
    return InputTranscription(
        wanted.text("model", 256), wanted.text("language", 64), wanted.text("prompt"), _read_keywords(wanted)
    )


def _read_keywords(wanted: Fields) -> tuple[str, ...]:
    keywords = wanted.array("keywords", _MAX_KEYWORDS) or []
    if not all(isinstance(word, str) and len(word) <= _MAX_KEYWORD for word in keywords):
        wanted.reject("keywords", f"must be strings of at most {_MAX_KEYWORD} characters.")
    return tuple(keywords)


def read_format(side: Fields) -> AudioFormat | None:
    """``format``: PCM at 24 kHz or G.711 at 8 kHz."""
    wanted = side.object("format")
    if wanted is None:
        return None
    kind = AudioFormat(wanted.needed("type", wanted.choice("type", tuple(AudioFormat))))
    rate = wanted.integer("rate", 0, 1_000_000)
    if rate not in (None, kind.rate):
        wanted.reject("rate", f"'{kind}' has a rate of {kind.rate} here, not {rate}.")
    return kind


def read_voice(target: Fields) -> str | None:
    """``voice``: a name, or an object with an id. Which voice that means is for the synthesizer to say."""
    if isinstance(target.values.get("voice"), dict):
        custom = Fields(target.values["voice"], target.at("voice"))
        return custom.needed("id", custom.text("id", 256))
    return target.text("voice", 256)


def read_modality(owner: Fields) -> str | None:
    """``output_modalities``: exactly one of audio (which has a transcript with it) and text."""
    wanted = owner.array("output_modalities")
    if wanted is None:
        return None
    if wanted == ["audio"] or wanted == ["text"]:
        return str(wanted[0])
    owner.reject("output_modalities", "must be ['audio'] or ['text'].")


def read_max_output_tokens(owner: Fields) -> int | str | None:
    """``max_output_tokens``: 1 to 4096, or "inf"."""
    if owner.values.get("max_output_tokens") == "inf":
        return "inf"
    return owner.integer("max_output_tokens", 1, MAX_OUTPUT_TOKENS)


def read_temperature(owner: Fields) -> float | None:
    """``temperature``: a field of the older dialect only, but of use in both."""
    return owner.number("temperature", 0, 2)
