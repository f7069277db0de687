"""A spoken question gets a spoken answer: official SDK, real engines, real speech."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest

from models.audio import rms_dbfs
from scripts.phone_line.measure import speech_bounds
from tests.e2e.call import Turn
from tests.e2e.conftest import Server
from tests.models.speech import noise, silence, speak

TOOLS = [
    {"type": "function", **entry["function"]}
    for entry in json.loads(
        (Path(__file__).parents[2] / "models" / "bundled" / "llm" / "tiny" / "tools.json").read_text()
    )
]
WISHES = (
    "I would like to book a table for four people on Saturday at seven please.",
    "If there is one by the window then we would like to sit there.",
    "My mother comes with us and she does not hear very well.",
    "Please tell me also whether you have a place for our car.",
)
ULAW = {"input": {"format": {"type": "audio/pcmu"}}, "output": {"format": {"type": "audio/pcmu"}}}
ALAW = {"input": {"format": {"type": "audio/pcma"}}, "output": {"format": {"type": "audio/pcma"}}}


def words(text: str) -> set[str]:
    return {word.strip(".,!?").lower() for word in text.split()}


def assert_spoken(turn: Turn) -> None:
    """The audio is speech, as long as its text takes to say."""
    assert turn.done.status == "completed"
    assert turn.text
    assert turn.pcm.any()
    assert -40 < rms_dbfs(turn.pcm) < -10
    per_character = turn.seconds / len(turn.text)
    assert 0.03 < per_character < 0.2, f"{turn.seconds:.1f} s for {turn.text!r}"


@pytest.mark.parametrize(
    ("voice", "question", "expected"),
    [
        ("en-us", "Are you a real person?", {"real", "person"}),
        ("en-gb+f2", "Do you take insurance?", {"insurance"}),
        ("flite:slt", "Hello, how are you today?", {"hello"}),
        ("flite:rms", "Can I pay by card?", {"card"}),
    ],
)
async def test_a_spoken_question_is_understood_and_answered(
    server: Server, voice: str, question: str, expected: set[str]
):
    async with server.caller() as caller:
        turn = await caller.ask(speak(question, voice=voice))
        assert words(turn.heard) & expected, turn.heard
        assert_spoken(turn)
        assert not caller.of("error")


@pytest.mark.parametrize("audio", [ULAW, ALAW], ids=["ulaw", "alaw"])
async def test_a_telephone_is_understood_and_answered(server: Server, audio: dict[str, object]):
    async with server.caller(audio=audio) as caller:
        turn = await caller.ask(speak("Are you a real person?", rate=8_000), 8_000)
        assert words(turn.heard) & {"real", "person"}, turn.heard
        assert_spoken(turn)


async def test_a_german_caller_is_answered_in_german(server: Server):
    async with server.caller() as caller:
        turn = await caller.ask(speak("Sind Sie ein echter Mensch?", voice="de"))
        assert_spoken(turn)
        assert words(turn.text) & {"ich", "ein", "eine", "der", "die", "das", "nicht", "ihnen", "kann"}, turn.text


async def test_a_call_changes_over_to_the_language_that_is_spoken_and_says_so(server: Server):
    async with server.caller() as caller:
        english = await caller.ask(speak("Are you a real person?"))
        assert english.done.kammerton["language"] == "en"
        assert "switched_from" not in english.done.kammerton
        german = await caller.ask(speak("Was kostet ein Haarschnitt?", voice="de"))
        assert (german.done.kammerton["language"], german.done.kammerton["switched_from"]) == ("de", "en")
        assert caller.of("response.created")[-1].response.kammerton["language"] == "de"
        assert_spoken(german)
        assert words(german.text) & {"ich", "ein", "eine", "der", "die", "das", "nicht", "ihnen", "kann", "euro"}
        again = await caller.ask(speak("Kann ich mit Karte zahlen?", voice="de"))
        assert again.done.kammerton["language"] == "de"
        assert "switched_from" not in again.done.kammerton
        metrics = server.get("/metrics")[1]
        assert 'kammerton_language_switches_total{language="de"} ' in metrics


async def test_a_question_for_a_tool_calls_it_and_the_result_is_spoken(server: Server):
    async with server.caller(tools=TOOLS[:3]) as caller:
        turn = await caller.ask(speak("What time do you open on Friday?"))
        ((call_id, name, arguments),) = turn.calls
        assert (name, json.loads(arguments)) == ("get_opening_hours", {"day": "friday"})
        assert "tool_call" not in turn.text
        since = len(caller.events)
        output = {"type": "function_call_output", "call_id": call_id, "output": '{"open": "09:00", "close": "17:00"}'}
        await caller.connection.conversation.item.create(item=output)  # type: ignore[arg-type]
        await caller.connection.response.create()
        await caller.until("response.done", since)
        answer = Turn(caller, since)
        assert_spoken(answer)
        assert "nine" in words(answer.text), answer.text


async def test_the_callers_words_are_shown_while_they_are_spoken(server: Server):
    async with server.caller() as caller:
        # However slow the machine is: the caller goes on until words of the turn are shown.
        since = len(caller.events)
        for sentence in WISHES * 3:
            spoken = speak(sentence, speed=130)
            first, last = speech_bounds(spoken)
            caller.say(spoken[first:last])
        await caller.until("conversation.item.input_audio_transcription.delta", since)
        assert not caller.of("input_audio_buffer.speech_stopped", since)
        caller.fall_silent()
        await caller.until("conversation.item.input_audio_transcription.completed", since)
        (completed,) = caller.of("conversation.item.input_audio_transcription.completed", since)
        deltas = caller.of("conversation.item.input_audio_transcription.delta", since)
        assert "".join(event.delta for event in deltas) == completed.transcript


async def test_speaking_over_the_answer_stops_it_and_only_what_was_heard_stays(server: Server):
    async with server.caller(instructions="You are a friendly phone assistant.") as caller:
        since = caller.say(speak("Tell me a story."))
        first = await caller.until("response.output_audio.delta", since)
        await caller.until("conversation.item.done", caller.events.index(first))
        over = caller.say(speak("Stop please, one moment."))
        started = await caller.until("input_audio_buffer.speech_started", over)
        await caller.connection.conversation.item.truncate(item_id=first.item_id, content_index=0, audio_end_ms=400)
        await caller.until("conversation.item.truncated", over)
        await caller.connection.conversation.item.retrieve(item_id=first.item_id)
        kept = (await caller.until("conversation.item.retrieved", over)).item.content[0]
        said = "".join(
            event.delta
            for event in caller.of("response.output_audio_transcript.delta", since)
            if event.item_id == first.item_id
        )
        assert said.startswith(kept.transcript)
        assert 0 < len(kept.transcript) < len(said)
        assert len(kept.audio) * 3 // 4 <= 400 * 48
        later = caller.of("response.output_audio.delta", caller.events.index(started))
        assert not [event for event in later if event.item_id == first.item_id]


async def test_an_okay_over_the_answer_does_not_stop_it_and_words_do(server: Server):
    async with server.caller(audio={"output": {"speed": 0.25}}) as caller:
        answer = await caller.ask(speak("Are you a real person?"))
        assert answer.seconds > 5
        # A machine that is busy with other tests gets time to listen: what counts is counted in samples.
        caller.pace = 0.3
        okay, stop = speak("Okay.", voice="en-gb"), speak("Stop please, one moment.")
        over = caller.say(np.concatenate((okay, silence(0.9), stop)))
        heard = await caller.until("conversation.item.input_audio_transcription.completed", over)
        assert len(caller.of("input_audio_buffer.speech_started", over)) == 1
        assert "stop" in words(heard.transcript)
        assert "okay" not in words(heard.transcript)


async def test_turns_by_hand(server: Server):
    async with server.caller(audio={"input": {"turn_detection": None}}) as caller:
        pcm = speak("Are you a real person?", rate=24_000)
        caller.say(pcm, 24_000)
        for _ in range(3):
            await caller.append(silence(0.2, 24_000))
        await caller.append(pcm)
        await caller.connection.input_audio_buffer.commit()
        await caller.until("conversation.item.input_audio_transcription.completed")
        assert not caller.of("response.created")
        since = len(caller.events)
        await caller.connection.response.create()
        await caller.until("response.done", since)
        assert_spoken(Turn(caller, since))


async def test_a_typed_question_is_answered_in_text(server: Server):
    async with server.caller(output_modalities=["text"], tools=TOOLS) as caller:
        message = {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "How much is a haircut?"}],
        }
        await caller.connection.conversation.item.create(item=message)  # type: ignore[arg-type]
        await caller.connection.response.create()
        done = await caller.until("response.done")
        words_before, call = done.response.output
        assert words_before.content[0].text
        assert (call.name, json.loads(call.arguments)) == ("get_price", {"service": "haircut"})
        assert not caller.of("response.output_audio.delta")


@pytest.mark.parametrize(
    "sound",
    [
        noise(4, dbfs=-50),
        noise(4, dbfs=-20),
        noise(4, dbfs=-25, color="pink"),
        np.tile(np.concatenate([np.full(8, 28_000, np.int16), np.zeros(6_000, np.int16)]), 10),
        (np.sin(np.arange(64_000) * 0.17) * 9_000).astype(np.int16),
    ],
    ids=["hush", "hiss", "rumble", "clicks", "tone"],
)
async def test_noise_is_no_words(server: Server, sound: np.ndarray):
    async with server.caller() as caller:
        caller.pace = 3.0
        caller.say(sound)
        caller.say(silence(1.0))
        turn = await caller.ask(speak("Are you a real person?"))
        transcripts = caller.of("conversation.item.input_audio_transcription.completed")
        assert [event.transcript for event in transcripts[:-1]] == [""] * (len(transcripts) - 1)
        assert words(turn.heard) & {"real", "person"}, turn.heard
        assert len(caller.of("response.created")) == 1


async def test_faint_and_clipped_speech_is_understood(server: Server):
    pcm = speak("Are you a real person?")
    faint = (pcm * (10 ** (-40 / 20) * 32768 / np.sqrt(np.mean(np.square(pcm, dtype=np.float64))))).astype(np.int16)
    clipped = np.clip(pcm.astype(np.int32) * 12, -32768, 32767).astype(np.int16)
    for sound in (faint, clipped):
        async with server.caller() as caller:
            turn = await caller.ask(sound)
            assert words(turn.heard) & {"real", "person"}, turn.heard


async def test_a_finished_question_is_answered_sooner_than_an_unfinished_one(server: Server):
    audio = {"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "medium"}}}
    async with server.caller(audio=audio) as caller:
        turn = await caller.ask(speak("Are you a real person?"))
        assert_spoken(turn)
        stopped = caller.of("input_audio_buffer.speech_stopped")[0]
        started = caller.of("input_audio_buffer.speech_started")[0]
        spoken_ms = len(speak("Are you a real person?")) / 16
        assert stopped.audio_end_ms - started.audio_start_ms < 300 + spoken_ms + 700


async def test_a_message_of_audio_is_heard_and_answered(server: Server):
    async with server.caller() as caller:
        pcm = speak("Are you a real person?", rate=24_000)
        content = {"type": "input_audio", "audio": base64.b64encode(pcm.tobytes()).decode()}
        message = {"type": "message", "role": "user", "content": [content]}
        await caller.connection.conversation.item.create(item=message)  # type: ignore[arg-type]
        await caller.connection.response.create()
        await caller.until("response.done")
        turn = Turn(caller, 0)
        assert_spoken(turn)
        assert words(turn.heard) & {"real", "person"}, turn.heard


async def test_a_caller_who_says_nothing_is_spoken_to(server: Server):
    audio = {"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 5000}}}
    async with server.caller(audio=audio) as caller:
        await caller.ask(speak("Hello, how are you today?"))
        since = len(caller.events)
        await caller.until("input_audio_buffer.timeout_triggered", since)
        await caller.until("response.done", since)
        kinds = [event.type for event in caller.events[since:]]
        assert kinds[:4] == [
            "input_audio_buffer.timeout_triggered",
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
        ]
