"""What the server does with each client event and field, found by asking its codec and its Session.

``EVENTS`` holds an event of each kind that is right, and a value for each field. What comes of a field is never
written down here: it is read off what the codec makes of the event with it, without it, and with a wrong value.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, get_args

from openai.types import realtime as sdk
from openai.types.realtime.realtime_audio_input_turn_detection import SemanticVad, ServerVad

from server.core import events as ev
from server.core.session import Session
from server.transports.base import AudioAppend
from server.transports.wire import RealtimeCodec

ROOT = Path(__file__).parents[1]

Json = dict[str, Any]

_WRONG: Any = [[]]
_TOOL = {"type": "function", "name": "f"}
_MCP_TOOL = {"type": "mcp", "server_label": "s", "server_url": "https://example.org"}
_PCMU = {"type": "audio/pcmu"}
_INPUT, _TURNS = "session.audio.input", "session.audio.input.turn_detection"
_WORDS = f"{_INPUT}.transcription"


def _message(role: str, **part: Any) -> Json:
    return {"type": "message", "role": role, "content": [part]}


_HELLO = _message("user", type="input_text", text="Hello")

_SESSION: Json = {
    "type": "transcription",
    "model": "another",
    "output_modalities": ["text"],
    "instructions": "Be brief.",
    "audio.input.format": _PCMU,
    "audio.input.noise_reduction": {"type": "near_field"},
    "audio.input.transcription": {},
    "audio.input.turn_detection": None,
    "audio.output.format": _PCMU,
    "audio.output.voice": "other",
    "audio.output.speed": 1.2,
    "tools": [_TOOL],
    "tools (mcp)": [_MCP_TOOL],
    "tool_choice": "required",
    "tool_choice (function)": {"type": "function", "name": "f"},
    "tool_choice (mcp)": {"type": "mcp", "server_label": "s"},
    "parallel_tool_calls": False,
    "max_output_tokens": 10,
    "reasoning": {"effort": "low"},
    "truncation": "disabled",
    "truncation (retention_ratio)": {"type": "retention_ratio", "retention_ratio": 0.5},
    "truncation (token_limits)": {
        "type": "retention_ratio",
        "retention_ratio": 0.8,
        "token_limits": {"post_instructions": 1000},
    },
    "tracing": "auto",
    "prompt": {"id": "p"},
    "include": ["item.input_audio_transcription.logprobs"],
    "temperature": 0.7,
    "anything_else": 1,
}
_TRANSCRIPTION: Json = {
    "model": "whisper-1",
    "language": "de",
    "languages": ["de", "en"],
    "prompt": "A call to a dentist.",
    "keywords": ["Kammerton"],
    "delay": "low",
}
_SERVER_VAD: Json = {
    "type": "semantic_vad",
    "threshold": 0.7,
    "prefix_padding_ms": 100,
    "silence_duration_ms": 900,
    "idle_timeout_ms": 6000,
    "create_response": False,
    "interrupt_response": False,
}
_SEMANTIC_VAD: Json = {
    "type": "server_vad",
    "eagerness": "high",
    "create_response": False,
    "interrupt_response": False,
}
_RESPONSE: Json = {
    "conversation": "none",
    "input": [_HELLO],
    "input (item_reference)": [{"type": "item_reference", "id": "i"}],
    "instructions": "Be brief.",
    "output_modalities": ["text"],
    "audio.output.format": _PCMU,
    "audio.output.voice": "other",
    "tools": [_TOOL],
    "tools (mcp)": [_MCP_TOOL],
    "tool_choice": "required",
    "parallel_tool_calls": False,
    "max_output_tokens": 10,
    "metadata": {"a": "b"},
    "reasoning": {"effort": "low"},
    "prompt": {"id": "p"},
    "temperature": 0.7,
}
_ITEMS: Json = {
    "system message": _message("system", type="input_text", text="Be brief."),
    "user message, input_text": _HELLO | {"id": "i"},
    "user message, input_audio": _message("user", type="input_audio", audio="AAAAAAAA"),
    "user message, input_image": _message("user", type="input_image", image_url="data:image/png;base64,AAAA"),
    "assistant message, output_text": _message("assistant", type="output_text", text="Hello"),
    "assistant message, output_audio": _message("assistant", type="output_audio", transcript="Hello"),
    "function_call": {"type": "function_call", "name": "f", "call_id": "c", "arguments": "{}"},
    "function_call_output": {"type": "function_call_output", "call_id": "c", "output": "1"},
    "mcp_list_tools": {"type": "mcp_list_tools", "server_label": "s", "tools": []},
    "mcp_call": {"type": "mcp_call", "id": "i", "server_label": "s", "name": "f", "arguments": "{}"},
    "mcp_approval_request": {
        "type": "mcp_approval_request",
        "id": "i",
        "server_label": "s",
        "name": "f",
        "arguments": "{}",
    },
    "mcp_approval_response": {
        "type": "mcp_approval_response",
        "id": "i",
        "approval_request_id": "r",
        "approve": True,
    },
}


def _below(prefix: str, fields: Mapping[str, Any]) -> Json:
    return {f"{prefix}.{name}": value for name, value in fields.items()}


@dataclass(frozen=True)
class Probe:
    """An event that is right, and for each field's path another value; what is said in brackets tells rows apart."""

    event: Json
    fields: Json
    name: str = ""


def _inside(name: str, field: str, value: Json, fields: Json) -> Probe:
    """Of an object in ``session.audio.input``."""
    session = {"type": "realtime", "audio": {"input": {field: value}}}
    return Probe({"session": session}, _below(f"{_INPUT}.{field}", fields), name)


_UPDATE = {"session": {"type": "realtime"}}
EVENTS: Mapping[str, tuple[Probe, ...]] = {
    "session.update": (
        Probe(_UPDATE, {"session": {"type": "transcription"}, **_below("session", _SESSION)}),
        _inside("transcription", "transcription", {}, _TRANSCRIPTION),
        _inside("server_vad", "turn_detection", {"type": "server_vad"}, _SERVER_VAD),
        _inside("semantic_vad", "turn_detection", {"type": "semantic_vad"}, _SEMANTIC_VAD),
    ),
    "input_audio_buffer.append": (Probe({"audio": "AAA="}, {"audio": "AAAAAAAA"}),),
    "input_audio_buffer.commit": (Probe({}, {}),),
    "input_audio_buffer.clear": (Probe({}, {}),),
    "conversation.item.create": (
        Probe(
            {"item": _HELLO},
            {
                "previous_item_id": "root",
                "item.id": "mine",
                "item.status": "incomplete",
                **{f"item ({name})": item for name, item in _ITEMS.items()},
            },
        ),
    ),
    "conversation.item.retrieve": (Probe({"item_id": "i"}, {"item_id": "other"}),),
    "conversation.item.truncate": (
        Probe(
            {"item_id": "i", "content_index": 0, "audio_end_ms": 1},
            {"item_id": "other", "content_index": 1, "audio_end_ms": 2},
        ),
    ),
    "conversation.item.delete": (Probe({"item_id": "i"}, {"item_id": "other"}),),
    "response.create": (Probe({}, {"response": {"instructions": "Be brief."}, **_below("response", _RESPONSE)}),),
    "response.cancel": (Probe({}, {"response_id": "r"}),),
    "output_audio_buffer.clear": (Probe({}, {}),),
}

_MODELS = (
    ("session.", sdk.RealtimeSessionCreateRequest),
    ("session.audio.input.", sdk.RealtimeAudioConfigInput),
    ("session.audio.output.", sdk.RealtimeAudioConfigOutput),
    (f"{_WORDS}.", sdk.AudioTranscription),
    (f"{_TURNS}.", ServerVad),
    (f"{_TURNS}.", SemanticVad),
    ("response.", sdk.RealtimeResponseCreateParams),
)

_USED_AS = {
    "session.parallel_tool_calls": ".parallel_tool_calls",
    f"{_WORDS}.model": "transcription.model",
    f"{_WORDS}.prompt": "transcription.prompt",
}
"""Fields of SessionConfig that are kept for the echo alone, unless core or runtime has this in their code."""


@dataclass(frozen=True)
class Verdict:
    """What comes of a field. wrong: the code for a value of a wrong type, missing: the one for its absence."""

    field: str
    does: str
    wrong: str
    missing: str

    @property
    def refused(self) -> bool:
        return self.does.startswith("refused")


def unprobed() -> list[str]:
    """Paths of fields that the SDK has and ``EVENTS`` has no value for."""
    known = [path.partition(" ")[0] for probes in EVENTS.values() for probe in probes for path in probe.fields]
    wanted = [prefix + name for prefix, model in _MODELS for name in model.model_fields]
    for kind, model in client_models().items():
        mine = {path.partition(" ")[0].partition(".")[0] for probe in EVENTS[kind] for path in probe.fields}
        wanted += [f"{kind}: {name}" for name in model.model_fields if name not in {"type", "event_id", *mine}]
    return [path for path in wanted if not any(f"{name}.".startswith(f"{path}.") for name in known)]


def client_models() -> dict[str, Any]:
    """The SDK's model of each client event, by type."""
    return _by_type(sdk.RealtimeClientEvent)


def server_models() -> dict[str, Any]:
    """The SDK's model of each server event, by type."""
    return _by_type(sdk.RealtimeServerEvent)


def _by_type(union: Any) -> dict[str, Any]:
    models = get_args(get_args(union)[0])
    return {get_args(model.model_fields["type"].annotation)[0]: model for model in models}


def verdicts(kind: str) -> Iterator[tuple[str, list[Verdict]]]:
    """The verdicts on a client event's fields: a name, "" at first, for each table."""
    for probe in EVENTS[kind]:
        event = {"type": kind, **probe.event}
        fields = probe.fields if probe.name else {"event_id": "e", **probe.fields}
        yield probe.name, [_verdict(event, name, value) for name, value in fields.items()]


def _verdict(event: Json, name: str, value: Any) -> Verdict:
    path = name.partition(" ")[0]
    does = _comes_of(path, _decoded(event), _decoded(_with(event, path, value)))
    variant = name != path
    wrong = "" if variant else _code(_decoded(_with(event, path, _WRONG)))
    missing = "" if variant else _code(_decoded(_with(event, path, None)))
    return Verdict(name, does, wrong, missing if missing.startswith("missing") else "")


def _comes_of(path: str, without: Any, with_it: Any) -> str:
    if isinstance(with_it, ev.InvalidEvent):
        return f"refused: `{with_it.code}` – {with_it.message}"
    if path in _USED_AS and not _in_code(_USED_AS[path]):
        return "accepted and echoed, not used"
    if with_it == without:
        return "accepted, not used"
    if _without_extras(with_it) == _without_extras(without):
        return "accepted and echoed, not used"
    return "works"


def _in_code(text: str) -> bool:
    files = [file for room in ("core", "runtime") for file in (ROOT / "server" / room).glob("*.py")]
    return any(text in file.read_text() for file in files)


def _without_extras(fact: Any) -> Any:
    if not isinstance(fact, ev.UpdateSession):
        return fact
    changes = {name: value for name, value in fact.changes.items() if name != "extras"}
    return replace(fact, changes={"truncation": ev.Truncation(), "logprobs": False, **changes})


def _with(event: Json, path: str, value: Any) -> Json:
    tree = changed = copy.deepcopy(event)
    *branches, leaf = path.split(".")
    for name in branches:
        tree = tree.setdefault(name, {})
    tree[leaf] = value
    return changed


def _decoded(event: Any, codec: RealtimeCodec | None = None) -> ev.Input | AudioAppend:
    frame = event if isinstance(event, str | bytes) else json.dumps(event)
    return (codec or RealtimeCodec("m", 1, lambda prefix: f"{prefix}_new")).decode(frame, 0)


def _code(fact: Any) -> str:
    return fact.code if isinstance(fact, ev.InvalidEvent) else ""


# ---------------------------------------------------------------------------- what depends on the conversation

_SAY = {"type": "conversation.item.create", "item": {**_HELLO, "id": "i"}}
_RESPOND = {"type": "response.create"}
SITUATIONS: Mapping[str, tuple[Any, ...]] = {
    "a frame that is not JSON": ("{",),
    "a binary frame": (b"{}",),
    "JSON that is not an object": ("[]",),
    "an event without `type`": ({},),
    "an event of an unknown type": ({"type": "x"},),
    "an event nested too deep": (f'{{"type": "response.create", "response": {"[" * 80 + "]" * 80}}}',),
    "`input_audio_buffer.commit` with less than 100 ms of audio": ({"type": "input_audio_buffer.commit"},),
    "`conversation.item.create` with an id that is taken": (_SAY, _SAY),
    "`conversation.item.create` after an item that is not there": ({**_SAY, "previous_item_id": "x"},),
    "`conversation.item.retrieve` of an unknown item": ({"type": "conversation.item.retrieve", "item_id": "x"},),
    "`conversation.item.delete` of an unknown item": ({"type": "conversation.item.delete", "item_id": "x"},),
    "`conversation.item.truncate` of an unknown item": (
        {"type": "conversation.item.truncate", "item_id": "x", "content_index": 0, "audio_end_ms": 1},
    ),
    "`conversation.item.truncate` of an item that is no spoken answer": (
        _SAY,
        {"type": "conversation.item.truncate", "item_id": "i", "content_index": 0, "audio_end_ms": 1},
    ),
    "`response.create` while a response is active": (_RESPOND, _RESPOND),
    "`response.create` with a reference to an unknown item": (
        {**_RESPOND, "response": {"input": [{"type": "item_reference", "id": "x"}]}},
    ),
    "`response.create` in a session that transcribes": (
        {"type": "session.update", "session": {"type": "transcription"}},
        _RESPOND,
    ),
    "`response.cancel` with no active response": ({"type": "response.cancel"},),
}


def error_in(situation: str) -> ev.Error:
    """The error that the last event of a situation is answered with. Raises ValueError when there is none."""
    numbers = count(1)
    session = Session("sess_1", ev.SessionConfig(), lambda prefix: f"{prefix}_{next(numbers)}")
    codec = RealtimeCodec("m", 1)
    answers: list[ev.Output] = []
    for event in SITUATIONS[situation]:
        fact = _decoded(event, codec)
        assert not isinstance(fact, AudioAppend)
        answers = session.handle(fact)
    errors = [answer for answer in answers if isinstance(answer, ev.Error)]
    if not errors:
        raise ValueError(f"{situation}: no error, but {answers}")
    return errors[0]
