"""What clients and phones ask of a session that a provider serves: refusals, words of the door, keys."""

from __future__ import annotations

import pytest

from server.core import events as e
from tests.cloud.stand_in import SECOND, Provider, calling, refuse, typed


async def test_a_refused_change_is_told_and_what_was_in_force_stays(provider: Provider):
    async with calling(provider) as call:
        there = await provider.connection()
        await there.until("session.update")
        provider.answers = False
        await call.runner.receive(e.UpdateSession("event_1", {"voice": "marin", "speed": 1.2}))
        await call.runner.receive(e.UpdateSession(None, {"instructions": "Be loud."}))
        refused = await there.until("session.update", 2)
        assert refused["session"]["audio"]["output"]["voice"] == "marin"
        error = {"type": "invalid_request_error", "code": "cannot_update_voice", "message": "No."}
        await there.say("error", error={**error, "event_id": refused["event_id"]})
        await there.say("session.updated", session={})
        await call.door.until(e.SessionUpdated)
        [told] = call.door.of(e.Error)
        assert (told.code, told.event_id) == ("cannot_update_voice", "event_1")
        assert (call.runner.config.voice, call.runner.config.speed) == ("", 1.0)
        assert call.runner.config.instructions == "Be loud."


async def test_a_refused_command_is_told_to_the_client_that_sent_it(provider: Provider):
    async with calling(provider) as call:
        there = await provider.connection()
        await call.runner.receive(e.CancelResponse(None))
        asked = await there.until("response.cancel")
        error = {
            "type": "invalid_request_error",
            "code": "response_cancel_not_active",
            "message": "Cancellation failed",
        }
        await there.say("error", error={**error, "event_id": asked["event_id"]})
        await call.door.until(e.Error)
        [told] = call.door.of(e.Error)
        assert (told.code, told.message, told.event_id) == ("response_cancel_not_active", "Cancellation failed", None)


async def test_an_error_that_does_not_say_what_it_is_about_holds_nothing_up(provider: Provider):
    async with calling(provider) as call:
        there = await provider.connection()
        await call.runner.receive(e.CreateResponse("event_1", e.ResponseOverrides(voice="marin")))
        await there.until("response.create")
        error = {"type": "invalid_request_error", "code": "invalid_value", "message": "No.", "event_id": None}
        await there.say("error", error={**error, "param": "response.audio.output.voice"})
        await call.door.until(e.Error)
        assert [told.event_id for told in call.door.of(e.Error)] == ["event_1"]
        await call.runner.receive(e.Say("One more minute."))
        await there.until("response.create", 2)


async def test_an_answer_that_the_provider_cannot_give_is_apologised_for_once(provider: Provider):
    config = e.SessionConfig(language="en", apologies={"en": "Sorry, once more please."})
    async with calling(provider, config) as call:
        there = await provider.connection()
        for number in (1, 2):
            failed = {"id": f"resp_{number}", "status": "failed", "conversation_id": "conv_there"}
            await there.say("response.created", response={**failed, "status": "in_progress"})
            await there.say("response.done", response=failed)
            await there.until("response.create")
        await call.door.until_number(e.ResponseDone, 2)
        await call.runner.receive(typed("Hello?"))
        await there.until("conversation.item.create")
        assert len(there.of("response.create")) == 1


async def test_what_nobody_knows_is_passed_over(provider: Provider):
    async with calling(provider) as call:
        there = await provider.connection()
        await there.say("response.telepathy.delta", delta=7)
        await there.say("response.created", response="what")
        await there.say("conversation.item.added", item={"type": "hologram", "id": "item_h"})
        await there.respond("Yes.")
        await call.door.until(e.ResponseDone)
        assert not call.door.of(e.Error)


async def test_words_are_written_down_for_the_replay_but_shown_to_who_wants_them_only(provider: Provider):
    async with calling(provider, e.SessionConfig()) as call:
        there = await provider.connection()
        item = {"id": "item_u", "type": "message", "role": "user", "content": [{"type": "input_audio"}]}
        await there.say("conversation.item.added", item=item, previous_item_id=None)
        kind = "conversation.item.input_audio_transcription.completed"
        await there.say(kind, item_id="item_u", content_index=0, transcript="Hello there.", usage={})
        await there.close()
        again = await (await provider.connection(2)).until("conversation.item.create")
        assert again["item"]["content"] == [{"type": "input_text", "text": "Hello there."}]
        assert not call.door.of(e.TranscriptionCompleted)


async def test_words_of_the_door_are_recited_and_the_protected_ones_are_not_stopped(provider: Provider):
    async with calling(provider) as call:
        there = await provider.connection()
        await call.runner.receive(e.Say("Welcome to the salon.", protected=True))
        recital = (await there.until("response.create"))["response"]
        assert recital["instructions"].endswith("Welcome to the salon.")
        assert (recital["input"], recital["tools"]) == ([], [])
        guarded = await there.until("session.update", 2)
        assert guarded["session"]["audio"]["input"]["turn_detection"]["interrupt_response"] is False
        await there.respond("Welcome to the salon.")
        freed = await there.until("session.update", 3)
        assert freed["session"]["audio"]["input"]["turn_detection"]["interrupt_response"] is True
        await there.say("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=0)
        await call.door.until(e.SpeechStarted)
        assert not call.door.cleared
        assert not call.door.of(e.SessionUpdated)


@pytest.mark.parametrize("marks", [True, False], ids=["marks", "estimate"])
async def test_who_speaks_over_an_answer_hears_no_more_of_it_and_the_provider_learns_how_much(
    provider: Provider, marks: bool
):
    async with calling(provider, marks=marks) as call:
        there = await provider.connection()
        item_id = await there.respond("One two three four.")
        await call.door.until(e.ResponseDone)
        await call.runner.append(SECOND[: len(SECOND) // 2])
        if marks:
            await call.runner.receive(e.Played(item_id, 12_000))
        await there.say("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=400)
        truncate = await there.until("conversation.item.truncate")
        assert (truncate["item_id"], truncate["audio_end_ms"]) == (item_id, 500)
        assert call.door.cleared == [item_id]
        await call.door.until(e.ItemTruncated)
        await there.close()
        again = await (await provider.connection(2)).until("conversation.item.create")
        assert again["item"]["content"] == [{"type": "output_text", "text": "One two"}]


async def test_words_wait_for_the_answer_under_way_and_for_one_that_came_in_between(provider: Provider):
    async with calling(provider) as call:
        there = await provider.connection()
        await there.respond("A long", done=False)
        await call.door.until(e.OutputAudioDelta)
        await call.runner.receive(e.Say("One more minute."))
        assert not there.of("response.create")
        await there.say(
            "response.done", response={"id": "resp_1", "status": "completed", "conversation_id": "conv_there"}
        )
        await refuse(there)
        await there.respond("Meanwhile.", 2)
        again = await there.until("response.create", 2)
        assert again["response"]["instructions"].endswith("One more minute.")
        assert not call.door.of(e.Error)


async def test_what_must_be_heard_comes_behind_an_answer_that_a_key_stops(provider: Provider):
    async with calling(provider) as call:
        there = await provider.connection()
        await there.respond("A long", done=False)
        await call.door.until(e.OutputAudioDelta)
        await call.runner.receive(e.Say("Are you there?"))
        await call.runner.receive(e.Say("One more minute.", protected=True))
        await call.runner.receive(e.KeyPressed("1"))
        await there.until("response.cancel")
        await there.say(
            "response.done", response={"id": "resp_1", "status": "cancelled", "conversation_id": "conv_there"}
        )
        recital = (await there.until("response.create"))["response"]
        assert recital["instructions"].endswith("One more minute.")


async def test_keys_stop_the_answer_and_are_words_of_the_caller(provider: Provider):
    async with calling(provider) as call:
        there = await provider.connection()
        item_id = await there.respond("Press one", done=False)
        await call.door.until(e.OutputAudioDelta)
        await call.runner.receive(e.KeyPressed("1"))
        await there.until("response.cancel")
        assert call.door.cleared == [item_id]
        await there.say(
            "response.done", response={"id": "resp_1", "status": "cancelled", "conversation_id": "conv_there"}
        )
        await call.runner.receive(e.KeysTyped("1"))
        typed = await there.until("conversation.item.create")
        assert typed["item"]["content"] == [{"type": "input_text", "text": "Keypad: 1"}]
        await there.until("response.create")


async def test_an_answer_that_began_by_itself_and_knew_all_is_not_asked_for_again(provider: Provider):
    async with calling(provider) as call:
        there = await provider.connection()
        await call.runner.receive(e.KeysTyped("1"))
        await there.until("response.create")
        await there.respond("You have pressed one.", done=False)
        await refuse(there)
        await there.say(
            "response.done", response={"id": "resp_1", "status": "completed", "conversation_id": "conv_there"}
        )
        await call.door.until(e.ResponseDone)
        await call.runner.receive(e.Say("Goodbye."))
        second = await there.until("response.create", 2)
        assert second["response"]["instructions"].endswith("Goodbye.")


async def test_an_answer_that_began_before_the_keys_were_known_is_followed_by_another(provider: Provider):
    provider.answers = False
    async with calling(provider) as call:
        there = await provider.connection()
        await call.runner.receive(e.KeysTyped("1"))
        await there.until("response.create")
        await there.respond("What else?", done=False)
        item = {"status": "completed", **there.of("conversation.item.create")[0]["item"]}
        await there.say("conversation.item.added", item=item, previous_item_id=None)
        await refuse(there)
        await there.say(
            "response.done", response={"id": "resp_1", "status": "completed", "conversation_id": "conv_there"}
        )
        again = await there.until("response.create", 2)
        assert again["response"] == {}
