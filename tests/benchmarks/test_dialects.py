"""Each dialect turns its server's messages into the same facts."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from benchmarks.dialects import DIALECTS
from benchmarks.dialects.base import (
    AnswerBegan,
    AnswerEnded,
    Asked,
    DialectError,
    Flush,
    Heard,
    History,
    Ready,
    Setup,
    Sound,
    Target,
    Trouble,
    TurnEnded,
    Words,
)
from benchmarks.dialects.gemini import Gemini
from benchmarks.dialects.openai import OpenAi
from benchmarks.results import Tokens

TOOL = {"name": "hours", "description": "Hours.", "parameters": {"type": "object", "properties": {"day": {}}}}
SETUP = Setup("Be brief.", tools=[TOOL], hold_ms=300, voice="marin")
SOUND = base64.b64encode(np.arange(480, dtype="<i2").tobytes()).decode()


def kinds(facts: list[Any]) -> list[str]:
    return [type(fact).__name__ for fact in facts]


def opening(name: str, **changes: Any) -> dict[str, Any]:
    dialect = DIALECTS[name]()
    dialect.endpoint(Target("wss://x/y", "secret", "m"))
    [frame] = dialect.opening(SETUP)
    sent: dict[str, Any] = json.loads(frame)
    return sent


def test_keys_and_models_are_sent_as_each_service_wants_them() -> None:
    target = Target("wss://host/v1/realtime?x=1", "secret", "the model")
    endpoints = {name: make().endpoint(target) for name, make in DIALECTS.items()}
    assert endpoints["openai"].headers == {"Authorization": "Bearer secret"}
    assert endpoints["openai"].url == "wss://host/v1/realtime?model=the+model&x=1"
    assert endpoints["azure"].headers == {"api-key": "secret"}
    assert "api-version" not in endpoints["azure"].url
    assert endpoints["openai-beta"].headers["OpenAI-Beta"] == "realtime=v1"
    assert endpoints["gemini"].headers == {"x-goog-api-key": "secret"}
    assert endpoints["gemini"].url == target.url
    assert OpenAi().endpoint(Target("ws://host/v1/realtime")).headers == {}


def test_one_setup_says_the_same_in_each_dialect() -> None:
    openai = opening("openai")["session"]
    assert openai["audio"]["input"]["turn_detection"] == {"type": "server_vad", "silence_duration_ms": 300}
    assert openai["audio"]["output"]["voice"] == "marin"
    assert openai["tools"] == [{"type": "function", **TOOL}]
    beta = opening("openai-beta")["session"]
    assert "type" not in beta
    assert (beta["turn_detection"]["silence_duration_ms"], beta["voice"]) == (300, "marin")
    gemini = opening("gemini")["setup"]
    assert gemini["model"] == "models/m"
    assert gemini["realtimeInputConfig"]["automaticActivityDetection"] == {"silenceDurationMs": 300}
    assert gemini["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
    assert gemini["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"] == TOOL["parameters"]
    assert gemini["generationConfig"]["speechConfig"]["voiceConfig"]["prebuiltVoiceConfig"]["voiceName"] == "marin"


def test_what_is_added_to_a_session_replaces_nothing_else() -> None:
    added = Setup(hold_ms=300, language="de", extra={"audio": {"input": {"noise_reduction": None}}, "max": 3})
    [frame] = OpenAi().opening(added)
    session = json.loads(frame)["session"]
    assert session["audio"]["input"]["noise_reduction"] is None
    assert session["audio"]["input"]["turn_detection"]["silence_duration_ms"] == 300
    assert session["audio"]["input"]["transcription"]["language"] == "de"
    assert session["max"] == 3
    [frame] = Gemini().opening(Setup(extra={"generationConfig": {"thinkingConfig": {"thinkingBudget": 0}}}))
    generation = json.loads(frame)["setup"]["generationConfig"]
    assert generation == {"responseModalities": ["AUDIO"], "thinkingConfig": {"thinkingBudget": 0}}


def hear(dialect: Any, *events: dict[str, Any]) -> list[Any]:
    return [fact for event in events for fact in dialect.hear(json.dumps(event))]


@pytest.mark.parametrize("prefix", ["response.output_audio", "response.audio"])
def test_an_answer_of_openai_with_the_names_of_ga_and_of_the_beta(prefix: str) -> None:
    usage = {"input_token_details": {"text_tokens": 5, "audio_tokens": 40, "cached_tokens": 3},
             "output_token_details": {"text_tokens": 7, "audio_tokens": 90}}  # fmt: skip
    call = {"type": "function_call", "call_id": "c", "name": "hours", "arguments": "{}"}
    done = {"id": "r", "status": "completed", "output": [call], "usage": usage}
    done["kammerton"] = {"timings_ms": {"stt_final": 100.5, "first_segment": None, "prepared": True}}
    facts = hear(
        OpenAi(),
        {"type": "input_audio_buffer.speech_started"},
        {"type": "input_audio_buffer.speech_stopped", "audio_end_ms": 900},
        {"type": "conversation.item.input_audio_transcription.completed", "transcript": "Hello."},
        {"type": "response.created", "response": {"id": "r"}},
        {"type": f"{prefix}_transcript.delta", "response_id": "r", "delta": "Hi."},
        {"type": f"{prefix}.delta", "response_id": "r", "item_id": "i", "delta": SOUND},
        {"type": "rate_limits.updated"},
        {"type": "response.done", "response": done},
    )
    assert facts[:5] == [Flush(), TurnEnded(900), Heard("Hello."), AnswerBegan("r"), Words("r", "Hi.")]
    assert isinstance(facts[5], Sound)
    assert len(facts[5].pcm) == 480
    tokens = Tokens(5, 40, 3, 0, 7, 90)
    assert facts[6:] == [Asked("c", "hours", {}), AnswerEnded("r", tokens=tokens, stages={"stt_final": 100.5})]


def test_what_openai_says_of_itself_its_errors_and_its_history() -> None:
    dialect = OpenAi()
    detection = {"type": "semantic_vad", "eagerness": "low"}
    session = {"model": "m", "audio": {"input": {"turn_detection": detection}, "output": {"voice": "marin"}}}
    [ready] = hear(dialect, {"type": "session.updated", "session": session})
    assert ready == Ready(None, "semantic_vad low", "m", {"voice": "marin", "turn_detection": detection})
    [trouble] = hear(dialect, {"type": "error", "error": {"code": "invalid_value", "message": "No."}})
    assert trouble == Trouble("invalid_value: No.")
    failed = {"id": "r", "status": "failed", "status_details": {"error": {"message": "It broke."}}}
    assert hear(dialect, {"type": "response.done", "response": failed}) == [AnswerEnded("r", error="It broke.")]
    with pytest.raises(DialectError, match="'strange'"):
        hear(dialect, {"type": "response.done", "response": {"id": "r", "status": "strange"}})


def test_the_item_that_was_playing_is_truncated_and_asked_for() -> None:
    dialect = OpenAi()
    for item in ("a", "b"):
        hear(dialect, {"type": "response.output_audio.delta", "response_id": "r", "item_id": item, "delta": SOUND})
    cut, ask = (json.loads(frame) for frame in dialect.played("r", 0.03))
    assert (cut["item_id"], cut["audio_end_ms"], ask["item_id"]) == ("b", 10, "b")
    item = {"id": "b", "content": [{"type": "output_audio", "transcript": "Hi there"}]}
    assert hear(dialect, {"type": "conversation.item.retrieved", "item": item}) == [History("r", "Hi there")]
    assert dialect.played("unknown", 1.0) == []


def test_gemini_in_binary_frames_has_answers_that_are_counted() -> None:
    dialect = Gemini()
    dialect.opening(SETUP)
    [ready] = dialect.hear(b'{"setupComplete":{}}')
    assert (ready.hold_ms, ready.vad) == (300.0, "automatic 300 ms")
    part = {"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": SOUND}}
    usage = {"promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 50}],
             "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": 30}], "thoughtsTokenCount": 4}  # fmt: skip
    facts = hear(
        dialect,
        {"voiceActivity": {"voiceActivityType": "ACTIVITY_START", "audioOffset": "0.2s"}},
        {"voiceActivity": {"voiceActivityType": "ACTIVITY_END", "audioOffset": "1.25s"}},
        {"serverContent": {"inputTranscription": {"text": "Hel"}}},
        {"serverContent": {"modelTurn": {"parts": [part]}, "outputTranscription": {"text": "Hi."}}},
        {"serverContent": {"generationComplete": True}},
        {"serverContent": {"turnComplete": True}, "usageMetadata": usage},
        {"toolCall": {"functionCalls": [{"id": "c", "name": "hours", "args": {"day": "friday"}}]}},
        {"serverContent": {"modelTurn": {"parts": [part]}}},
        {"serverContent": {"interrupted": True}},
        {"serverContent": {"turnComplete": True}},
    )
    assert kinds(facts) == [
        *("TurnEnded", "Heard", "AnswerBegan", "Sound", "Words", "AnswerEnded", "AnswerEnded"),
        *("AnswerBegan", "Asked", "AnswerEnded"),
        *("AnswerBegan", "Sound", "Flush", "AnswerEnded"),
    ]
    assert facts[6] == AnswerEnded("answer_1", tokens=Tokens(input_audio=50, output_text=4, output_audio=30))
    assert facts[0] == TurnEnded(1250)
    assert facts[8].arguments == {"day": "friday"}
    assert facts[-1] == AnswerEnded("answer_3", cancelled=True)


def test_gemini_is_sent_16_khz_and_results_that_are_objects() -> None:
    dialect = Gemini()
    [frame] = dialect.sound(np.zeros(320, np.int16))
    audio = json.loads(frame)["realtimeInput"]["audio"]
    assert audio["mimeType"] == "audio/pcm;rate=16000"
    assert len(base64.b64decode(audio["data"])) == 640
    [frame] = dialect.results([(Asked("c", "hours", {}), {"open": 9}), (Asked("d", "price", {}), 45)])
    responses = json.loads(frame)["toolResponse"]["functionResponses"]
    assert [each["response"] for each in responses] == [{"open": 9}, {"output": 45}]
