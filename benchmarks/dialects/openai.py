"""OpenAI's Realtime API, GA shape, and Azure OpenAI, which differs in how the key is sent.

Servers that follow OpenAI at a distance still use the beta's names of some events and objects: both are understood. The
dialect "openai-beta" configures the session in the beta's flat shape, too.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import numpy as np

from benchmarks.dialects.base import (
    AnswerBegan,
    AnswerEnded,
    Asked,
    DialectError,
    Endpoint,
    Fact,
    Flush,
    Frame,
    Heard,
    History,
    Pcm,
    Ready,
    Setup,
    Sound,
    Target,
    Trouble,
    TurnEnded,
    Words,
    merged,
)
from benchmarks.results import Tokens

_RATE = 24_000
_TRANSCRIBER = "whisper-1"
_ENDED = ("completed", "incomplete", "failed", "cancelled")


@dataclass(slots=True)
class _Item:
    """A spoken item of an answer. samples: of its sound that came."""

    id: str
    content_index: int
    samples: int = 0


@dataclass(slots=True)
class _Answer:
    items: dict[str, _Item] = field(default_factory=dict)


class OpenAi:
    """GA. The client truncates what it flushes, as the documentation asks of WebSocket clients, and then asks for
    the item, to see what the history holds."""

    name = "openai"
    input_rate = _RATE
    output_rate = _RATE
    says_ready = True

    def __init__(self) -> None:
        self._answers: dict[str, _Answer] = {}
        self._asked_about: dict[str, str] = {}

    def endpoint(self, target: Target) -> Endpoint:
        url = with_query(target.url, model=target.model) if target.model else target.url
        return Endpoint(url, {"Authorization": f"Bearer {target.key}"} if target.key else {})

    def opening(self, setup: Setup) -> list[Frame]:
        return [json.dumps({"type": "session.update", "session": self._session(setup)})]

    def sound(self, pcm: Pcm) -> list[Frame]:
        audio = base64.b64encode(pcm.astype("<i2").tobytes()).decode()
        return [json.dumps({"type": "input_audio_buffer.append", "audio": audio})]

    def results(self, calls: Sequence[tuple[Asked, Any]]) -> list[Frame]:
        outputs = [
            {"type": "function_call_output", "call_id": asked.call_id, "output": json.dumps(result)}
            for asked, result in calls
        ]
        created = [json.dumps({"type": "conversation.item.create", "item": output}) for output in outputs]
        return [*created, json.dumps({"type": "response.create"})]

    def played(self, answer: str, played_s: float) -> list[Frame]:
        left = int(played_s * _RATE)
        for item in self._answers.get(answer, _Answer()).items.values():
            if left <= item.samples:
                self._asked_about[item.id] = answer
                ms = left * 1000 // _RATE
                cut = {"item_id": item.id, "content_index": item.content_index, "audio_end_ms": ms}
                return [
                    json.dumps({"type": "conversation.item.truncate", **cut}),
                    json.dumps({"type": "conversation.item.retrieve", "item_id": item.id}),
                ]
            left -= item.samples
        return []

    def hear(self, frame: Frame) -> list[Fact]:
        event = json.loads(frame)
        match event.get("type"):
            case "session.updated":
                return [ready(event["session"])]
            case "error":
                return self._error(event["error"])
            case "input_audio_buffer.speech_started":
                return [Flush()]
            case "input_audio_buffer.speech_stopped":
                return [TurnEnded(event.get("audio_end_ms"))]
            case "conversation.item.input_audio_transcription.completed":
                return [Heard(event["transcript"])]
            case "conversation.item.input_audio_transcription.failed":
                return [Trouble(f"transcription: {event['error'].get('message')}")]
            case "conversation.item.retrieved":
                return self._history(event["item"])
            case str(kind) if kind.startswith("response."):
                return self._response(kind, event)
        return []

    def _response(self, kind: str, event: dict[str, Any]) -> list[Fact]:
        match kind:
            case "response.created":
                return [AnswerBegan(event["response"]["id"])]
            case "response.output_audio.delta" | "response.audio.delta":
                pcm = np.frombuffer(base64.b64decode(event["delta"]), "<i2").astype(np.int16)
                items = self._answers.setdefault(event["response_id"], _Answer()).items
                item = items.setdefault(event["item_id"], _Item(event["item_id"], event.get("content_index", 0)))
                item.samples += len(pcm)
                return [Sound(event["response_id"], pcm)]
            case "response.output_audio_transcript.delta" | "response.audio_transcript.delta":
                return [Words(event["response_id"], event["delta"])]
            case "response.done":
                return _done(event["response"])
        return []

    def _history(self, item: dict[str, Any]) -> list[Fact]:
        answer = self._asked_about.pop(item.get("id", ""), None)
        if answer is None:
            return []
        said = [part.get("transcript") or part.get("text") or "" for part in item.get("content", ())]
        return [History(answer, " ".join(said).strip())]

    def _error(self, error: dict[str, Any]) -> list[Fact]:
        return [Trouble(f"{error.get('code') or error.get('type')}: {error.get('message')}")]

    def _session(self, setup: Setup) -> dict[str, Any]:
        source: dict[str, Any] = {
            "format": {"type": "audio/pcm", "rate": _RATE},
            "transcription": {"model": _TRANSCRIBER, **({"language": setup.language} if setup.language else {})},
        }
        detection = turn_detection(setup)
        if detection is not None:
            source["turn_detection"] = detection
        target: dict[str, Any] = {"format": {"type": "audio/pcm", "rate": _RATE}}
        target |= {"voice": setup.voice} if setup.voice else {}
        target |= {"speed": setup.speed} if setup.speed is not None else {}
        session: dict[str, Any] = {
            "type": "realtime",
            "output_modalities": ["audio"],
            "audio": {"input": source, "output": target},
        }
        session |= {"instructions": setup.instructions} if setup.instructions else {}
        session |= {"tools": [{"type": "function", **tool} for tool in setup.tools]} if setup.tools else {}
        return merged(session, setup.extra)


class Azure(OpenAi):
    """Azure OpenAI, GA: ``wss://RESOURCE.openai.azure.com/openai/v1/realtime``; ``model`` is the deployment."""

    name = "azure"

    def endpoint(self, target: Target) -> Endpoint:
        url = with_query(target.url, model=target.model) if target.model else target.url
        return Endpoint(url, {"api-key": target.key} if target.key else {})


class OpenAiBeta(OpenAi):
    """The flat session of the beta, for servers that know no other."""

    name = "openai-beta"

    def endpoint(self, target: Target) -> Endpoint:
        endpoint = super().endpoint(target)
        return Endpoint(endpoint.url, {**endpoint.headers, "OpenAI-Beta": "realtime=v1"})

    def _session(self, setup: Setup) -> dict[str, Any]:
        session: dict[str, Any] = {
            "modalities": ["text", "audio"],
            "input_audio_format": "pcm16",
            "output_audio_format": "pcm16",
            "input_audio_transcription": {"model": _TRANSCRIBER},
        }
        detection = turn_detection(setup)
        session |= {"turn_detection": detection} if detection is not None else {}
        session |= {"voice": setup.voice} if setup.voice else {}
        session |= {"instructions": setup.instructions} if setup.instructions else {}
        session |= {"tools": [{"type": "function", **tool} for tool in setup.tools]} if setup.tools else {}
        return merged(session, setup.extra)


def turn_detection(setup: Setup) -> dict[str, Any] | None:
    """None leaves the server its default."""
    if setup.turn_detection is not None:
        return setup.turn_detection
    if setup.hold_ms is not None:
        return {"type": "server_vad", "silence_duration_ms": round(setup.hold_ms)}
    return None


def ready(session: dict[str, Any]) -> Ready:
    """What a server says is in force, in the shape of GA or of the beta."""
    audio = session.get("audio", {})
    detection = audio.get("input", {}).get("turn_detection") or session.get("turn_detection") or {}
    hold = detection.get("silence_duration_ms")
    kind = detection.get("type", "none")
    vad = f"{kind} {hold} ms" if hold is not None else " ".join(filter(None, (kind, detection.get("eagerness"))))
    voice = audio.get("output", {}).get("voice") or session.get("voice")
    told = {"voice": voice, "turn_detection": detection, "reasoning": session.get("reasoning")}
    settings = {name: value for name, value in told.items() if value}
    return Ready(None if hold is None else float(hold), vad, session.get("model") or "", settings)


def _done(response: dict[str, Any]) -> list[Fact]:
    """The tools it asks for, and its end."""
    if response.get("status") not in _ENDED:
        raise DialectError(f"response.done with status {response.get('status')!r}")
    cancelled = response["status"] == "cancelled"
    facts: list[Fact] = [
        Asked(item["call_id"], item["name"], _arguments(item["arguments"]))
        for item in response.get("output") or ()
        if item.get("type") == "function_call" and not cancelled
    ]
    error = ""
    if response["status"] in ("failed", "incomplete"):
        details = response.get("status_details") or {}
        error = (details.get("error") or {}).get("message") or f"{response['status']}: {details.get('reason')}"
    timings = (response.get("kammerton") or {}).get("timings_ms", {})
    stages = {name: float(ms) for name, ms in timings.items() if ms is not None and not isinstance(ms, bool)}
    return [*facts, AnswerEnded(response["id"], cancelled, _tokens(response.get("usage")), stages, error)]


def _arguments(text: str) -> dict[str, Any]:
    """Arguments that are no JSON object are one argument that nobody expects."""
    try:
        given = json.loads(text or "{}")
    except ValueError:
        given = None
    return given if isinstance(given, dict) else {"": text}


def _tokens(usage: dict[str, Any] | None) -> Tokens | None:
    if not usage:
        return None
    given, made = usage.get("input_token_details") or {}, usage.get("output_token_details") or {}
    cached = given.get("cached_tokens_details") or {}
    return Tokens(
        given.get("text_tokens") or 0,
        given.get("audio_tokens") or 0,
        cached.get("text_tokens", given.get("cached_tokens")) or 0,
        cached.get("audio_tokens") or 0,
        made.get("text_tokens") or 0,
        made.get("audio_tokens") or 0,
    )


def with_query(url: str, **values: str) -> str:
    """The address with these query parameters, unless it has them already."""
    parts = urlsplit(url)
    query = {**values, **dict(parse_qsl(parts.query))}
    return urlunsplit(parts._replace(query=urlencode(query)))
