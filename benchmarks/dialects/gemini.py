"""Gemini Live (BidiGenerateContent): 16 kHz in, 24 kHz out, JSON in text or binary frames, nothing has an id.

Differences that a comparison has to name: the server decides on the end of a turn by itself unless
``silenceDurationMs`` is set, does not tell when speech begins (a client learns of a barge-in by ``interrupted``), and
holds back ``turnComplete`` until it takes its answer for played, which is therefore no clock.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.dialects.base import (
    AnswerBegan,
    AnswerEnded,
    Asked,
    Endpoint,
    Fact,
    Flush,
    Frame,
    Heard,
    Pcm,
    Ready,
    Setup,
    Sound,
    Target,
    TurnEnded,
    Words,
    merged,
)
from benchmarks.results import Tokens

URL = (
    "wss://generativelanguage.googleapis.com/ws/google.ai.generativelanguage.v1beta.GenerativeService"
    ".BidiGenerateContent"
)


class Gemini:
    """An answer ends with ``generationComplete``, with ``interrupted``, or when it asks for a tool; what the
    model says to the tool's result is the next one. Usage in ``turnComplete`` is that of the last answer."""

    name = "gemini"
    input_rate = 16_000
    output_rate = 24_000
    says_ready = True

    def __init__(self) -> None:
        self._model = ""
        self._answers = 0
        self._speaking = False
        self._ready = Ready()

    def endpoint(self, target: Target) -> Endpoint:
        self._model = target.model
        return Endpoint(target.url, {"x-goog-api-key": target.key} if target.key else {})

    def opening(self, setup: Setup) -> list[Frame]:
        speech: dict[str, Any] = {"languageCode": setup.language} if setup.language else {}
        speech |= {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": setup.voice}}} if setup.voice else {}
        detection = setup.turn_detection
        if detection is None and setup.hold_ms is not None:
            detection = {"silenceDurationMs": round(setup.hold_ms)}
        message: dict[str, Any] = {
            "model": self._model if "/" in self._model else f"models/{self._model}",
            "generationConfig": {"responseModalities": ["AUDIO"], **({"speechConfig": speech} if speech else {})},
            "inputAudioTranscription": {},
            "outputAudioTranscription": {},
        }
        message |= {"systemInstruction": {"parts": [{"text": setup.instructions}]}} if setup.instructions else {}
        message |= {"realtimeInputConfig": {"automaticActivityDetection": detection}} if detection else {}
        message |= (
            {"tools": [{"functionDeclarations": [_declared(tool) for tool in setup.tools]}]} if setup.tools else {}
        )
        hold = (detection or {}).get("silenceDurationMs")
        vad = "automatic" if hold is None else f"automatic {hold} ms"
        self._ready = Ready(None if hold is None else float(hold), vad, self._model)
        return [json.dumps({"setup": merged(message, setup.extra)})]

    def sound(self, pcm: Pcm) -> list[Frame]:
        data = base64.b64encode(pcm.astype("<i2").tobytes()).decode()
        return [json.dumps({"realtimeInput": {"audio": {"data": data, "mimeType": "audio/pcm;rate=16000"}}})]

    def results(self, calls: Sequence[tuple[Asked, Any]]) -> list[Frame]:
        responses = [
            {
                "id": asked.call_id,
                "name": asked.name,
                "response": result if isinstance(result, dict) else {"output": result},
            }
            for asked, result in calls
        ]
        return [json.dumps({"toolResponse": {"functionResponses": responses}})]

    def played(self, answer: str, played_s: float) -> list[Frame]:
        """The server truncates by its own estimate, and does not tell."""
        return []

    def hear(self, frame: Frame) -> list[Fact]:
        message = json.loads(frame)
        facts: list[Fact] = []
        if "setupComplete" in message:
            facts.append(self._ready)
        activity = message.get("voiceActivity", {})
        if activity.get("voiceActivityType") == "ACTIVITY_END":
            facts.append(TurnEnded(_ms(activity.get("audioOffset"))))
        if "serverContent" in message:
            facts += self._content(message["serverContent"])
        if "toolCall" in message:
            facts += [] if self._speaking else self._begin()
            facts += [
                Asked(call["id"], call["name"], call.get("args") or {}) for call in message["toolCall"]["functionCalls"]
            ]
            facts += self._end(tokens=_tokens(message.get("usageMetadata")))
        elif "usageMetadata" in message and not self._speaking and self._answers:
            facts.append(AnswerEnded(self._answer, tokens=_tokens(message["usageMetadata"])))
        return facts

    @property
    def _answer(self) -> str:
        return f"answer_{self._answers}"

    def _content(self, content: dict[str, Any]) -> list[Fact]:
        facts: list[Fact] = []
        if text := content.get("inputTranscription", {}).get("text"):
            facts.append(Heard(text, final=False))
        for part in content.get("modelTurn", {}).get("parts", ()):
            if "inlineData" in part:
                facts += [] if self._speaking else self._begin()
                pcm = np.frombuffer(base64.b64decode(part["inlineData"]["data"]), "<i2").astype(np.int16)
                facts.append(Sound(self._answer, pcm))
        if text := content.get("outputTranscription", {}).get("text"):
            facts.append(Words(self._answer, text))
        if content.get("interrupted"):
            facts += [Flush(), *(self._end(cancelled=True) if self._speaking else [])]
        elif (content.get("generationComplete") or content.get("turnComplete")) and self._speaking:
            facts += self._end()
        return facts

    def _begin(self) -> list[Fact]:
        self._answers += 1
        self._speaking = True
        return [AnswerBegan(self._answer)]

    def _end(self, *, cancelled: bool = False, tokens: Tokens | None = None) -> list[Fact]:
        self._speaking = False
        return [AnswerEnded(self._answer, cancelled, tokens)]


def _ms(offset: str | None) -> float | None:
    """Of a duration as JSON writes it, "1.25s"."""
    return None if offset is None else float(offset.removesuffix("s")) * 1000


def _declared(tool: dict[str, Any]) -> dict[str, Any]:
    known = {"name": tool["name"], "description": tool.get("description", "")}
    return known | (
        {"parametersJsonSchema": tool["parameters"]} if tool.get("parameters", {}).get("properties") else {}
    )


def _tokens(usage: dict[str, Any] | None) -> Tokens | None:
    """Thinking counts as text of the answer, as it is charged like it."""
    if not usage:
        return None

    def of(details: str, modality: str) -> int:
        counts = usage.get(details) or ()
        return sum(each.get("tokenCount", 0) for each in counts if each.get("modality") == modality)

    return Tokens(
        input_text=of("promptTokensDetails", "TEXT") + usage.get("toolUsePromptTokenCount", 0),
        input_audio=of("promptTokensDetails", "AUDIO"),
        cached_text=usage.get("cachedContentTokenCount", 0),
        output_text=of("responseTokensDetails", "TEXT") + usage.get("thoughtsTokenCount", 0),
        output_audio=of("responseTokensDetails", "AUDIO"),
    )
