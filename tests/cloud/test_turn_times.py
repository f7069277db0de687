"""How long a hosted answer took, as far as the provider's events tell it."""

from __future__ import annotations

import pytest

from server.core import events as e
from tests.cloud.stand_in import SECOND, Call, Connection, Provider, calling

FINISHED = {"id": "resp_1", "status": "completed", "conversation_id": "conv_there"}
TRANSCRIBED = "conversation.item.input_audio_transcription.completed"


class HandClock:
    """Seconds, moved by the test alone."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def turn_ends(call: Call, there: Connection) -> None:
    """A second of sound came in; the words in it ended at 400 ms."""
    await call.runner.append(SECOND)
    await there.say("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=0)
    await there.say("input_audio_buffer.speech_stopped", item_id="item_u", audio_end_ms=900)
    await there.say("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
    await call.door.until(e.AudioCommitted)


async def test_a_spoken_turns_stages_count_from_its_last_word(provider: Provider):
    clock = HandClock()
    async with calling(provider, clock=clock) as call:
        there = await provider.connection()
        await turn_ends(call, there)
        clock.now += 0.2
        await there.say(TRANSCRIBED, item_id="item_u", transcript="Hello.")
        await call.door.until(e.TranscriptionCompleted)
        clock.now += 0.1
        await there.respond("Hello yourself.", done=False)
        await call.door.until(e.OutputAudioDelta)
        clock.now += 5.0
        await there.say("response.done", response=FINISHED)
        await call.door.until(e.ResponseDone)
        stages = {"stt_final": 0.8, "response_created": 0.9, "llm_first_token": 0.9, "tts_first_audio": 0.9}
        assert call.door.stages == pytest.approx(stages)
        timings = call.runner.timings("resp_1")
        assert timings is not None
        assert timings.as_dict() == {
            **{s: 1000 * t for s, t in stages.items()},
            "first_segment": None,
            "prepared": False,
        }
        assert call.runner.timings("resp_1") is None


async def test_a_typed_turns_stages_count_from_when_the_answer_was_asked_for(provider: Provider):
    clock = HandClock()
    async with calling(provider, clock=clock) as call:
        there = await provider.connection()
        await call.runner.receive(e.CreateResponse("event_1"))
        clock.now += 0.25
        await there.respond("Hello.")
        await call.door.until(e.ResponseDone)
        assert call.door.stages == pytest.approx(dict.fromkeys(call.door.stages, 0.25))
        assert set(call.door.stages) == {"response_created", "llm_first_token", "tts_first_audio"}


async def test_a_turn_whose_end_is_not_told_and_words_of_the_door_have_no_times(provider: Provider):
    config = e.SessionConfig(turn_detection=e.TurnDetection(kind="semantic_vad"))
    async with calling(provider, config, clock=HandClock()) as call:
        there = await provider.connection()
        await turn_ends(call, there)
        await there.respond("Hello.")
        await call.door.until(e.ResponseDone)
        await call.runner.receive(e.Say("One moment."))
        await there.until("response.create")
        await there.respond("One moment.", 2)
        await call.door.until_number(e.ResponseDone, 2)
        assert call.door.stages == {}


async def test_a_noise_is_not_what_the_next_answer_is_timed_from(provider: Provider):
    clock = HandClock()
    async with calling(provider, clock=clock) as call:
        there = await provider.connection()
        await turn_ends(call, there)
        await there.say(TRANSCRIBED, item_id="item_u", transcript=" ")
        await call.door.until(e.TranscriptionCompleted)
        clock.now += 60.0
        await call.runner.receive(e.CreateResponse("event_1"))
        await there.until("response.create")
        await there.respond("Hello.")
        await call.door.until(e.ResponseDone)
        assert set(call.door.stages.values()) == {0.0}
