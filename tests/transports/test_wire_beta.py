"""The older dialect: what a beta client sends is what the same client would send in GA, and it is answered in beta."""

import base64
import json
from itertools import count
from typing import Any, get_args

import pytest
from fastapi.requests import HTTPConnection
from hypothesis import given, settings
from openai.types.beta.realtime import RealtimeServerEvent

from server.core import events as ev
from server.core.session import Session
from server.transports.base import AudioAppend
from server.transports.wire import RealtimeCodec
from server.transports.wire_beta import BetaCodec, Dialect, UndecidedCodec, codec_for
from server.transports.wire_events import Identity, event_body
from tests.transports.test_wire_encode import CALL, EVENTS, SPOKEN, extra_fields, view
from tests.transports.test_wire_fuzz import DECODED, JSON, nearly_valid

MODEL = "gpt-4o-realtime-preview"
MODELS = {
    get_args(model.model_fields["type"].annotation)[0]: model for model in get_args(get_args(RealtimeServerEvent)[0])
}
TURNS = {
    "type": "server_vad",
    "threshold": 0.4,
    "prefix_padding_ms": 200,
    "silence_duration_ms": 300,
    "create_response": False,
    "interrupt_response": True,
}
TOOL = {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}
SESSION: dict[str, Any] = {
    "modalities": ["text"],
    "instructions": "Be brief.",
    "voice": "someone",
    "input_audio_format": "g711_alaw",
    "output_audio_format": "g711_ulaw",
    "input_audio_transcription": {"model": "whisper-1", "language": "de", "prompt": "x"},
    "input_audio_noise_reduction": {"type": "near_field"},
    "turn_detection": TURNS,
    "tools": [TOOL],
    "tool_choice": "required",
    "temperature": 0.7,
    "max_response_output_tokens": 200,
    "speed": 1.25,
    "tracing": {"workflow_name": "w"},
}
GA_SESSION: dict[str, Any] = {
    "type": "realtime",
    "output_modalities": ["text"],
    "instructions": "Be brief.",
    "tools": [TOOL],
    "tool_choice": "required",
    "temperature": 0.7,
    "max_output_tokens": 200,
    "tracing": {"workflow_name": "w"},
    "audio": {
        "input": {
            "format": {"type": "audio/pcma"},
            "transcription": {"model": "whisper-1", "language": "de", "prompt": "x"},
            "noise_reduction": {"type": "near_field"},
            "turn_detection": TURNS,
        },
        "output": {"format": {"type": "audio/pcmu"}, "voice": "someone", "speed": 1.25},
    },
}


def user(text: str, kind: str = "input_text") -> dict[str, Any]:
    return {"type": "message", "id": "i", "role": "user", "content": [{"type": kind, "text": text}]}


def assistant(text: str, kind: str) -> dict[str, Any]:
    return {"type": "message", "id": "i", "role": "assistant", "content": [{"type": kind, "text": text}]}


def update(session: dict[str, Any]) -> dict[str, Any]:
    return {"type": "session.update", "event_id": "e", "session": session}


def create(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "conversation.item.create", "event_id": "e", "item": item}


def respond(**response: Any) -> dict[str, Any]:
    return {"type": "response.create", "event_id": "e", "response": response}


CLIENT_EVENTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a whole session": (update(SESSION), update(GA_SESSION)),
    "no field at all": (update({}), update({"type": "realtime"})),
    "speech and text": (
        update({"modalities": ["text", "audio"]}),
        update({"type": "realtime", "output_modalities": ["audio"]}),
    ),
    "audio and text": (
        update({"modalities": ["audio", "text"]}),
        update({"type": "realtime", "output_modalities": ["audio"]}),
    ),
    "linear samples": (
        update({"input_audio_format": "pcm16"}),
        update({"type": "realtime", "audio": {"input": {"format": {"type": "audio/pcm", "rate": 24000}}}}),
    ),
    "nulls clear": (
        update({"turn_detection": None, "input_audio_transcription": None}),
        update({"type": "realtime", "audio": {"input": {"turn_detection": None, "transcription": None}}}),
    ),
    "turns of type none": (
        update({"turn_detection": {"type": "none"}}),
        update({"type": "realtime", "audio": {"input": {"turn_detection": None}}}),
    ),
    "a function by its name": (
        update({"tool_choice": "f"}),
        update({"type": "realtime", "tool_choice": {"type": "function", "name": "f"}}),
    ),
    "no limit of tokens": (
        update({"max_response_output_tokens": "inf"}),
        update({"type": "realtime", "max_output_tokens": "inf"}),
    ),
    "a session to transcribe": (
        {
            "type": "transcription_session.update",
            "session": {
                "input_audio_format": "g711_ulaw",
                "input_audio_transcription": {"model": "w"},
                "include": None,
            },
        },
        {
            "type": "session.update",
            "session": {
                "type": "transcription",
                "audio": {"input": {"format": {"type": "audio/pcmu"}, "transcription": {"model": "w"}}},
                "include": None,
            },
        },
    ),
    "a GA session in spite of all": (update(GA_SESSION), update(GA_SESSION)),
    "the user's words": (create(user("hi")), create(user("hi"))),
    "the user's words by their short name": (create(user("hi", "text")), create(user("hi"))),
    "the assistant's words": (create(assistant("hi", "text")), create(assistant("hi", "output_text"))),
    "the result of a call": (
        create({"type": "function_call_output", "id": "i", "call_id": "c", "output": "x"}),
        create({"type": "function_call_output", "id": "i", "call_id": "c", "output": "x"}),
    ),
    "a whole response": (
        respond(
            modalities=["text", "audio"],
            tool_choice="f",
            voice="v",
            output_audio_format="pcm16",
            temperature=1,
            max_response_output_tokens=7,
            input=[assistant("hi", "text"), {"type": "item_reference", "id": "j"}],
            metadata={"a": "b"},
        ),
        respond(
            output_modalities=["audio"],
            tool_choice={"type": "function", "name": "f"},
            audio={"output": {"voice": "v", "format": {"type": "audio/pcm"}}},
            temperature=1,
            max_output_tokens=7,
            input=[assistant("hi", "output_text"), {"type": "item_reference", "id": "j"}],
            metadata={"a": "b"},
        ),
    ),
    "a bare response": ({"type": "response.create"}, {"type": "response.create"}),
    "samples": (
        {"type": "input_audio_buffer.append", "audio": "AAA="},
        {"type": "input_audio_buffer.append", "audio": "AAA="},
    ),
    "a cancellation": ({"type": "response.cancel"}, {"type": "response.cancel"}),
}

SERVER_NAMES = {
    "conversation.item.added": "conversation.item.created",
    "conversation.item.done": None,
    "response.output_text.delta": "response.text.delta",
    "response.output_text.done": "response.text.done",
    "response.output_audio.delta": "response.audio.delta",
    "response.output_audio.done": "response.audio.done",
    "response.output_audio_transcript.delta": "response.audio_transcript.delta",
    "response.output_audio_transcript.done": "response.audio_transcript.done",
}

NEWER = {
    *("object", "expires_at", "include", "parallel_tool_calls", "reasoning", "strength", "usage"),
    *("cached_tokens_details", "image_tokens"),
}
"""What the older clients have no field for, and pass over."""


@pytest.fixture
def ga() -> RealtimeCodec:
    return RealtimeCodec(MODEL, 1)


@pytest.fixture
def beta() -> BetaCodec:
    return BetaCodec(RealtimeCodec(MODEL, 1))


class Peer:
    """A client's side of a real Session behind a codec."""

    def __init__(self, codec: Dialect, config: ev.SessionConfig | None = None) -> None:
        numbers = count()
        self.codec = codec
        self.session = Session("s", config or ev.SessionConfig(), lambda prefix: f"{prefix}_{next(numbers)}")

    def open(self) -> list[dict[str, Any]]:
        return self._told(self.session.open())

    def send(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        fact = self.codec.decode(json.dumps(event), 0)
        assert not isinstance(fact, AudioAppend)
        return self._told(self.session.handle(fact))

    def _told(self, outputs: list[ev.Output]) -> list[dict[str, Any]]:
        events = [output for output in outputs if isinstance(output, get_args(ev.Event))]
        return [json.loads(frame) for event in events for frame in self.codec.encode(event)]


def connection(path: str = "/v1/realtime", query: str = "", **headers: str) -> HTTPConnection:
    offered = headers.pop("protocols", "").split()
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "websocket", "path": path, "query_string": query.encode(), "headers": raw, "server": ("h", 1)}
    return HTTPConnection({**scope, "subprotocols": offered, "scheme": "ws"})


# ------------------------------------------------------------------------------------------ choice


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (connection(), UndecidedCodec),
        (connection(openai_beta="realtime=v1"), BetaCodec),
        (connection(openai_beta="assistants=v2, realtime=v1"), BetaCodec),
        (connection(openai_beta="assistants=v2"), UndecidedCodec),
        (connection(protocols="realtime openai-beta.realtime-v1"), BetaCodec),
        (connection(protocols="realtime openai-insecure-api-key.x"), UndecidedCodec),
        (connection("/openai/realtime", "api-version=2024-10-01-preview&deployment=d"), BetaCodec),
        (connection("/openai/realtime", "model=d"), UndecidedCodec),
        (connection("/openai/v1/realtime", "api-version=preview&deployment=d"), UndecidedCodec),
    ],
)
def test_the_dialect_is_what_the_connection_says(found: HTTPConnection, kind: type, ga: RealtimeCodec) -> None:
    assert type(codec_for(found, ga)) is kind


def test_without_a_word_it_is_ga_until_a_session_without_a_type_comes(ga: RealtimeCodec) -> None:
    peer = Peer(codec_for(connection(), ga))
    (created,) = peer.open()
    assert created["session"]["type"] == "realtime"
    assert [event["type"] for event in peer.send(create(user("one") | {"id": "a"}))] == [
        "conversation.item.added",
        "conversation.item.done",
    ]
    (updated,) = peer.send(update({"voice": "v", "input_audio_format": "g711_ulaw"}))
    assert updated["session"]["voice"] == "v"
    assert "type" not in updated["session"]
    assert peer.codec.input_format is ev.AudioFormat.PCMU
    assert [event["type"] for event in peer.send(create(user("two") | {"id": "b"}))] == ["conversation.item.created"]


def test_a_session_with_a_type_is_ga_for_good(ga: RealtimeCodec) -> None:
    peer = Peer(codec_for(connection(), ga))
    (updated,) = peer.send(update({"type": "realtime", "instructions": "x"}))
    assert updated["session"]["type"] == "realtime"
    (refused,) = peer.send(update({"instructions": "x"}))
    assert refused["error"]["param"] == "session.type"


@pytest.mark.parametrize("frame", ["{", b"\0", '{"type":"session.update"}', '{"type":"session.update","session":7}'])
def test_what_is_no_session_decides_nothing(frame: str | bytes, ga: RealtimeCodec) -> None:
    peer = Peer(codec_for(connection(), ga))
    assert isinstance(peer.codec.decode(frame, 0), ev.InvalidEvent)
    (updated,) = peer.send(update({"type": "realtime"}))
    assert updated["session"]["type"] == "realtime"


def test_event_ids_stay_unique_when_the_dialect_is_found(ga: RealtimeCodec) -> None:
    peer = Peer(codec_for(connection(), ga))
    told = peer.open() + peer.send(update({})) + peer.send(create(user("x")))
    assert len({event["event_id"] for event in told}) == 3


# -------------------------------------------------------------------------------- from the client


@pytest.mark.parametrize("case", CLIENT_EVENTS)
def test_a_beta_event_means_what_its_ga_counterpart_means(case: str, ga: RealtimeCodec, beta: BetaCodec) -> None:
    mine, theirs = CLIENT_EVENTS[case]
    assert beta.decode(json.dumps(mine), 7) == ga.decode(json.dumps(theirs), 7)
    assert not isinstance(ga.decode(json.dumps(theirs), 7), ev.InvalidEvent)


@pytest.mark.parametrize(
    ("event", "param", "says"),
    [
        (update({"input_audio_format": "pcm17"}), "session.input_audio_format", "'g711_ulaw'"),
        (update({"output_audio_format": 7}), "session.output_audio_format", "object"),
        (update({"modalities": ["video"]}), "session.modalities", "'session.modalities'"),
        (update({"turn_detection": {"type": "magic"}}), "session.turn_detection.type", "'server_vad'"),
        (update({"speed": 9}), "session.speed", "1.5"),
        (update({"temperature": "warm"}), "session.temperature", "number"),
        (update({"max_response_output_tokens": 0}), "session.max_response_output_tokens", "4096"),
        (update({"input_audio_transcription": {"model": 1}}), "session.input_audio_transcription.model", "string"),
        (respond(voice=7), "response.voice", "string"),
        (respond(modalities="text"), "response.modalities", "array"),
        (create(assistant("x", "audio")), "item.content[0].type", "'text'"),
    ],
)
def test_an_error_names_the_field_that_the_client_sent(
    event: dict[str, Any], param: str, says: str, beta: BetaCodec
) -> None:
    (told,) = Peer(beta).send(event)
    assert (told["type"], told["error"]["param"], told["error"]["event_id"]) == ("error", param, "e")
    assert says in told["error"]["message"]


def test_a_voice_that_cannot_change_is_named_in_beta_too(beta: BetaCodec) -> None:
    error = ev.Error("cannot_update_voice", "m", "session.audio.output.voice", "e")
    (frame,) = beta.encode(error)
    assert json.loads(frame)["error"]["param"] == "session.voice"


@settings(deadline=None)
@given(nearly_valid([event for event, _ in CLIENT_EVENTS.values()]))
def test_no_event_breaks_it(event: dict[str, Any]) -> None:
    for codec in (BetaCodec(RealtimeCodec("m", 1)), UndecidedCodec(RealtimeCodec("m", 1))):
        answer = codec.decode(json.dumps(event), 0)
        assert isinstance(answer, DECODED)
        if isinstance(answer, ev.InvalidEvent):
            codec.encode(ev.Error(answer.code, answer.message, answer.param))


@settings(deadline=None)
@given(JSON)
def test_no_session_breaks_it(session: Any) -> None:
    for kind in ("session.update", "transcription_session.update"):
        frame = json.dumps({"type": kind, "session": session})
        assert isinstance(BetaCodec(RealtimeCodec("m", 1)).decode(frame, 0), DECODED)


# ---------------------------------------------------------------------------------- to the client


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_event_has_the_same_fields_by_its_old_name(event: ev.Event, ga: RealtimeCodec, beta: BetaCodec) -> None:
    (theirs,) = map(json.loads, ga.encode(event))
    frames = beta.encode(event)
    name = SERVER_NAMES.get(theirs["type"], theirs["type"])
    if name is None:
        assert frames == []
        return
    (mine,) = map(json.loads, frames)
    transcribing = theirs.get("session", {}).get("type") == "transcription"
    assert mine["type"] == (f"transcription_{name}" if transcribing else name)
    changed = {"type", "event_id", "session", "response", "item", "name"}
    assert {key: value for key, value in mine.items() if key not in changed} == {
        key: value for key, value in theirs.items() if key not in changed
    }


def said(event: ev.Event) -> str:
    """Its type, and those of its items and tools. What is about MCP never happens in this dialect."""
    body = event_body(event, Identity("m", 1)) if not isinstance(event, ev.OutputAudioDelta) else {}
    item, session = body.get("item", {}), body.get("session", {})
    kinds = [body.get("type", ""), item.get("type", ""), *(tool["type"] for tool in session.get("tools", ()))]
    return " ".join(kinds)


def test_mcp_servers_are_refused(beta: BetaCodec) -> None:
    peer = Peer(beta)
    tool = {"type": "mcp", "server_label": "x", "server_url": "https://x.example"}
    (error,) = peer.send({"type": "session.update", "session": {"tools": [tool]}})
    assert (error["error"]["code"], error["error"]["param"]) == ("invalid_value", "session.tools")


@pytest.mark.parametrize(
    "event",
    [
        event
        for event in EVENTS
        if not isinstance(event, ev.ItemDone | ev.TimeoutTriggered) and "mcp" not in said(event)
    ],
    ids=lambda event: type(event).__name__,
)
def test_the_sdks_beta_module_reads_every_event_and_knows_every_field(event: ev.Event, beta: BetaCodec) -> None:
    (frame,) = beta.encode(event)
    kind = json.loads(frame)["type"]
    if kind.startswith("transcription_session."):
        return
    parsed = MODELS[kind].model_validate_json(frame, strict=True)
    unknown = {path.rpartition(".")[2] for path in extra_fields(parsed)} - {"x_ext"}
    assert unknown <= NEWER


def test_a_session_is_told_flat(beta: BetaCodec) -> None:
    peer = Peer(beta)
    (created,) = peer.open()
    assert created["type"] == "session.created"
    assert created["session"] == {
        "object": "realtime.session",
        "id": "s",
        "model": MODEL,
        "expires_at": 1,
        "modalities": ["audio", "text"],
        "instructions": "",
        "voice": "",
        "input_audio_format": "pcm16",
        "output_audio_format": "pcm16",
        "input_audio_transcription": None,
        "input_audio_noise_reduction": None,
        "turn_detection": {
            "type": "server_vad",
            "threshold": 0.5,
            "prefix_padding_ms": 300,
            "silence_duration_ms": 500,
            "create_response": True,
            "interrupt_response": True,
        },
        "tools": [],
        "tool_choice": "auto",
        "temperature": 0.8,
        "max_response_output_tokens": "inf",
        "speed": 1.0,
        "tracing": None,
        "include": None,
    }


def test_what_is_asked_for_is_what_is_told_and_can_be_asked_for_again(beta: BetaCodec) -> None:
    peer = Peer(beta)
    (updated,) = peer.send(update(SESSION))
    told = updated["session"]
    assert {name: told[name] for name in SESSION} == SESSION
    (again,) = peer.send(update(told))
    assert again["session"] == told
    assert peer.session.config.temperature == 0.7


def test_a_session_that_transcribes_is_told_flat_by_its_own_event(beta: BetaCodec) -> None:
    peer = Peer(beta, ev.SessionConfig(extras={"type": "transcription"}))
    (created,) = peer.open()
    assert created["type"] == "transcription_session.created"
    (updated,) = peer.send(CLIENT_EVENTS["a session to transcribe"][0])
    assert updated["type"] == "transcription_session.updated"
    assert updated["session"]["object"] == "realtime.transcription_session"
    assert updated["session"]["input_audio_format"] == "g711_ulaw"
    assert updated["session"]["input_audio_transcription"] == {"model": "w"}
    assert set(updated["session"]["turn_detection"]) == {
        *("type", "threshold", "prefix_padding_ms", "silence_duration_ms"),
    }
    assert not {"voice", "modalities", "temperature"} & set(updated["session"])


def test_a_response_is_told_flat_and_its_parts_by_their_old_names(beta: BetaCodec) -> None:
    done = ev.ResponseDone(view(output=(SPOKEN, CALL), max_output_tokens=7))
    response = json.loads(beta.encode_done(done, {"stt_final": 1.0}))["response"]
    assert response["modalities"] == ["audio", "text"]
    assert (response["voice"], response["output_audio_format"]) == ("marin", "pcm16")
    assert response["max_output_tokens"] == 7
    assert response["output"][0]["content"] == [{"type": "audio", "transcript": "x"}]
    assert response["output"][1]["name"] == "f"
    assert response["kammerton"] == {"timings_ms": {"stt_final": 1.0}}
    assert not {"audio", "output_modalities"} & set(response)


def test_a_retrieved_item_has_its_audio(beta: BetaCodec) -> None:
    body = json.loads(beta.encode_retrieved(SPOKEN, b"\1\2"))
    assert body["item"]["content"] == [{"type": "audio", "transcript": "x", "audio": "AQI="}]


def test_arguments_are_done_without_a_name(beta: BetaCodec) -> None:
    (frame,) = beta.encode(ev.FunctionArgumentsDone("r", "i", 0, "c", "f", "{}"))
    assert "name" not in json.loads(frame)


def test_samples_come_through(beta: BetaCodec) -> None:
    audio = b'"response.output_audio.delta"' * 4000
    frames = beta.encode(ev.OutputAudioDelta("r", "i", 0, audio, 0, len(audio) // 2))
    bodies = [json.loads(frame) for frame in frames]
    assert {body["type"] for body in bodies} == {"response.audio.delta"}
    assert b"".join(base64.b64decode(body["delta"]) for body in bodies) == audio
