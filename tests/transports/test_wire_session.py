"""session.update: what a client asks for, what it is told it has, and what is refused with nothing changed."""

import json
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from server.core import events as ev
from server.core.session import Session
from server.transports.wire import RealtimeCodec
from server.transports.wire_session import transcribing

MISSING, INVALID = "missing_required_parameter", "invalid_value"
PCM = {"type": "audio/pcm", "rate": 24000}
TOOL = {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}
SERVER_VAD = {
    "type": "server_vad",
    "threshold": 0.4,
    "prefix_padding_ms": 200,
    "silence_duration_ms": 300,
    "idle_timeout_ms": 6000,
    "create_response": False,
    "interrupt_response": False,
}
EVERYTHING = {
    "type": "realtime",
    "output_modalities": ["text"],
    "instructions": "Be brief.",
    "tools": [TOOL],
    "tool_choice": {"type": "function", "name": "f"},
    "max_output_tokens": 200,
    "parallel_tool_calls": False,
    "reasoning": {"effort": "low"},
    "tracing": {"workflow_name": "w", "metadata": {"a": 1}},
    "truncation": {"type": "retention_ratio", "retention_ratio": 0.8, "token_limits": {"post_instructions": 900}},
    "prompt": None,
    "include": ["item.input_audio_transcription.logprobs"],
    "audio": {
        "input": {
            "format": {"type": "audio/pcma"},
            "transcription": {"model": "gpt-4o-transcribe", "language": "de", "prompt": "Kammerton"},
            "noise_reduction": {"type": "far_field", "strength": 0.5},
            "turn_detection": SERVER_VAD,
        },
        "output": {"format": {"type": "audio/pcmu"}, "voice": "someone", "speed": 1.25},
    },
}


class Peer:
    """A client's side of a real Session behind a real codec."""

    def __init__(self, config: ev.SessionConfig | None = None) -> None:
        numbers = count()
        self.codec = RealtimeCodec("m", 1)
        self.session = Session("s", config or ev.SessionConfig(), lambda prefix: f"{prefix}_{next(numbers)}")
        self.told = self._told(self.session.open())

    def send(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Send one event; return the one event that answers it."""
        fact = self.codec.decode(json.dumps({"type": kind, **fields}), 0)
        assert not hasattr(fact, "audio")
        return self._told(self.session.handle(fact))

    def update(self, session: Any, **fields: Any) -> dict[str, Any]:
        """session.update; returns the session as it is told afterwards, or the error."""
        answer = self.send("session.update", session=session, **fields)
        told = answer["session"] if answer["type"] == "session.updated" else answer["error"]
        assert isinstance(told, dict)
        return told

    def _told(self, outputs: list[ev.Output]) -> dict[str, Any]:
        ((frame,),) = [self.codec.encode(output) for output in outputs]  # type: ignore[arg-type]
        told = json.loads(frame)
        assert isinstance(told, dict)
        return told


def audio_in(**fields: Any) -> dict[str, Any]:
    return {"type": "realtime", "audio": {"input": fields}}


def audio_out(**fields: Any) -> dict[str, Any]:
    return {"type": "realtime", "audio": {"output": fields}}


def test_a_session_starts_with_every_field_named() -> None:
    session = Peer().told["session"]
    assert set(session) == {
        *("type", "object", "id", "model", "output_modalities", "instructions", "tools", "tool_choice"),
        *("max_output_tokens", "tracing", "truncation", "prompt", "expires_at", "audio", "include"),
    }
    assert session["audio"]["input"] == {
        "format": PCM,
        "transcription": None,
        "noise_reduction": None,
        "turn_detection": {
            "type": "server_vad",
            "threshold": 0.5,
            "prefix_padding_ms": 300,
            "silence_duration_ms": 500,
            "idle_timeout_ms": None,
            "create_response": True,
            "interrupt_response": True,
        },
    }


def test_what_is_asked_for_is_what_is_told() -> None:
    told = Peer().update(EVERYTHING)
    served = {"object": "realtime.session", "id": "s", "model": "m", "expires_at": 1}
    assert told == EVERYTHING | served


def test_what_is_told_can_be_asked_for_again() -> None:
    peer = Peer()
    told = peer.update(EVERYTHING)
    assert peer.update(told) == told


def test_whole_numbers_are_told_as_integers() -> None:
    limits = {"type": "retention_ratio", "retention_ratio": 0.5, "token_limits": {"post_instructions": 900.0}}
    told = Peer().update(
        {"type": "realtime", "truncation": limits} | audio_in(turn_detection={**SERVER_VAD, "idle_timeout_ms": 6e3})
    )
    assert type(told["truncation"]["token_limits"]["post_instructions"]) is int
    assert type(told["audio"]["input"]["turn_detection"]["idle_timeout_ms"]) is int


def test_what_is_not_named_stays() -> None:
    peer = Peer()
    told = peer.update(EVERYTHING)
    assert peer.update({"type": "realtime"}) == told
    assert peer.update({"type": "realtime", "instructions": ""}) == told | {"instructions": ""}
    assert peer.update({"type": "realtime", "tools": [], "tool_choice": "auto"})["tools"] == []
    assert peer.session.config.speed == 1.25


MCP = {"server_label": "x", "server_url": "https://x.example/mcp"}
APPROVED = "require_approval.always.read_only"
F, G = ev.ToolFilter(frozenset({"f"})), ev.ToolFilter(frozenset({"g"}))
READ_ONLY, BOTH = ev.ToolFilter(read_only=True), ev.ToolFilter(frozenset({"g"}), read_only=False)


@pytest.mark.parametrize("field", ["turn_detection", "transcription", "noise_reduction"])
def test_null_switches_an_input_stage_off(field: str) -> None:
    peer = Peer()
    peer.update(EVERYTHING)
    assert peer.update(audio_in(**{field: None}))["audio"]["input"][field] is None


@pytest.mark.parametrize("field", ["tracing", "include"])
def test_null_clears_a_setting_that_is_only_kept(field: str) -> None:
    peer = Peer()
    peer.update(EVERYTHING)
    assert peer.update({"type": "realtime", field: None})[field] is None


@pytest.mark.parametrize("manual", [None, False])
def test_turns_can_be_left_to_the_client(manual: Any) -> None:
    peer = Peer()
    assert peer.update(audio_in(turn_detection=manual))["audio"]["input"]["turn_detection"] is None
    assert peer.session.config.turn_detection is None


def test_turn_detection_takes_defaults_for_what_it_leaves_out() -> None:
    peer = Peer()
    peer.update(EVERYTHING)
    peer.update(audio_in(turn_detection={"type": "server_vad", "silence_duration_ms": 250}))
    assert peer.session.config.turn_detection == ev.TurnDetection(silence_duration_ms=250)


def test_semantic_turn_detection_has_eagerness_and_nothing_of_the_other_kind() -> None:
    told = Peer().update(audio_in(turn_detection={"type": "semantic_vad", "eagerness": "high", "threshold": "n/a"}))
    assert told["audio"]["input"]["turn_detection"] == {
        "type": "semantic_vad",
        "eagerness": "high",
        "create_response": True,
        "interrupt_response": True,
    }


def test_unlimited_output_can_be_asked_for_again() -> None:
    peer = Peer(ev.SessionConfig(max_output_tokens=5))
    assert peer.update({"type": "realtime", "max_output_tokens": "inf"})["max_output_tokens"] == "inf"
    assert peer.session.config.max_output_tokens is None


@pytest.mark.parametrize(
    "session",
    [
        {"type": "realtime", "model": "gpt-realtime-2.1", "tracing": "auto"},
        {"type": "realtime", "instructions": None, "tools": None, "audio": None, "max_output_tokens": None},
        audio_in(transcription={"model": "gpt-next", "keywords": ["a"], "delay": "low", "languages": ["de"]}),
        audio_in(turn_detection={"type": "semantic_vad", "interrupt_response": True}, format=PCM),
        audio_in(noise_reduction=None, transcription={}),
        audio_in(format={"type": "audio/pcmu", "rate": 8000}),
        audio_in(format={"type": "audio/pcm"}),
        audio_out(voice="marin", speed=1, format=PCM),
        audio_out(voice={"id": "voice_1"}),
        {"type": "realtime", "temperature": 0.8, "modalities": ["text"], "x" * 2_000: 1},
        {"type": "realtime", "tools": [{"type": "function", "name": "f"}], "parallel_tool_calls": True},
    ],
)
def test_what_stock_clients_send_is_accepted(session: dict[str, Any]) -> None:
    assert Peer().update(session)["object"] == "realtime.session"


def test_names_of_other_vendors_do_not_reach_the_models_own() -> None:
    told = Peer().update(
        {"type": "realtime", "model": "gpt-realtime", "audio": {"output": {"voice": {"id": "v"}}}},
    )
    assert (told["model"], told["audio"]["output"]["voice"]) == ("m", "v")


def test_fields_that_the_api_does_not_have_are_told_back_but_change_nothing() -> None:
    odd = {"x_a": {"b": 1}, "id": "mine", "object": "mine", "audio.input.noise_reduction": {"type": "odd"}}
    told = Peer().update(odd | audio_in(x_c=2))
    assert (told["x_a"], told["audio"]["input"]["x_c"]) == ({"b": 1}, 2)
    assert (told["id"], told["object"]) == ("s", "realtime.session")
    assert told["audio"]["input"]["noise_reduction"] is None


def test_unknown_fields_cannot_fill_the_memory() -> None:
    peer = Peer()
    for number in range(50):
        told = peer.update({"type": "realtime", "big": "x" * 5_000, **{f"x{number}_{n}": n for n in range(50)}})
    assert "big" not in told
    assert len(told) < 80
    assert peer.update({"type": "realtime", "tracing": "auto"})["tracing"] == "auto"


def test_updates_sent_without_waiting_for_the_answer_add_up() -> None:
    peer = Peer()
    updates = [{"type": "realtime", "tracing": "auto"}, {"type": "realtime", "truncation": "disabled"}]
    facts = [peer.codec.decode(json.dumps({"type": "session.update", "session": session}), 0) for session in updates]
    for fact in facts:
        assert isinstance(fact, ev.UpdateSession)
        peer.session.handle(fact)
    assert peer.session.config.extras == {"tracing": "auto", "truncation": "disabled"}


def test_a_transcription_session_never_answers() -> None:
    peer = Peer()
    told = peer.update({"type": "transcription", "audio": {"input": {"transcription": {"model": "whisper-1"}}}})
    assert (told["type"], told["object"]) == ("transcription", "realtime.transcription_session")
    assert told["audio"]["input"]["transcription"] == {"model": "whisper-1"}
    silent = replace(ev.TurnDetection(), create_response=False, interrupt_response=False)
    assert peer.session.config.turn_detection == silent
    peer.update({"type": "transcription", "audio": {"input": {"turn_detection": {"type": "server_vad"}}}})
    assert peer.session.config.turn_detection == silent
    peer.update({"type": "realtime"})
    assert peer.session.config.turn_detection == ev.TurnDetection()


def test_a_session_that_was_opened_to_transcribe_is_told_so_and_makes_no_response() -> None:
    peer = Peer(transcribing(ev.SessionConfig(extras={"tracing": "auto"})))
    started = peer.told["session"]
    assert (started["type"], started["audio"]["input"]["transcription"]) == ("transcription", None)
    assert peer.session.config.turn_detection == replace(
        ev.TurnDetection(), create_response=False, interrupt_response=False
    )
    refused = peer.send("response.create", event_id="mine")
    assert (refused["type"], refused["error"]["code"], refused["error"]["event_id"]) == ("error", INVALID, "mine")
    manual = {"input": {"turn_detection": None, "transcription": {"model": "whisper-1"}}}
    assert peer.update({"type": "transcription", "audio": manual})["audio"]["input"]["turn_detection"] is None


def test_a_codec_takes_up_the_configuration_that_a_session_starts_with() -> None:
    peer = Peer(ev.SessionConfig(model="agent", input_format=ev.AudioFormat.PCMU, extras={"tracing": "auto"}))
    assert peer.told["session"]["model"] == "agent"
    assert peer.codec.input_format is ev.AudioFormat.PCMU
    assert peer.update({"type": "realtime", "truncation": "disabled"})["tracing"] == "auto"


VAD = "session.audio.input.turn_detection"


@pytest.mark.parametrize(
    ("session", "code", "param", "said"),
    [
        ({}, MISSING, "session.type", ""),
        ({"type": "translation"}, INVALID, "session.type", "'realtime', 'transcription'"),
        ({"type": "realtime", "model": 1}, INVALID, "session.model", "a string, not 1"),
        ({"type": "realtime", "audio": "pcm16"}, INVALID, "session.audio", "an object, not 'pcm16'"),
        ({"type": "realtime", "instructions": 1}, INVALID, "session.instructions", "a string"),
        (
            {"type": "realtime", "output_modalities": ["text", "audio"]},
            INVALID,
            "session.output_modalities",
            "['audio']",
        ),
        ({"type": "realtime", "max_output_tokens": 5000}, INVALID, "session.max_output_tokens", "4096, not 5000"),
        ({"type": "realtime", "tracing": "off"}, INVALID, "session.tracing", "not 'off'"),
        ({"type": "realtime", "tracing": {"group_id": 1}}, INVALID, "session.tracing.group_id", "a string"),
        ({"type": "realtime", "truncation": "none"}, INVALID, "session.truncation", "'disabled'"),
        ({"type": "realtime", "truncation": {"type": "x"}}, INVALID, "session.truncation.type", "'retention_ratio'"),
        (
            {"type": "realtime", "truncation": {"type": "retention_ratio"}},
            MISSING,
            "session.truncation.retention_ratio",
            "",
        ),
        ({"type": "realtime", "prompt": {"id": "pmpt_1"}}, INVALID, "session.prompt", "instructions"),
        ({"type": "realtime", "include": ["all"]}, INVALID, "session.include", "logprobs"),
        ({"type": "realtime", "reasoning": {"effort": "max"}}, INVALID, "session.reasoning.effort", "'xhigh'"),
        (audio_in(format="pcm16"), INVALID, "session.audio.input.format", "an object, not 'pcm16'"),
        (audio_in(format={"rate": 24000}), MISSING, "session.audio.input.format.type", ""),
        (audio_in(format={"type": "audio/opus"}), INVALID, "session.audio.input.format.type", "'audio/pcma'"),
        (audio_in(format={"type": "audio/pcm", "rate": 16000}), INVALID, "session.audio.input.format.rate", "24000"),
        (audio_in(format={"type": "audio/pcmu", "rate": 16000}), INVALID, "session.audio.input.format.rate", "8000"),
        (audio_in(transcription="whisper-1"), INVALID, "session.audio.input.transcription", "an object"),
        (audio_in(transcription={"model": 1}), INVALID, "session.audio.input.transcription.model", "a string"),
        (audio_in(noise_reduction={"type": "all"}), INVALID, "session.audio.input.noise_reduction.type", "'far_field'"),
        (audio_in(turn_detection=True), INVALID, VAD, "not true"),
        (audio_in(turn_detection={"threshold": 0.5}), MISSING, f"{VAD}.type", ""),
        (audio_in(turn_detection={"type": "silero"}), INVALID, f"{VAD}.type", "'semantic_vad'"),
        (audio_in(turn_detection={"type": "server_vad", "threshold": 1.1}), INVALID, f"{VAD}.threshold", "0 to 1"),
        (
            audio_in(turn_detection={"type": "server_vad", "silence_duration_ms": -1}),
            INVALID,
            f"{VAD}.silence_duration_ms",
            "integer",
        ),
        (
            audio_in(turn_detection={"type": "server_vad", "prefix_padding_ms": "300"}),
            INVALID,
            f"{VAD}.prefix_padding_ms",
            "integer",
        ),
        (
            audio_in(turn_detection={"type": "server_vad", "idle_timeout_ms": 4999}),
            INVALID,
            f"{VAD}.idle_timeout_ms",
            "5000 to 30000",
        ),
        (
            audio_in(turn_detection={"type": "server_vad", "create_response": "yes"}),
            INVALID,
            f"{VAD}.create_response",
            "true or false",
        ),
        (audio_in(turn_detection={"type": "semantic_vad", "eagerness": 1}), INVALID, f"{VAD}.eagerness", "'low'"),
        (audio_out(format={"type": "audio/pcm", "rate": 48000}), INVALID, "session.audio.output.format.rate", "24000"),
        (audio_out(voice=["marin"]), INVALID, "session.audio.output.voice", "a string"),
        (audio_out(voice={}), MISSING, "session.audio.output.voice.id", ""),
        (audio_out(speed=1.6), INVALID, "session.audio.output.speed", "0.25 to 1.5"),
        (audio_out(speed=True), INVALID, "session.audio.output.speed", "not true"),
        ({"type": "realtime", "tools": {}}, INVALID, "session.tools", "an array"),
        ({"type": "realtime", "tools": ["f"]}, INVALID, "session.tools[0]", "an object"),
        ({"type": "realtime", "tools": [{"name": "f"}]}, MISSING, "session.tools[0].type", ""),
        (
            {"type": "realtime", "tools": [TOOL, {"type": "function", "function": {"name": "g"}}]},
            MISSING,
            "session.tools[1].name",
            "",
        ),
        ({"type": "realtime", "tools": [TOOL | {"name": "a b"}]}, INVALID, "session.tools[0].name", "letters"),
        ({"type": "realtime", "tools": [TOOL | {"name": "f\n"}]}, INVALID, "session.tools[0].name", "letters"),
        ({"type": "realtime", "tools": [TOOL, TOOL]}, INVALID, "session.tools[1].name", "another tool"),
        (
            {"type": "realtime", "tools": [TOOL | {"parameters": "{}"}]},
            INVALID,
            "session.tools[0].parameters",
            "object",
        ),
        *(
            ({"type": "realtime", "tools": [{"type": "mcp", **server}]}, code, f"session.tools[0].{param}", said)
            for server, code, param, said in [
                ({"server_label": "x", "server_url": "u"}, INVALID, "server_url", "https://"),
                ({"server_url": "https://x.example"}, MISSING, "server_label", ""),
                ({"server_label": "x"}, MISSING, "server_url", ""),
                ({"server_label": "a b", "server_url": "https://x.example"}, INVALID, "server_label", "64 letters"),
                ({"server_label": "x", "connector_id": "connector_gmail"}, INVALID, "connector_id", "server_url"),
                ({**MCP, "headers": {"X-Key": "a\r\nb"}}, INVALID, "headers.X-Key", "header"),
                ({**MCP, "allowed_tools": [1]}, INVALID, "allowed_tools", "names"),
                ({**MCP, "allowed_tools": {"read_only": "yes"}}, INVALID, "allowed_tools.read_only", "true or false"),
                ({**MCP, "allowed_tools": {"tool_names": "f"}}, INVALID, "allowed_tools.tool_names", "array"),
                ({**MCP, "require_approval": "sometimes"}, INVALID, "require_approval", "'never'"),
                ({**MCP, "require_approval": {"never": 5}}, INVALID, "require_approval.never", "array"),
                ({**MCP, "require_approval": {"always": {"read_only": 1}}}, INVALID, APPROVED, "true or false"),
            ]
        ),
        (
            {"type": "realtime", "tools": [{"type": "mcp", **MCP}] * 2},
            INVALID,
            "session.tools[1].server_label",
            "already",
        ),
        ({"type": "realtime", "tool_choice": "any"}, INVALID, "session.tool_choice", "'required'"),
        ({"type": "realtime", "tool_choice": {"type": "function"}}, MISSING, "session.tool_choice.name", ""),
        (
            {"type": "realtime", "tool_choice": {"type": "mcp"}},
            MISSING,
            "session.tool_choice.server_label",
            "",
        ),
    ],
)
def test_one_wrong_field_drops_the_whole_update(session: Any, code: str, param: str, said: str) -> None:
    peer = Peer()
    before = peer.session.config
    error = peer.update({"max_output_tokens": 7, "parallel_tool_calls": False} | session, event_id="mine")
    assert (error["code"], error["param"], error["event_id"]) == (code, param, "mine")
    assert error["type"] == "invalid_request_error"
    assert said in error["message"]
    assert peer.session.config == before
    assert peer.update({"type": "realtime"}) == peer.told["session"]


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({}, ev.McpEndpoint("x", MCP["server_url"])),
        (
            {"authorization": "sesame", "headers": {"X-Key": "k"}, "allowed_tools": ["f"], "require_approval": "never"},
            ev.McpEndpoint("x", MCP["server_url"], "sesame", {"X-Key": "k"}, F, ev.NO_APPROVAL),
        ),
        (
            {"allowed_tools": {"tool_names": ["f"]}, "require_approval": {"always": {"tool_names": ["g"]}}},
            ev.McpEndpoint("x", MCP["server_url"], allowed=F, approval=ev.Approval(G)),
        ),
        (
            {"allowed_tools": {"read_only": True}, "require_approval": {"never": {"tool_names": ["g"]}}},
            ev.McpEndpoint("x", MCP["server_url"], allowed=READ_ONLY, approval=ev.Approval(never=G)),
        ),
        (
            {
                "allowed_tools": {"tool_names": ["g"], "read_only": False},
                "require_approval": {"always": {"tool_names": ["g"]}, "never": {"read_only": True}},
            },
            ev.McpEndpoint("x", MCP["server_url"], allowed=BOTH, approval=ev.Approval(G, READ_ONLY)),
        ),
        ({"require_approval": {}}, ev.McpEndpoint("x", MCP["server_url"])),
        ({"require_approval": "always"}, ev.McpEndpoint("x", MCP["server_url"])),
    ],
)
def test_mcp_servers_are_read_beside_functions(given: dict[str, Any], read: ev.McpEndpoint) -> None:
    peer = Peer()
    function = {"type": "function", "name": "f", "parameters": {"type": "object"}}
    session = {"type": "realtime", "tools": [{"type": "mcp", **MCP, **given}, function]}
    fact = peer.codec.decode(json.dumps({"type": "session.update", "session": session}), 0)
    assert isinstance(fact, ev.UpdateSession)
    assert fact.changes["mcp"] == (read,)
    assert [tool.name for tool in fact.changes["tools"]] == ["f"]
    updated = next(event for event in peer.session.handle(fact) if isinstance(event, ev.SessionUpdated))
    (frame,) = peer.codec.encode(updated)
    told = json.loads(frame)["session"]["tools"][1]
    assert told["server_label"] == "x"
    # What the client is told is what it may say again.
    session["tools"] = [told]
    again = peer.codec.decode(json.dumps({"type": "session.update", "session": session}), 0)
    assert isinstance(again, ev.UpdateSession)
    (endpoint,) = again.changes["mcp"]
    assert (endpoint.allowed, endpoint.approval) == (read.allowed, read.approval)
    assert b"sesame" not in frame


def test_a_tool_of_an_mcp_server_can_be_demanded() -> None:
    peer = Peer()
    peer.update({"type": "realtime", "tool_choice": {"type": "mcp", "server_label": "x", "name": "f"}})
    assert peer.session.config.tool_choice == "f"
    peer.update({"type": "realtime", "tool_choice": {"type": "mcp", "server_label": "x"}})
    assert peer.session.config.tool_choice == "required"
