"""Sessions that a hosted provider serves: official SDK, this server, and behind it another one that plays OpenAI."""

from __future__ import annotations

import json

from scripts.phone_line.caller import quiet_after
from scripts.phone_line.twilio import TwilioAccount, twilio_call
from tests.cloud.provider import KEY, PUBLIC, TOKEN, CutLine, sent_to
from tests.e2e.call import Caller
from tests.e2e.phone import speak_over_the_answer
from tests.models.speech import speak
from tests.server_process import ROOT, Server, start, stop

TOOLS = [
    {"type": "function", **entry["function"]}
    for entry in json.loads((ROOT / "models" / "bundled" / "llm" / "tiny" / "tools.json").read_text())
]
G711 = {"input": {"format": {"type": "audio/pcmu"}}, "output": {"format": {"type": "audio/pcmu"}}}


def words(text: str) -> set[str]:
    return {word.strip(".,!?").lower() for word in text.split()}


async def test_a_spoken_question_is_answered_by_the_provider(front: Server, line: CutLine):
    async with front.caller() as caller:
        turn = await caller.ask(speak("Are you a real person?"))
        assert words(turn.heard) & {"real", "person"}, turn.heard
        assert turn.done.status == "completed"
        assert turn.pcm.any()
        assert turn.text
        assert not caller.of("error")
    for stage in ("stt_final", "llm_first_token", "tts_first_audio", "response_created"):
        name = f'kammerton_cloud_turn_latency_seconds_count{{provider="openai",stage="{stage}"}} '
        assert name in front.get("/metrics")[1]
    assert any(head.startswith(b"GET /v1/realtime?model=gpt-realtime HTTP/1.1") for head in line.heads)
    assert all(f"Authorization: Bearer {KEY}".encode() in head for head in line.heads)
    assert KEY not in "".join(front.log)


async def test_a_client_runs_its_tool_and_the_provider_tells_the_result(front: Server):
    async with front.caller(tools=TOOLS) as caller:
        turn = await caller.ask(speak("What time do you open on Friday?"))
        [(call_id, name, _)] = turn.calls
        assert name == "get_opening_hours"
        since = len(caller.events)
        output = {"type": "function_call_output", "call_id": call_id, "output": '{"open": "11:00", "close": "17:00"}'}
        await caller.connection.conversation.item.create(item=output)  # type: ignore[arg-type]
        await caller.connection.response.create()
        done = await caller.until("response.done", since)
        assert done.response.status == "completed"
        assert "eleven" in done.response.output[0].content[0].transcript.lower()


async def test_an_agent_greets_and_its_tool_runs_here(front: Server):
    async with Caller(front.base_url, {}, model="reception") as caller:
        await caller.until("response.done")
        assert caller.of("response.output_audio.delta")
        since = caller.say(speak("What time do you open on Friday?"))
        await caller.until("conversation.item.input_audio_transcription.completed", since)
        done = await caller.until("response.done", since)
        [call] = [item for item in done.response.output if item.type == "function_call"]
        done = await caller.until("response.done", caller.events.index(done) + 1)
        assert [item.type for item in done.response.output] == ["message"]
        added = [event.item for event in caller.of("conversation.item.added", since)]
        [result] = [item for item in added if item.type == "function_call_output"]
        assert result.call_id == call.call_id
        assert "error" not in json.loads(result.output)
        assert not caller.of("error")


async def test_an_answer_that_is_spoken_over_ends_and_is_cut_where_the_client_says(front: Server):
    async with front.caller() as caller:
        since = caller.say(speak("Tell me a story."))
        await caller.until("response.output_audio.delta", since)
        item_id = caller.of("response.output_item.added", since)[-1].item.id
        over = caller.say(speak("Stop please."))
        done = await caller.until("response.done", since)
        await caller.connection.conversation.item.truncate(item_id=item_id, content_index=0, audio_end_ms=300)
        truncated = await caller.until("conversation.item.truncated", over)
        assert (truncated.item_id, truncated.audio_end_ms) == (item_id, 300)
        await caller.until("response.done", caller.events.index(done) + 1)
        await caller.connection.conversation.item.retrieve(item_id=item_id)
        kept = await caller.until("conversation.item.retrieved", over)
        assert len(kept.item.content[0].transcript or "") < len(done.response.output[0].content[0].transcript)


async def test_a_conversation_outlives_its_connection(front: Server, line: CutLine):
    async with front.caller() as caller:
        await caller.ask(speak("Are you a real person?"))
        first = caller.of("conversation.item.added")[0].item.id
        before = len(line.heads)
        assert line.cut() >= 1
        turn = await caller.ask(speak("Do you take insurance?"))
        assert "insurance" in words(turn.heard), turn.heard
        assert turn.done.status == "completed"
        assert len(line.heads) > before
        since = len(caller.events)
        note = {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "A note."}]}
        await caller.connection.conversation.item.create(item=note, previous_item_id=first)  # type: ignore[arg-type]
        # It can only be put there if the new connection was told of the item before it.
        assert (await caller.until("conversation.item.added", since)).previous_item_id == first
        assert not caller.of("error")


async def test_an_answer_that_is_lost_fails_and_the_caller_is_heard_again(front: Server, line: CutLine):
    async with front.caller() as caller:
        since = caller.say(speak("Tell me a story."))
        await caller.until("response.created", since)
        line.cut()
        done = await caller.until("response.done", since)
        assert done.response.status == "failed"
        assert done.response.status_details.error.code == "connection_lost"
        added = [event.item.id for event in caller.of("response.output_item.added", since)]
        ended = [event.item.id for event in caller.of("response.output_item.done", since)]
        assert ended[: len(added)] == added
        apology = await caller.until("response.done", caller.events.index(done) + 1)
        assert apology.response.status == "completed"
        turn = await caller.ask(speak("Are you a real person?"))
        assert turn.done.status == "completed"
        assert turn.pcm.any()


async def test_a_call_over_the_phone_can_be_spoken_over(front: Server):
    account = TwilioAccount(front.base_url, PUBLIC, TOKEN)
    async with twilio_call(account) as line:
        await quiet_after(line, 0)
        begins = await speak_over_the_answer(line)
        assert [at >= begins for at in line.recording.cleared] == [True]
        assert line.recording.findings == []


async def test_a_session_moves_on_before_its_limit_and_azure_is_asked_in_its_own_way(line: CutLine):
    address = f"ws://127.0.0.1:{line.port}/openai/v1"
    front = start(**sent_to(address, "azure", deployment="our-realtime", session_s=1))
    try:
        async with front.caller(audio=G711) as caller:
            before = len(line.heads)
            for question in ("Are you a real person?", "Do you take insurance?"):
                turn = await caller.ask(speak(question, rate=8_000), 8_000)
                assert turn.done.status == "completed"
                assert turn.pcm.any()
            assert not caller.of("error")
    finally:
        assert stop(front) == 0
    assert len(line.heads) - before >= 1
    assert "moved on to a fresh connection" in "".join(front.log)
    head = line.heads[-1].decode()
    assert head.startswith("GET /openai/v1/realtime?model=our-realtime HTTP/1.1")
    assert f"api-key: {KEY}" in head
    assert "authorization" not in head.lower()
