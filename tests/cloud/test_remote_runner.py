"""Connections of a session to a provider that does what a test wants: refused, lost, made again, replaced."""

from __future__ import annotations

import asyncio
import base64
from http import HTTPStatus

import pytest

from server.cloud.uplink import Patience
from server.core import events as e
from server.errors import EngineError
from tests.cloud.provider import KEY
from tests.cloud.stand_in import QUICK, SECOND, Call, Connection, Provider, calling, typed


async def ended(call: Call) -> EngineError:
    """Why the session ended by itself."""
    async with asyncio.timeout(60):
        with pytest.raises(EngineError) as error:
            await call.task
    assert KEY not in str(error.value)
    assert all(KEY not in event.message for event in call.door.of(e.Error))
    return error.value


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
