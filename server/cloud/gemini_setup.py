"""What a Gemini Live session is set up with: a session's configuration and conversation in the terms of
BidiGenerateContent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from server.core import events as e
from server.core.conversation import text_of

Json = dict[str, Any]

VOICES = frozenset(
    (
        *("Achernar", "Achird", "Algenib", "Algieba", "Alnilam", "Aoede", "Autonoe", "Callirrhoe", "Charon", "Despina"),
        *("Enceladus", "Erinome", "Fenrir", "Gacrux", "Iapetus", "Kore", "Laomedeia", "Leda", "Orus", "Puck"),
        *("Pulcherrima", "Rasalgethi", "Sadachbia", "Sadaltager", "Schedar", "Sulafat", "Umbriel", "Vindemiatrix"),
        *("Zephyr", "Zubenelgenubi"),
    )
)
"""Prebuilt voices. A session that names another one gets that of the options."""

_HOST = "wss://generativelanguage.googleapis.com"
_SERVICE = "/ws/google.ai.generativelanguage.{version}.GenerativeService.{method}"
_LAZY_MS, _EAGER_MS = 1200, 300
"""Silence that ends a turn of a caller who is waited for, and of one who is not (``eagerness``)."""


@dataclass(frozen=True, slots=True)
class GeminiOptions:
    """One account and model. url: ``wss://host[:port]``, with a path where that is not the service's own. key: an API
    key, or a short-lived token (``auth_tokens/...``). voice: one of VOICES, for sessions that name none of them.
    session_s: when to move on to a fresh connection; one has been seen to end after 58 minutes without a word."""

    model: str
    key: str = field(repr=False)
    url: str = _HOST
    voice: str = "Kore"
    session_s: float = 3300.0

    def address(self) -> tuple[str, dict[str, str]]:
        """URL and headers of a connection."""
        token = self.key.startswith("auth_tokens/")
        version, method = ("v1alpha", "Constrained") if token else ("v1beta", "")
        path = _SERVICE.format(version=version, method="BidiGenerateContent" + method)
        bare = self.url.rstrip("/").count("/") == 2
        url = self.url.rstrip("/") + path if bare else self.url
        return url, {"Authorization": f"Token {self.key}"} if token else {"x-goog-api-key": self.key}

    @property
    def _generation(self) -> tuple[int, int]:
        found = re.search(r"(\d+)\.(\d+)", self.model)
        return (int(found[1]), int(found[2])) if found else (3, 8)

    @property
    def takes_typed_turns(self) -> bool:
        """Whether clientContent starts turns; from 3.0 on it holds the history before the first turn only."""
        return self._generation < (3, 0)

    @property
    def takes_updates(self) -> bool:
        """Whether instructions and tools may change within a connection (contextUpdate)."""
        return self._generation >= (3, 8)


def setup(options: GeminiOptions, config: e.SessionConfig, notes: Sequence[str] = ()) -> Json:
    """The ``setup`` message's content, but for what belongs to one connection (handle, history). notes: what else the
    model has been told by the operator's side."""
    generation: Json = {"responseModalities": ["AUDIO"], "speechConfig": _speech(options, config)}
    if config.temperature is not None:
        generation["temperature"] = config.temperature
    if config.max_output_tokens is not None:
        generation["maxOutputTokens"] = config.max_output_tokens
    name = options.model if "/" in options.model else f"models/{options.model}"
    content: Json = {
        "model": name,
        "generationConfig": generation,
        "realtimeInputConfig": _detection(config.turn_detection),
        "inputAudioTranscription": {},
        "outputAudioTranscription": {},
        "contextWindowCompression": {"slidingWindow": {}},
    }
    instruction = instructions(config, notes)
    if instruction:
        content["systemInstruction"] = {"parts": [{"text": instruction}]}
    if found := tools(config):
        content["tools"] = found
    return content


def instructions(config: e.SessionConfig, notes: Sequence[str]) -> str:
    """The text of systemInstruction."""
    return "\n\n".join(text for text in (config.instructions, *notes) if text)


def tools(config: e.SessionConfig) -> list[Json]:
    """The client's and the server's functions; none where the model may not call any."""
    offered = [*config.tools, *(own.tool for own in config.server_tools)]
    if config.tool_choice == "none" or not offered:
        return []
    declared = [
        {"name": tool.name, "description": tool.description, "parametersJsonSchema": dict(tool.parameters)}
        for tool in offered
    ]
    return [{"functionDeclarations": declared}]


def problem(config: e.SessionConfig) -> tuple[str, str] | None:
    """What Gemini Live cannot do of this: the field and what is wrong with it; None if it can."""
    detection = config.turn_detection
    if detection is not None and not detection.create_response:
        message = "Gemini answers each turn that it hears; use null, and commit turns by hand."
        return "session.audio.input.turn_detection.create_response", message
    if config.tool_choice not in ("auto", "none"):
        return "session.tool_choice", "Gemini Live knows auto and none only."
    return None


def _speech(options: GeminiOptions, config: e.SessionConfig) -> Json:
    wanted = config.voice.capitalize()
    return {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": wanted if wanted in VOICES else options.voice}}}


def _detection(detection: e.TurnDetection | None) -> Json:
    if detection is None:
        return {"automaticActivityDetection": {"disabled": True}}
    # Their prefixPaddingMs is speech that a start takes, not sound that is kept before it: it stays theirs.
    automatic: Json = {"silenceDurationMs": detection.silence_duration_ms}
    if detection.kind == "semantic_vad":
        pauses = {"low": _LAZY_MS, "high": _EAGER_MS}
        automatic = {"silenceDurationMs": pauses[detection.eagerness]} if detection.eagerness in pauses else {}
    elif detection.threshold > _DEFAULT_THRESHOLD:
        automatic["startOfSpeechSensitivity"] = "START_SENSITIVITY_LOW"
    interrupts = "START_OF_ACTIVITY_INTERRUPTS" if detection.interrupt_response else "NO_INTERRUPTION"
    return {"automaticActivityDetection": automatic, "activityHandling": interrupts}


_DEFAULT_THRESHOLD = e.TurnDetection().threshold


def history(items: Iterable[e.Item]) -> list[Json]:
    """The conversation as turns of clientContent. Calls and their results are told in words: an id means nothing to a
    session that did not make it."""
    names: dict[str, str] = {}
    turns: list[Json] = []
    for item in items:
        if item.kind is e.ItemKind.FUNCTION_CALL:
            names[item.call_id] = item.name
        told = said(item, names.get(item.call_id, "a function"))
        if told is None:
            continue
        role, text = told
        if turns and turns[-1]["role"] == role:
            turns[-1]["parts"].append({"text": text})
        else:
            turns.append({"role": role, "parts": [{"text": text}]})
    return turns


def said(item: e.Item, name: str = "a function") -> tuple[str, str] | None:
    """Role and words of an item; None for what has no words, and for notes (see ``setup``). name: of the function
    whose result this is."""
    match item.kind:
        case e.ItemKind.FUNCTION_CALL:
            return "model", f"(I called {item.name} with {item.arguments or '{}'}.)"
        case e.ItemKind.FUNCTION_CALL_OUTPUT:
            return "user", f"(The result of {name}: {item.output})"
        case e.ItemKind.MESSAGE if item.role != "system" and text_of(item):
            return ("model" if item.role == "assistant" else "user"), text_of(item)
        case _:
            return None


def notes_of(items: Iterable[e.Item]) -> list[str]:
    """System messages of a conversation."""
    return [text_of(item) for item in items if item.role == "system" and text_of(item)]
