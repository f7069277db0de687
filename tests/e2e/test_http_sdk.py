"""The official SDK's calls beside the socket, against the real server and its bundled models."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import openai
import pytest
from openai import AsyncOpenAI

from models.audio import Pcm16, resample, write_wav
from tests.e2e.conftest import ROOT, Server, start, stop
from tests.models.speech import silence, speak
from tests.transports.sound_files import decoded, encoded

QUESTION = "What time do you open on Friday?"
TOOLS: list[Any] = json.loads((ROOT / "models/bundled/llm/tiny/tools.json").read_text())


@pytest.fixture
async def client(server: Server) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{server.base_url}/v1", api_key="sk-test", max_retries=0) as client:
        yield client


def wav(pcm: Pcm16, rate: int = 16_000) -> bytes:
    file = io.BytesIO()
    write_wav(file, pcm, rate)
    return file.getvalue()


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower().replace("'", ""))


# ------------------------------------------------------------------------------------- chat


@pytest.mark.parametrize("stream", [False, True])
async def test_a_question_is_answered_with_a_tool_and_then_with_what_it_found(client: AsyncOpenAI, stream: bool):
    messages: list[Any] = [
        {"role": "system", "content": "You are the receptionist of a hair salon."},
        {"role": "user", "content": QUESTION},
    ]

    async def ask() -> Any:
        if stream:
            async with client.chat.completions.stream(model="kammerton", messages=messages, tools=TOOLS) as chunks:
                return (await chunks.get_final_completion()).choices[0]
        return (await client.chat.completions.create(model="gpt-4o", messages=messages, tools=TOOLS)).choices[0]

    choice = await ask()
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls
    assert call.function.name == "get_opening_hours"
    assert json.loads(call.function.arguments)["day"] == "friday"
    messages.append(choice.message.model_dump(include={"role", "content", "tool_calls"}))
    result = {"day": "friday", "open": "09:00", "close": "18:00"}
    messages.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps(result)})
    choice = await ask()
    assert choice.finish_reason == "stop"
    assert {"friday", "nine", "six"} <= set(words(choice.message.content))


async def test_the_tokens_of_a_streamed_answer_are_those_of_a_whole_one(client: AsyncOpenAI):
    request: dict[str, Any] = {"model": "any", "messages": [{"role": "user", "content": "Are you a real person?"}]}
    whole = await client.chat.completions.create(**request)
    chunks = await client.chat.completions.create(**request, stream=True, stream_options={"include_usage": True})
    seen = [chunk async for chunk in chunks]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in seen[:-1])
    assert text == whole.choices[0].message.content != ""
    assert seen[-1].usage == whole.usage
    short = await client.chat.completions.create(**request, max_tokens=3)
    assert (short.usage.completion_tokens, short.choices[0].finish_reason) == (3, "length")


# -------------------------------------------------------------------------------- transcriptions


@pytest.mark.parametrize("kind", ["wav", "mp3", "ogg", "opus", "flac", "m4a", "webm"])
async def test_a_spoken_question_is_written_down(client: AsyncOpenAI, kind: str):
    pcm = resample(np.concatenate([silence(0.3), speak(QUESTION), silence(0.3)]), 16_000, 48_000)
    answer = await client.audio.transcriptions.create(
        model="whisper-1", file=(f"question.{kind}", encoded(pcm, 48_000, kind)), language="en"
    )
    assert words(answer.text) == words(QUESTION)
    assert answer.usage is not None
    assert answer.usage.type == "duration"
    assert answer.usage.seconds == pytest.approx(len(pcm) / 48_000, abs=0.1)


async def test_log_probabilities_come_with_the_words_where_they_are_asked_for(client: AsyncOpenAI):
    pcm = resample(np.concatenate([silence(0.3), speak(QUESTION), silence(1.0), speak(QUESTION)]), 16_000, 48_000)
    question = ("question.wav", encoded(pcm, 48_000, "wav"))
    answer = await client.audio.transcriptions.create(model="whisper-1", file=question, include=["logprobs"])
    assert answer.logprobs is not None
    assert words("".join(token.token or "" for token in answer.logprobs)) == words(answer.text)
    assert all(token.logprob is not None and token.logprob <= 0 for token in answer.logprobs)


async def test_each_sentence_of_a_recording_has_its_time(client: AsyncOpenAI):
    sentences = [
        "How much does a haircut cost?",
        "What time do you open on Saturday?",
        "Do you have anything free on Monday?",
    ]
    spoken = [speak(sentence) for sentence in sentences]
    pcm = np.concatenate([part for one in spoken for part in (silence(0.8), one)])
    file = ("three.wav", wav(pcm))
    answer = await client.audio.transcriptions.create(model="any", file=file, response_format="verbose_json")
    assert [words(segment.text) for segment in answer.segments or ()] == [words(sentence) for sentence in sentences]
    assert (answer.language, answer.duration) == ("en", pytest.approx(len(pcm) / 16_000, abs=0.001))
    begin = 0.0
    for segment, one in zip(answer.segments or (), spoken, strict=True):
        # espeak-ng leaves up to a third of a second of silence behind.
        assert segment.start == pytest.approx(begin + 0.8, abs=0.2)
        assert segment.end == pytest.approx(begin + 0.8 + len(one) / 16_000, abs=0.4)
        begin += 0.8 + len(one) / 16_000
    srt = await client.audio.transcriptions.create(model="any", file=file, response_format="srt")
    assert re.findall(r"^(\d+)\n[\d:,]+ --> [\d:,]+\n", srt, re.MULTILINE) == ["1", "2", "3"]
    events = await client.audio.transcriptions.create(model="any", file=file, stream=True)
    *deltas, done = [event async for event in events]
    assert "".join(delta.delta for delta in deltas) == done.text == answer.text


async def test_german_is_recognised_as_german(client: AsyncOpenAI):
    sentence = "Wann öffnen Sie am Freitag?"
    answer = await client.audio.transcriptions.create(
        model="any", file=("name.wav", wav(speak(sentence, voice="de"))), response_format="verbose_json"
    )
    assert (answer.language, words(answer.text)) == ("de", words(sentence))


# ---------------------------------------------------------------------------------------- speech


@pytest.mark.parametrize("name", ["wav", "pcm", "mp3", "opus", "flac", "aac"])
async def test_what_is_spoken_is_understood_in_every_format(client: AsyncOpenAI, name: Any):
    text = "How much does a haircut cost?"
    async with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="alloy", input=text, response_format=name
    ) as answer:
        data = b"".join([piece async for piece in answer.iter_bytes()])
    if name == "pcm":
        data = wav(np.frombuffer(data, np.int16), 24_000)
    sound = decoded(data)
    assert sound.rate == (48_000 if name == "opus" else 24_000)
    assert 1 < sound.seconds < 4
    heard = await client.audio.transcriptions.create(model="any", file=("back", data))
    assert words(heard.text) == words(text)


async def test_a_named_voice_speaks_its_language_at_the_speed_asked_for(client: AsyncOpenAI, tmp_path: Path):
    text = "Wann öffnen Sie am Freitag?"
    seconds = {}
    for speed in (0.5, 1.0, 2.0):
        answer = await client.audio.speech.create(
            model="any", voice={"id": "de_DE"}, input=text, speed=speed, response_format="flac"
        )
        answer.write_to_file(tmp_path / "speech.flac")
        seconds[speed] = decoded((tmp_path / "speech.flac").read_bytes()).seconds
        if speed == 1.0:
            heard = await client.audio.transcriptions.create(model="any", file=tmp_path / "speech.flac", language="de")
            assert words(heard.text) == words(text)
    assert seconds[0.5] > 1.5 * seconds[1.0] > 2.0 * seconds[2.0]


async def test_a_long_text_is_as_long_as_its_sentences(client: AsyncOpenAI):
    sentence = "I would like to book a haircut on Tuesday at ten o'clock."
    short = await client.audio.speech.create(model="any", voice="nova", input=sentence, response_format="pcm")
    long = await client.audio.speech.create(
        model="any", voice="nova", input=" ".join([sentence] * 20), response_format="pcm"
    )
    assert len(long.content) == pytest.approx(20 * len(short.content), rel=0.1)


# ------------------------------------------------------------------------------------ beside calls


async def test_many_at_once_are_all_served_while_somebody_is_on_the_line(server: Server, client: AsyncOpenAI):
    file = ("question.wav", wav(speak(QUESTION)))
    async with server.caller() as caller:
        asked = [client.audio.transcriptions.create(model="any", file=file) for _ in range(8)]
        asked += [
            client.audio.speech.create(model="any", voice="x", input=QUESTION, response_format="pcm") for _ in range(8)
        ]
        turn, *answers = await asyncio.gather(caller.ask(speak("Are you a real person?")), *asked)
        assert turn.done.status == "completed"
    assert {tuple(words(answer.text)) for answer in answers[:8]} == {tuple(words(QUESTION))}
    assert all(1 < len(answer.content) / 48_000 < 4 for answer in answers[8:])


async def test_one_error_object_from_every_door(client: AsyncOpenAI, server: Server):
    with pytest.raises(openai.BadRequestError) as bad:
        await client.chat.completions.create(model="any", messages=[])
    assert (bad.value.param, bad.value.code, bad.value.type) == ("messages", "invalid_value", "invalid_request_error")
    with pytest.raises(openai.BadRequestError, match="webm"):
        await client.audio.transcriptions.create(model="any", file=("x.txt", b"words"))
    with pytest.raises(openai.BadRequestError, match="at most 4096"):
        await client.audio.speech.create(model="any", voice="alloy", input="a" * 5000)
    async with httpx2.AsyncClient(base_url=server.base_url) as plain:
        answer = await plain.post("/v1/audio/transcriptions", content=b"{}")
        assert answer.json()["error"]["code"] == "invalid_multipart"


def test_all_doors_ask_for_the_key():
    server = start(KAMMERTON_AUTH__KEY="sk-of-the-house-0123456789")
    url = f"{server.base_url}/v1"
    for path in ("chat/completions", "audio/transcriptions", "audio/speech"):
        assert httpx2.post(f"{url}/{path}", content=b"{}").json()["error"]["code"] == "invalid_api_key"
    with openai.OpenAI(base_url=url, api_key="sk-of-the-house-0123456789", max_retries=0) as client:
        request: list[Any] = [{"role": "user", "content": "Are you a real person?"}]
        assert client.chat.completions.create(model="any", messages=request).choices[0].message.content
    assert stop(server) == 0
