"""Agents on a running server: the reception of the examples, by voice and by text."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from openai import AsyncOpenAI

from models.audio import write_wav
from tests import server_process
from tests.agents.mcp_process import listening
from tests.e2e.call import RATES, Caller, Turn
from tests.models.speech import silence, speak
from tests.server_process import ROOT, Server

GREETING = "This is the AI assistant of Salon Bella. How can I help you?"


@pytest.fixture(scope="module")
def reception(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example: its database is made beside it."""
    folder = tmp_path_factory.mktemp("agents")
    for path in (ROOT / "examples" / "reception").iterdir():
        if path.suffix in (".toml", ".py"):
            shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="module")
def server(reception: Path) -> Iterator[Server]:
    server = server_process.start(
        KAMMERTON_AGENTS__FOLDER=str(reception),
        KAMMERTON_STORE__URL=f"sqlite:///{reception}/store.db",
        KAMMERTON_EGRESS__CLIENT_MCP="true",
    )
    yield server
    assert server_process.stop(server) in (0, -signal.SIGTERM)


def caller(server: Server, agent: str, line: str = "") -> Caller:
    """line: who is calling, where that is to outlive the connection."""
    return Caller(server.base_url, {}, model=agent, query={"caller": line} if line else None)


async def greeted(connected: Caller) -> None:
    """The greeting has been sent. Time goes twice as fast from here on: it is counted in samples."""
    connected.pace = 2.0
    await connected.until("response.done")


@pytest.fixture(scope="module")
def mcp_url() -> Iterator[str]:
    """The SDK's own MCP server over streamable HTTP."""
    with listening() as url:
        yield url


def say(connected: Caller, words: str, voice: str = "en-us") -> int:
    """Hear out what has been sent last, which takes as long as it sounds, and then say this."""
    sent = [event for event in connected.events if event.type in ("response.created", "response.output_audio.delta")]
    starts = [at for at, event in enumerate(sent) if event.type == "response.created"]
    last = sent[starts[-1] + 1 :] if starts else []
    seconds = sum(len(base64.b64decode(event.delta)) for event in last) / 2 / RATES["audio/pcm"]
    return connected.say(np.concatenate((silence(seconds + 0.2), speak(words, voice=voice))))


async def ask(connected: Caller, words: str, voice: str = "en-us") -> str:
    """Say it; what is said in answer, until there is an answer that waits for no tool."""
    since = say(connected, words, voice)
    begun = since
    while True:
        done = await connected.until("response.done", since)
        if all(item.type != "function_call" for item in done.response.output):
            break
        since = connected.events.index(done) + 1
    return " ".join(event.transcript for event in connected.of("response.output_audio_transcript.done", begun))


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    """Of an SQLite database; none while there is no such file."""
    if not path.exists():
        return []
    connection = sqlite3.connect(path)
    found = connection.execute(query).fetchall()
    connection.close()
    return found


async def test_an_agent_greets_its_caller_first(server: Server) -> None:
    async with caller(server, "reception") as connected:
        done = await connected.until("response.done")
        [item] = done.response.output
        assert item.content[0].transcript == GREETING
        assert connected.of("response.output_audio.delta")
    async with caller(server, "empfang") as connected:
        done = await connected.until("response.done")
        assert done.response.output[0].content[0].transcript.endswith("Wie kann ich Ihnen helfen?")


async def test_an_agent_is_a_model_and_a_parameter_and_one_that_does_not_exist_is_told(server: Server) -> None:
    listed = json.loads(server.get("/v1/models")[1])["data"]
    assert [model["id"] for model in listed][:3] == ["kammerton", "empfang", "reception"]
    client = AsyncOpenAI(base_url=f"{server.base_url}/v1", api_key="none", max_retries=0)
    async with client.realtime.connect(model="kammerton", extra_query={"agent": "reception"}) as connection:
        created = await connection.recv()
        assert created.type == "session.created"
        assert "Anna" in created.session.instructions
    async with client.realtime.connect(model="kammerton", extra_query={"agent": "nobody"}) as connection:
        told = await connection.recv()
        assert told.type == "error"
        assert "empfang, reception" in told.error.message
    await client.close()


@pytest.mark.parametrize("sets_up", [False, True])
async def test_a_client_that_leads_is_not_greeted(server: Server, sets_up: bool) -> None:
    client = AsyncOpenAI(base_url=f"{server.base_url}/v1", api_key="none", max_retries=0)
    async with client.realtime.connect(model="reception") as connection:
        if sets_up:
            await connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        await connection.conversation.item.create(
            item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello."}]}
        )
        await connection.response.create(response={"output_modalities": ["text"]})
        said = ""
        async for event in connection:
            if event.type == "response.output_text.delta":
                said += event.delta
            if event.type == "response.done":
                break
        assert said
        assert said != GREETING
    await client.close()


async def test_a_spoken_question_is_answered_from_the_database_behind_a_filler(server: Server) -> None:
    async with caller(server, "reception") as connected:
        await greeted(connected)
        said = await ask(connected, "What time do you open on Friday?")
        assert "moment" in said
        assert "nine" in said
        assert "six" in said
        [output] = [
            event.item for event in connected.of("conversation.item.added") if event.item.type == "function_call_output"
        ]
        assert json.loads(output.output) == {"day": "friday", "open": "09:00", "close": "18:00"}


async def test_a_german_caller_is_told_a_price_of_the_database(server: Server) -> None:
    async with caller(server, "empfang") as connected:
        await greeted(connected)
        said = await ask(connected, "Was kostet ein Haarschnitt?", "de")
        assert "25 Euro" in said
        assert [event.name for event in connected.of("response.function_call_arguments.done")] == ["get_price"]


async def test_two_questions_in_one_breath_are_two_tools_and_one_answer(server: Server) -> None:
    async with caller(server, "empfang") as connected:
        await greeted(connected)
        said = await ask(connected, "Was kostet ein Haarschnitt? Wann öffnen Sie am Freitag?", "de")
        called = connected.of("response.function_call_arguments.done")
        assert {event.name for event in called} == {"get_price", "get_opening_hours"}
        assert len({event.response_id for event in called}) == 1
        assert "Moment" in said
        assert "25 Euro" in said
        assert "neun Uhr" in said


async def test_a_german_caller_books_by_voice_over_several_turns_and_the_row_is_there_once(
    server: Server, reception: Path
) -> None:
    async with caller(server, "empfang") as connected:
        await greeted(connected)
        said = [
            await ask(connected, words, "de")
            for words in (
                "Ich möchte einen Haarschnitt buchen.",
                "Am Mittwoch um elf Uhr.",
                "Mein Name ist Paul.",
                "Ja.",
            )
        ]
        assert "ist bestätigt" in said[-1], said
    booked = rows(reception / "reception.db", "SELECT service FROM appointments WHERE time = '11:00'")
    assert booked == [("haircut",)]


@pytest.mark.parametrize(
    ("agent", "words", "voice", "answer", "trigger"),
    [
        ("reception", "Can I speak to a human?", "en-us", "I have asked a colleague to take over.", "words"),
        ("empfang", "Ich möchte mit einem Mitarbeiter sprechen.", "de", "Ich habe eine Kollegin gebeten", ""),
    ],
)
async def test_who_asks_for_a_human_is_told_and_so_is_the_client(
    server: Server, reception: Path, agent: str, words: str, voice: str, answer: str, trigger: str
) -> None:
    async with caller(server, agent) as connected:
        await greeted(connected)
        since = len(connected.events)
        said = await ask(connected, words, voice)
        heard = connected.of("conversation.item.input_audio_transcription.completed", since)
        assert answer in said, [event.transcript for event in heard]
        report = connected.of("response.done", since)[-1].response.kammerton["escalation"]
        assert (report["agent"], report["to"], report["transferred"]) == (agent, "human", False)
        assert report["trigger"] == (trigger or report["trigger"])
    ran = rows(reception / "store.db", "SELECT outcome FROM tool_calls WHERE tool = 'transfer_to_human'")
    assert ("ok",) in ran
    assert "kammerton_escalations_total" in server.get("/metrics")[1]


async def test_typed_and_spoken_turns_are_one_conversation_with_the_same_tools(server: Server) -> None:
    async with caller(server, "reception") as connected:
        await greeted(connected)
        since = len(connected.events)
        words = {"type": "input_text", "text": "How much is a haircut?"}
        item: Any = {"type": "message", "role": "user", "content": [words]}
        await connected.connection.conversation.item.create(item=item)
        await connected.connection.response.create()
        await connected.until("conversation.item.done", since)
        while not any("25 euros" in event.transcript for event in transcripts(connected, since)):
            await connected.until("response.done", len(connected.events))
        assert "nine" in await ask(connected, "What time do you open on Friday?")
        called = [event.name for event in connected.of("response.function_call_arguments.done", since)]
        assert called == ["get_price", "get_opening_hours"]


def transcripts(connected: Caller, since: int) -> list[Any]:
    return connected.of("response.output_audio_transcript.done", since)


async def _book(connected: Caller) -> int:
    """The whole talk, up to the call of the tool; where in the events that ends."""
    await greeted(connected)
    said = [await ask(connected, "I would like to book a haircut on Friday at ten.")]
    said.append(await ask(connected, "My name is Paul."))
    done = await connected.until("response.done", say(connected, "Yes."))
    called = [item.name for item in done.response.output if item.type == "function_call"]
    assert called == ["book_appointment"], said
    return connected.events.index(done) + 1


async def test_an_appointment_is_booked_by_voice_once_although_the_line_drops_before_the_answer(
    server: Server, reception: Path
) -> None:
    async with caller(server, "reception", line="+49 30 1234") as connected:
        await _book(connected)
        # The line drops here: the tool has been called, and nothing of its result has been said.
    async with caller(server, "reception", line="+49 30 1234") as connected:
        called = await _book(connected)
        done = await connected.until("response.done", called)
        assert "confirmed" in done.response.output[0].content[0].transcript
    booked = rows(reception / "reception.db", "SELECT service, name FROM appointments WHERE time = '10:00'")
    assert booked == [("haircut", "Paul")]
    ran = rows(reception / "store.db", "SELECT outcome FROM tool_calls WHERE arguments LIKE '%10:00%'")
    assert ran == [("ok",)]


async def test_talk_hears_an_agent_out_and_gets_its_answer(server: Server, tmp_path: Path) -> None:
    question = tmp_path / "question.wav"
    write_wav(question, speak("How much is a haircut?"), 16_000)
    url = server.base_url.replace("http", "ws") + "/v1/realtime"
    command = (sys.executable, "-m", "server", "talk", "--url", url, "--agent", "reception", "--json", str(question))
    talk = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, env={**os.environ}, capture_output=True, text=True, timeout=120
    )
    assert talk.returncode == 0, talk.stderr
    report = json.loads(talk.stdout)
    [call] = report["tool_calls"]
    assert (call["name"], call["output"]) == ("get_price", {"price": 25.0, "currency": "EUR"})
    assert "25 euros" in report["assistant"]


async def test_an_agent_answers_chat_clients_with_the_same_tools(server: Server, reception: Path) -> None:
    client = AsyncOpenAI(base_url=f"{server.base_url}/v1", api_key="none", max_retries=0)
    asked: Any = [{"role": "user", "content": "How much is a haircut?"}]
    whole = await client.chat.completions.create(model="reception", messages=asked, temperature=0)
    assert "25 euros" in str(whole.choices[0].message.content)
    assert whole.choices[0].finish_reason == "stop"
    assert whole.choices[0].message.tool_calls is None
    streamed = ""
    async for chunk in await client.chat.completions.create(
        model="reception", messages=asked, temperature=0, stream=True, user="Paul"
    ):
        streamed += chunk.choices[0].delta.content or ""
    assert "25 euros" in streamed
    kept = rows(reception / "store.db", "SELECT tool FROM tool_calls WHERE session_id LIKE 'chat_%'")
    assert kept == [("get_price",), ("get_price",)]
    await client.close()


async def test_an_agent_that_is_written_while_the_server_runs_answers_the_next_call(
    server: Server, reception: Path
) -> None:
    (reception / "late.toml").write_text('instructions = "Be brief."\ngreeting = "Good evening."\n')
    try:
        async with caller(server, "late") as connected:
            done = await connected.until("response.done")
            assert done.response.output[0].content[0].transcript == "Good evening."
    finally:
        (reception / "late.toml").unlink()
    assert "late" not in server.get("/v1/models")[1]


async def test_an_agent_thinks_with_the_model_of_another_server(server: Server, reception: Path) -> None:
    # The other server is this one: what it has behind its API is the same to whoever asks.
    model = f'model = {{ url = "{server.base_url}/v1", name = "kammerton", context = 1024 }}'
    tools = '[[tools]]\npython = "tools.py:get_price"\n'
    (reception / "far.toml").write_text(f'instructions = "You are the receptionist of a hair salon."\n{model}\n{tools}')
    try:
        async with caller(server, "far") as connected:
            turn = await connected.ask(speak("How much is a haircut?"))
            while "25 euros" not in turn.text:
                await connected.until("response.done", len(connected.events))
                turn = Turn(connected, 0)
            assert [name for _, name, _ in turn.calls] == ["get_price"]
    finally:
        (reception / "far.toml").unlink()


async def test_a_client_names_an_mcp_server_and_its_tools_are_listed(server: Server, mcp_url: str) -> None:
    for agent in ("kammerton", "reception"):
        async with Caller(server.base_url, {}, model=agent) as connected:
            named = {"type": "mcp", "server_label": "weather", "server_url": mcp_url, "require_approval": "never"}
            away = {"type": "mcp", "server_label": "away", "server_url": "https://mcp.example/mcp"}
            session: Any = {"type": "realtime", "tools": [named, away]}
            await connected.connection.session.update(session=session)
            listed = await connected.until("mcp_list_tools.completed")
            failed = await connected.until("mcp_list_tools.failed")
            items = {event.item.id: event.item for event in connected.of("conversation.item.done")}
            # The reception has a get_weather of its own, which stays the one of that name.
            assert {"say", "fail"} <= {tool.name for tool in items[listed.item_id].tools}
            assert failed.item_id != listed.item_id
