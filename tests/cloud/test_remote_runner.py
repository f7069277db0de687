"""A session at a provider that does what a test wants, frame by frame: lost connections, refusals, the phone, tools."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from http import HTTPStatus
from typing import Any

import pytest

from models.base import ToolSpec
from server.cloud.uplink import Patience
from server.core import events as e
from server.core.tools import ToolPolicy
from server.errors import EngineError
from server.runtime.tools import Partial, Result, Toolbox, ToolCall, ToolContext, offered
from tests.cloud.provider import KEY
from tests.cloud.stand_in import QUICK, Call, Connection, Provider, calling, providing

SECOND = b"\0\0" * 24_000


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with providing() as running:
        yield running


def typed(text: str, event_id: str | None = None) -> e.CreateItem:
    content = (e.ContentPart("input_text", text),)
    return e.CreateItem(event_id, e.Item("", e.ItemKind.MESSAGE, role="user", content=content), None)


async def ended(call: Call) -> EngineError:
    """Why the session ended by itself."""
    async with asyncio.timeout(60):
        with pytest.raises(EngineError) as error:
            await call.task
    assert KEY not in str(error.value)
    assert all(KEY not in event.message for event in call.door.of(e.Error))
    return error.value


# ------------------------------------------------------------------------------------- connections


@pytest.mark.parametrize("status", [HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND])
async def test_a_key_that_is_refused_at_the_handshake_ends_the_session_at_once(provider: Provider, status: HTTPStatus):
    provider.refuses = status
    async with calling(provider) as call:
        assert not (await ended(call)).retryable
    assert provider.attempts == 1
    [told] = call.door.of(e.Error)
    assert told.type == "server_error"


async def test_a_key_that_is_refused_on_the_open_socket_ends_the_session_at_once(provider: Provider):
    async def refuse(connection: Connection) -> None:
        error = {"type": "invalid_request_error", "code": "invalid_api_key", "message": f"Incorrect API key: {KEY}"}
        await connection.say("error", error=error)
        await connection.close(3000, "invalid_request_error.invalid_api_key")

    provider.greeting = refuse
    async with calling(provider) as call:
        assert not (await ended(call)).retryable
    assert provider.attempts == 1
    assert [error.code for error in call.door.of(e.Error)] == ["invalid_api_key"]


@pytest.mark.parametrize("status", [HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS])
async def test_a_provider_that_is_down_is_asked_again_and_then_given_up(provider: Provider, status: HTTPStatus):
    provider.refuses = status
    async with calling(provider) as call:
        assert (await ended(call)).retryable
    assert provider.attempts == len(QUICK.delays_s)


async def test_a_provider_that_hangs_up_at_once_every_time_is_given_up(provider: Provider):
    provider.greeting = lambda connection: connection.close(1011, "server_error.overloaded")
    async with calling(provider) as call:
        assert (await ended(call)).retryable
    assert provider.attempts == len(QUICK.delays_s)


async def test_a_provider_that_hangs_up_at_every_question_is_given_up(provider: Provider):
    async with calling(provider) as call:
        await call.runner.receive(e.CreateResponse("event_1"))
        for number in range(1, len(QUICK.delays_s) + 1):
            there = await provider.connection(number)
            await there.until("response.create")
            await there.close()
        assert (await ended(call)).retryable


async def test_a_provider_that_owes_an_answer_and_says_nothing_is_hung_up_on(provider: Provider):
    async with calling(provider, patience=Patience((0.0, 0.0), silent_s=0.1)) as call:
        await call.runner.receive(e.CreateResponse("event_1"))
        second = await provider.connection(2)
        await second.until("response.create")
        await second.respond("Yes.")
        done = await call.door.until_number(e.ResponseDone, 1)
        assert done.response.status is e.ResponseStatus.COMPLETED


async def test_the_next_connection_is_told_the_conversation_and_asked_what_was_not_answered(provider: Provider):
    async with calling(provider) as call:
        first = await provider.connection()
        await call.runner.receive(typed("What is new?"))
        await call.runner.receive(e.CreateResponse("event_1"))
        await first.until("response.create")
        await first.respond("Nothing.")
        await call.door.until(e.ResponseDone)
        await call.runner.receive(typed("And now?"))
        await call.door.until_number(e.ItemDone, 3)
        await call.runner.receive(e.CreateResponse("event_2"))
        await first.until("response.create", 2)
        await first.close()
        second = await provider.connection(2)
        await second.until("response.create")
        assert second.received[0]["session"]["instructions"] == "Be brief."
        items = [event["item"] for event in second.of("conversation.item.create")]
        assert [(item["role"], item["content"][0]) for item in items] == [
            ("user", {"type": "input_text", "text": "What is new?"}),
            ("assistant", {"type": "output_text", "text": "Nothing."}),
            ("user", {"type": "input_text", "text": "And now?"}),
        ]
        await second.respond("Still nothing.", 2)
        done = await call.door.until_number(e.ResponseDone, 2)
        assert done.response.status is e.ResponseStatus.COMPLETED
        # The client saw none of it.
        assert len(call.door.of(e.ItemAdded)) == 4
        assert not call.door.of(e.SessionUpdated)
        assert not call.door.of(e.Error)


async def test_an_answer_under_way_ends_in_protocol_order_and_is_apologised_for(provider: Provider):
    config = e.SessionConfig(language="en", apologies={"en": "Sorry, once more please."})
    async with calling(provider, config) as call:
        first = await provider.connection()
        await first.respond("It was a dark", done=False)
        await call.door.until(e.OutputAudioDelta)
        await first.close()
        done = await call.door.until_number(e.ResponseDone, 1)
        assert (done.response.status, done.response.error_code) == (e.ResponseStatus.FAILED, "connection_lost")
        assert done.response.output[0].status is e.ItemStatus.INCOMPLETE
        assert [type(event).__name__ for event in call.door.events[-6:]] == [
            *("OutputAudioDone", "OutputTranscriptDone", "ContentPartDone", "ItemDone", "OutputItemDone"),
            "ResponseDone",
        ]
        apology = await (await provider.connection(2)).until("response.create")
        assert "Sorry, once more please." in apology["response"]["instructions"]


async def test_what_was_just_being_said_is_sent_again(provider: Provider):
    async with calling(provider) as call:
        first = await provider.connection()
        await first.until("session.update")
        for _ in range(5):
            await call.runner.append(SECOND)
        await first.until("input_audio_buffer.append", 5)
        await first.say("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=4500)
        await call.door.until(e.SpeechStarted)
        await call.runner.append(SECOND)
        await first.close()
        second = await provider.connection(2)
        # One second from before it was known to be speech, and all since.
        await second.until("input_audio_buffer.append", 2)
        await second.say("input_audio_buffer.speech_started", item_id="item_v", audio_start_ms=500)
        again = await call.door.until_number(e.SpeechStarted, 2)
        assert again.audio_start_ms == 4500


def sound(connection: Connection) -> bytes:
    """All that this connection was sent of the caller."""
    sent = connection.of("input_audio_buffer.append")
    return b"".join(base64.b64decode(event["audio"]) for event in sent)


async def test_what_is_said_while_there_is_no_connection_is_sent_when_there_is_one(provider: Provider):
    provider.lets_in.clear()
    async with calling(provider) as call:
        for level in range(1, 5):
            await call.runner.append(bytes([level, 0]) * 24_000)
        provider.lets_in.set()
        first = await provider.connection()
        await first.until("input_audio_buffer.append", 4)
        await first.say("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=500)
        await call.door.until(e.SpeechStarted)
        provider.lets_in.clear()
        await first.close()
        await provider.asked(2)
        for level in range(5, 8):
            await call.runner.append(bytes([level, 0]) * 24_000)
        provider.lets_in.set()
        second = await provider.connection(2)
        await second.until("input_audio_buffer.append", 7)
        assert sound(second) == b"".join(bytes([level, 0]) * 24_000 for level in range(1, 8))


async def test_sound_that_came_in_the_smallest_pieces_is_sent_again_in_few(provider: Provider):
    piece = b"\1\0" * 24
    async with calling(provider) as call:
        first = await provider.connection()
        await first.say("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=0)
        await call.door.until(e.SpeechStarted)
        for _ in range(5_000):
            await call.runner.append(piece)
        await first.until("input_audio_buffer.append", 5_000)
        await first.close()
        second = await provider.connection(2)
        await second.until("input_audio_buffer.append", 5)
        assert sound(second) == piece * 5_000
        await second.respond("Yes.")
        await call.door.until(e.ResponseDone)
        assert len(provider.connections) == 2


async def test_a_turn_that_the_provider_has_is_not_sent_again(provider: Provider):
    async with calling(provider) as call:
        first = await provider.connection()
        await first.say("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=0)
        await call.door.until(e.SpeechStarted)
        await call.runner.append(b"\1\0" * 36_000 + b"\2\0" * 12_000)
        await first.say("input_audio_buffer.speech_stopped", item_id="item_u", audio_end_ms=1500)
        await first.say("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
        await call.door.until(e.AudioCommitted)
        await first.close()
        second = await provider.connection(2)
        await second.until("input_audio_buffer.append")
        assert sound(second) == b"\2\0" * 12_000


async def test_a_caller_who_speaks_while_the_next_connection_is_made_is_heard_by_the_one_in_use(provider: Provider):
    async with calling(provider, session_s=0.05) as call:
        first = await provider.connection()
        provider.lets_in.clear()
        await provider.asked(2)
        await first.say("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=0)
        await call.door.until(e.SpeechStarted)
        for _ in range(3):
            await call.runner.append(SECOND)
        provider.lets_in.set()
        await first.until("input_audio_buffer.append", 3)
        await first.say("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
        await first.respond("Yes.")
        assert (await call.door.until_number(e.ResponseDone, 1)).response.status is e.ResponseStatus.COMPLETED
        await (await provider.connection(2)).until("session.update")
        assert not call.door.of(e.Error)


async def test_a_provider_that_never_opens_the_session_is_given_up(provider: Provider):
    provider.answers = False
    async with calling(provider, patience=Patience((0.0, 0.0), silent_s=0.05)) as call:
        assert (await ended(call)).retryable
    assert provider.attempts == 2


async def test_a_provider_that_takes_a_turn_and_never_answers_it_is_hung_up_on(provider: Provider):
    async with calling(provider, patience=Patience((0.0, 0.0), silent_s=0.05)) as call:
        first = await provider.connection()
        await first.until("session.update")
        await first.say("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
        await call.door.until(e.AudioCommitted)
        await provider.connection(2)


async def test_a_turn_can_be_had_again_with_its_sound(provider: Provider):
    async with calling(provider) as call:
        there = await provider.connection()
        await there.until("session.update")
        for level in range(1, 4):
            await call.runner.append(bytes([level, 0]) * 24_000)
            if level == 1:
                await there.say("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=500)
                await call.door.until(e.SpeechStarted)
        await there.say("input_audio_buffer.speech_stopped", item_id="item_u", audio_end_ms=2250)
        await there.say("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
        item = {"id": "item_u", "type": "message", "role": "user", "content": [{"type": "input_audio"}]}
        await there.say("conversation.item.added", item=item, previous_item_id=None)
        await call.door.until(e.ItemAdded)
        await call.runner.receive(e.RetrieveItem("event_1", "item_u"))
        await call.door.until(e.ItemRetrieved)
        sound = call.runner.audio(call.door.of(e.ItemRetrieved)[0].item)
        assert sound == bytes([1, 0]) * 12_000 + bytes([2, 0]) * 24_000 + bytes([3, 0]) * 6_000


async def test_a_session_moves_on_when_nobody_speaks(provider: Provider):
    async with calling(provider, session_s=2.0) as call:
        first = await provider.connection()
        await first.say("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=0)
        await call.door.until(e.SpeechStarted)
        await call.runner.receive(e.UpdateSession("event_1", {"instructions": "Be loud."}))
        await call.door.until(e.SessionUpdated)
        await asyncio.sleep(2.1)  # past its limit
        assert len(provider.connections) == 1
        await first.say("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
        await first.respond("Yes.")
        second = await provider.connection(2)
        opened = await second.until("session.update")
        assert opened["session"]["instructions"] == "Be loud."
        await second.respond("Still here.", 2)
        done = await call.door.until_number(e.ResponseDone, 2)
        assert done.response.status is e.ResponseStatus.COMPLETED
        assert not call.door.of(e.Error)


async def test_a_session_whose_words_nobody_writes_down_moves_on_all_the_same(provider: Provider):
    async with calling(provider, session_s=1.0) as call:
        first = await provider.connection()
        for number in range(3):
            unheard = {"id": f"item_u{number}", "type": "message", "role": "user", "content": [{"type": "input_audio"}]}
            await first.say("conversation.item.added", item=unheard, previous_item_id=None)
        await call.door.until_number(e.ItemAdded, 3)
        await provider.connection(2)


async def test_a_spare_connection_is_made_ahead_and_taken(provider: Provider):
    async with calling(provider, spares=1):
        first, spare = await provider.connection(), await provider.connection(2)
        await first.until("session.update")
        assert not spare.received
        await first.close()
        await spare.until("session.update")


async def test_the_order_of_the_conversation_is_told_though_a_connection_knows_a_part_of_it_only(provider: Provider):
    async with calling(provider) as call:
        first = await provider.connection()
        unheard = {"id": "item_u", "type": "message", "role": "user", "content": [{"type": "input_audio"}]}
        await first.say("conversation.item.added", item=unheard, previous_item_id=None)
        await call.door.until(e.ItemAdded)
        await first.close()
        second = await provider.connection(2)
        await second.respond("Yes.")
        added = await call.door.until_number(e.ItemAdded, 2)
        assert added.previous_item_id == "item_u"
        assert [event.item_id for event in call.door.of(e.TranscriptionFailed)] == ["item_u"]
        note = e.Item("item_0", e.ItemKind.MESSAGE, role="system", content=(e.ContentPart("input_text", "Hm."),))
        await call.runner.receive(e.CreateItem(None, note, "root"))
        assert (await call.door.until_number(e.ItemAdded, 3)).previous_item_id is None
        await second.close()
        again = await (await provider.connection(3)).until("conversation.item.create", 2)
        assert again["item"]["id"] == "item_1"


# ------------------------------------------------------------------------------- what clients ask


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


# --------------------------------------------------------------------------------------- the phone


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


async def refuse(there: Connection, number: int = 1) -> None:
    """A ``response.create`` comes while a response is under way."""
    asked = await there.until("response.create", number)
    busy = {"code": "conversation_already_has_active_response", "message": "Busy.", "event_id": asked["event_id"]}
    await there.say("error", error=busy)


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


# ------------------------------------------------------------------------------------------- tools


class Clock:
    """A server tool. go: it waits for it. runs: what it was told of each call."""

    spec = ToolSpec("tell_time", "The time.", {"type": "object", "properties": {}})

    def __init__(self, *results: Partial | Result, on_interrupt: str = "cancel", **policy: Any) -> None:
        self.policy = ToolPolicy(on_interrupt=on_interrupt, **policy)
        self.go = asyncio.Event()
        self.runs: list[ToolContext] = []
        self._results = results

    async def run(self, call: ToolCall, context: ToolContext) -> AsyncIterator[Partial | Result]:
        self.runs.append(context)
        await self.go.wait()
        for result in self._results:
            yield result


def with_tool(tool: Clock) -> tuple[e.SessionConfig, Toolbox]:
    return e.SessionConfig(server_tools=(offered(tool),)), Toolbox({"tell_time": tool})


async def test_a_tool_of_the_server_runs_here_and_its_result_is_sent_before_the_answer_is_asked_for(provider: Provider):
    tool = Clock(Result({"time": "noon"}, changes={"instructions": "Be punctual."}))
    tool.go.set()
    config, toolbox = with_tool(tool)
    async with calling(provider, config, toolbox=toolbox) as call:
        there = await provider.connection()
        opened = await there.until("session.update")
        assert [entry["name"] for entry in opened["session"]["tools"]] == ["tell_time"]
        await there.call("tell_time", "{}")
        await there.until("response.create")
        kinds = [event["type"] for event in there.received if event["type"] != "input_audio_buffer.append"]
        assert kinds == ["session.update", "session.update", "conversation.item.create", "response.create"]
        assert there.received[1]["session"]["instructions"] == "Be punctual."
        item = there.of("conversation.item.create")[0]["item"]
        assert (item["type"], item["call_id"], item["output"]) == ("function_call_output", "call_1", '{"time":"noon"}')
        # Nobody asked for a change of the session: nobody is told of one.
        assert not call.door.of(e.SessionUpdated)


async def test_a_tool_knows_which_agent_has_called_it(provider: Provider):
    seen: list[str] = []

    class Asking(Clock):
        async def run(self, call: ToolCall, context: ToolContext) -> AsyncIterator[Partial | Result]:
            seen.append(context.agent)
            yield Result("noon")

    tool = Asking()
    config = e.SessionConfig(server_tools=(offered(tool),), agent="router")
    async with calling(provider, config, toolbox=Toolbox(agents={"router": {"tell_time": tool}})):
        there = await provider.connection()
        await there.call("tell_time", "{}")
        await there.until("response.create")
    assert seen == ["router"]


async def test_a_tool_that_has_the_words_has_them_recited(provider: Provider):
    tool = Clock(Partial("Let me look."), Result("noon", say="It is noon."))
    tool.go.set()
    config, toolbox = with_tool(tool)
    async with calling(provider, config, toolbox=toolbox):
        there = await provider.connection()
        await there.call("tell_time", "{}")
        first = await there.until("response.create")
        assert first["response"]["instructions"].endswith("Let me look.")
        await there.respond("Let me look.", 2)
        second = await there.until("response.create", 2)
        assert second["response"]["instructions"].endswith("It is noon.")


async def test_while_a_tool_runs_the_caller_hears_what_is_set_down_for_that(provider: Provider):
    words = {"filler": {"": "One moment."}, "second_filler": {"": "Still looking."}}
    tool = Clock(Result("noon"), slow_after_s=0.0, **words)
    config, toolbox = with_tool(tool)
    async with calling(provider, config, toolbox=toolbox) as call:
        there = await provider.connection()
        await there.call("tell_time", "{}")
        said = [(await there.until("response.create", 1))["response"]["instructions"]]
        await there.respond("One moment.", 2)
        said.append((await there.until("response.create", 2))["response"]["instructions"])
        await there.respond("Still looking.", 3)
        await call.door.until_number(e.ResponseDone, 3)
        tool.go.set()
        answer = await there.until("response.create", 3)
        assert sorted(text.partition(": ")[2] for text in said) == ["One moment.", "Still looking."]
        assert "instructions" not in answer["response"]


async def test_a_model_that_has_said_so_itself_is_given_no_other_words(provider: Provider):
    tool = Clock(Result("noon"), filler={"": "One moment."})
    config, toolbox = with_tool(tool)
    async with calling(provider, config, toolbox=toolbox) as call:
        there = await provider.connection()
        spoken = {"id": "item_9", "type": "message", "role": "assistant", "content": []}
        await there.call("tell_time", "{}", also=[spoken])
        await call.door.until(e.ResponseDone)
        tool.go.set()
        assert "instructions" not in (await there.until("response.create"))["response"]


async def test_a_call_that_is_told_twice_is_run_once_and_for_its_agent(provider: Provider):
    tool = Clock(Result("noon"), safe=True)
    config, toolbox = with_tool(tool)
    async with calling(provider, replace(config, agent="reception"), toolbox=toolbox) as call:
        there = await provider.connection()
        item = {"id": "item_1", "type": "function_call", "name": "tell_time", "call_id": "call_1", "arguments": "{}"}
        await there.say("response.created", response={"id": "resp_1", "status": "in_progress"})
        for _ in range(2):
            await there.say("response.output_item.done", response_id="resp_1", output_index=0, item=item)
        await call.door.until_number(e.OutputItemDone, 2)
        tool.go.set()
        await there.until("conversation.item.create")
        await call.runner.receive(typed("Thanks."))
        await there.until("conversation.item.create", 2)
        assert [context.agent for context in tool.runs] == ["reception"]


async def test_a_caller_can_reach_a_human_when_all_other_calls_are_used_up(provider: Provider):
    tool = Clock(Result("noon"), unlimited=True)
    tool.go.set()
    config, toolbox = with_tool(tool)
    async with calling(provider, replace(config, tool_limits=e.ToolLimits(0, 0)), toolbox=toolbox):
        there = await provider.connection()
        await there.call("tell_time", "{}")
        assert (await there.until("conversation.item.create"))["item"]["output"] == "noon"


async def test_a_call_that_is_run_is_in_the_replay_of_its_result(provider: Provider):
    tool = Clock(Result("noon"))
    config, toolbox = with_tool(tool)
    async with calling(provider, config, toolbox=toolbox) as call:
        first = await provider.connection()
        item = {"id": "item_1", "type": "function_call", "name": "tell_time", "call_id": "call_1", "arguments": "{}"}
        begun = {**item, "status": "in_progress"}
        await first.say("response.created", response={"id": "resp_1", "status": "in_progress"})
        await first.say("conversation.item.added", item=begun, previous_item_id=None)
        await first.say("response.output_item.added", response_id="resp_1", output_index=0, item=begun)
        await first.say("response.output_item.done", response_id="resp_1", output_index=0, item=item)
        await call.door.until(e.OutputItemDone)
        await first.close()
        second = await provider.connection(2)
        await second.until("conversation.item.create", 1)
        tool.go.set()
        await second.until("conversation.item.create", 2)
        assert [event["item"]["type"] for event in second.of("conversation.item.create")] == [
            "function_call",
            "function_call_output",
        ]


async def test_a_caller_who_goes_on_ends_a_call_that_is_of_no_use_then(provider: Provider):
    config, toolbox = with_tool(Clock(Result("noon")))
    async with calling(provider, config, toolbox=toolbox) as call:
        there = await provider.connection()
        await there.call("tell_time", "{}")
        await call.door.until(e.ResponseDone)
        await there.say("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=0)
        item = (await there.until("conversation.item.create"))["item"]
        assert "cancelled" in item["output"]
        await there.say("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
        await there.respond("As you like.", 2)
        await call.door.until_number(e.ResponseDone, 2)
        await call.runner.receive(typed("Thanks."))
        await there.until("conversation.item.create", 2)
        assert not there.of("response.create")


async def test_a_call_that_goes_on_meanwhile_is_reported_when_nobody_speaks(provider: Provider):
    tool = Clock(Result("noon"), on_interrupt="finish")
    config, toolbox = with_tool(tool)
    async with calling(provider, config, toolbox=toolbox) as call:
        there = await provider.connection()
        await there.call("tell_time", "{}")
        await call.door.until(e.ResponseDone)
        await there.say("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=0)
        await call.door.until(e.SpeechStarted)
        tool.go.set()
        await there.until("conversation.item.create")
        assert not there.of("response.create")
        await there.say("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
        await there.respond("As you like.", 2)
        await there.until("response.create")


async def test_a_result_that_the_callers_own_answer_knew_of_is_not_reported_again(provider: Provider):
    tool = Clock(Result("noon"), on_interrupt="finish")
    config, toolbox = with_tool(tool)
    async with calling(provider, config, toolbox=toolbox) as call:
        there = await provider.connection()
        await there.call("tell_time", "{}")
        await call.door.until(e.ResponseDone)
        await there.say("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=0)
        await call.door.until(e.SpeechStarted)
        tool.go.set()
        await call.door.until_number(e.ItemAdded, 2)
        await there.say("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
        await there.respond("It is noon.", 2, done=False)
        await refuse(there)
        await there.say(
            "response.done", response={"id": "resp_2", "status": "completed", "conversation_id": "conv_there"}
        )
        await call.door.until_number(e.ResponseDone, 2)
        await call.runner.receive(e.Say("Goodbye."))
        second = await there.until("response.create", 2)
        assert second["response"]["instructions"].endswith("Goodbye.")


async def test_a_name_of_a_server_tool_is_not_for_clients(provider: Provider):
    config, toolbox = with_tool(Clock(Result("noon")))
    async with calling(provider, config, toolbox=toolbox) as call:
        await call.runner.receive(e.UpdateSession("event_1", {"tools": (e.Tool("tell_time", "", {}),)}))
        await call.door.until(e.Error)
        endpoint = e.McpEndpoint("crm", "https://crm.example/mcp")
        await call.runner.receive(e.UpdateSession("event_2", {"mcp": (endpoint,)}))
        await call.door.until_number(e.Error, 2)
        own = e.ResponseOverrides(tools=(e.Tool("tell_time", "", {}),))
        await call.runner.receive(e.CreateResponse("event_3", own))
        await call.door.until_number(e.Error, 3)
        assert [error.event_id for error in call.door.of(e.Error)] == ["event_1", "event_2", "event_3"]
        there = await provider.connection()
        assert len(there.of("session.update")) <= 1
        assert not there.of("response.create")
