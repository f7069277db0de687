"""Speech: every format is what it says, comes while it is made, and is not made for nobody."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import httpx2
import numpy as np
import openai
import pytest
from fastapi import APIRouter

from models.base import CapacityError, EngineError, Priority, SpeechChunk, Voice
from server.transports import audio
from tests.runtime.engines import ScriptedChat
from tests.transports.http_server import direct, http, sdk
from tests.transports.sound_files import decoded

RATE = 16_000


@dataclass
class ScriptedVoice:
    """A quarter of a second of tone a word. ``answers`` come before the words that they are for: an exception is
    raised, an event waited for, which sets ``waiting``."""

    answers: dict[str, Exception | asyncio.Event] = field(default_factory=dict)
    said: list[tuple[str, str, float, Priority]] = field(default_factory=list)
    closed: int = 0
    waiting: asyncio.Event = field(default_factory=asyncio.Event)
    name = "scripted"
    voices = (Voice("de_DE", "de", RATE), Voice("en_US", "en", RATE), Voice("en_GB", "en", RATE))

    def voice_for(self, wanted: str, language: str | None) -> Voice:
        fitting = [voice for voice in self.voices if language in (None, voice.language)]
        return next((voice for voice in fitting if voice.name.lower() == wanted.lower()), (fitting or self.voices)[0])

    async def synthesize(
        self, text: str, voice: Voice, *, speed: float = 1.0, priority: Priority = Priority.CONFIRMED
    ) -> AsyncGenerator[SpeechChunk, None]:
        self.said.append((text, voice.name, speed, priority))
        try:
            for word in text.split():
                match self.answers.get(word):
                    case Exception() as error:
                        raise error
                    case asyncio.Event() as event:
                        self.waiting.set()
                        await event.wait()
                if any(letter.isalnum() for letter in word):
                    tone = 8000 * np.sin(2 * np.pi * 500 * np.arange(RATE // 4) / RATE)
                    yield SpeechChunk(tone.astype(np.int16), RATE)
        finally:
            self.closed += 1

    async def close(self) -> None: ...


@dataclass
class Engines:
    tts: ScriptedVoice
    vad: Any = None
    stt: Any = None
    llm: Any = field(default_factory=ScriptedChat)


def door(tts: ScriptedVoice) -> APIRouter:
    return audio.router(Engines(tts), "en_GB", "en")


async def spoken(tts: ScriptedVoice, **fields: Any) -> httpx2.Response:
    async with direct(door(tts)) as client:
        answer = await client.post("/v1/audio/speech", json={"model": "any", "input": "Good morning to you.", **fields})
        assert answer.status_code == 200, answer.text
        return answer


# ------------------------------------------------------------------------------------- the sound


@pytest.mark.parametrize(
    ("name", "media_type", "container", "codec", "rate"),
    [
        ("wav", "audio/wav", "wav", "pcm_s16le", 24_000),
        ("mp3", "audio/mpeg", "mp3", "mp3float", 24_000),
        # Opus decoders work at 48 kHz, whatever went in.
        ("opus", "audio/ogg", "ogg", "opus", 48_000),
        ("flac", "audio/flac", "flac", "flac", 24_000),
        ("aac", "audio/aac", "aac", "aac", 24_000),
    ],
)
async def test_each_format_holds_the_whole_speech(name: str, media_type: str, container: str, codec: str, rate: int):
    answer = await spoken(ScriptedVoice(), response_format=name)
    assert answer.headers["content-type"] == media_type
    sound = decoded(answer.content)
    assert (sound.container, sound.codec, sound.rate) == (container, codec, rate)
    assert sound.seconds == pytest.approx(1.0, abs=0.1)
    middle = np.abs(np.fft.rfft(sound.pcm[rate // 4 : 3 * rate // 4]))
    assert np.argmax(middle) * 2 == pytest.approx(500, abs=4)


async def test_pcm_is_24_khz_without_a_header():
    answer = await spoken(ScriptedVoice(), response_format="pcm")
    assert answer.headers["content-type"] == "audio/pcm"
    pcm = np.frombuffer(answer.content, "<i2")
    assert len(pcm) == 24_000
    assert np.argmax(np.abs(np.fft.rfft(pcm))) == 500


async def test_a_wave_file_says_that_its_length_is_not_known():
    data = (await spoken(ScriptedVoice(), response_format="wav")).content
    assert (data[:4], data[8:16], data[36:40]) == (b"RIFF", b"WAVEfmt ", b"data")
    assert data[4:8] == data[40:44] == b"\xff\xff\xff\xff"
    assert len(data) == 44 + 48_000


async def test_mp3_is_what_comes_unasked():
    assert (await spoken(ScriptedVoice())).headers["content-type"] == "audio/mpeg"


async def test_events_carry_the_same_bytes():
    whole = (await spoken(ScriptedVoice(), response_format="flac")).content
    answer = await spoken(ScriptedVoice(), response_format="flac", stream_format="sse")
    assert answer.headers["content-type"].startswith("text/event-stream")
    *deltas, done = [json.loads(line.removeprefix("data: ")) for line in answer.text.split("\n\n") if line]
    assert {delta["type"] for delta in deltas} == {"speech.audio.delta"}
    assert b"".join(base64.b64decode(delta["audio"]) for delta in deltas) == whole
    assert done["type"] == "speech.audio.done"


@pytest.mark.parametrize("name", ["wav", "pcm", "mp3", "opus", "flac", "aac"])
async def test_the_beginning_is_sent_before_the_end_is_made(name: str):
    go_on = asyncio.Event()
    tts = ScriptedVoice({"last": go_on})
    async with (
        sdk(door(tts)) as client,
        asyncio.timeout(60),
        client.audio.speech.with_streaming_response.create(
            model="any", voice="alloy", input="Good morning to you. And the last one.", response_format=name
        ) as answer,
    ):
        pieces = answer.iter_bytes()
        first = await anext(pieces)
        assert first
        go_on.set()
        rest = b"".join([piece async for piece in pieces])
    assert len(rest) > 0
    assert tts.said[1][0] == "And the last one."


# -------------------------------------------------------------------------------- what is asked


async def test_a_long_text_is_spoken_sentence_by_sentence():
    tts = ScriptedVoice()
    sentences = [f"This is sentence number {number} of many." for number in range(95)]
    await spoken(tts, input=" ".join(sentences), response_format="pcm")
    assert [text for text, *_ in tts.said] == sentences
    assert tts.closed == 95
    # Behind a caller on the line.
    assert {priority for *_, priority in tts.said} == {Priority.PREPARED}


@pytest.mark.parametrize(
    ("wanted", "voice"),
    [
        ("de_DE", "de_DE"),
        ("EN_us", "en_US"),
        ({"id": "en_US"}, "en_US"),
        ("alloy", "en_GB"),
        ({"id": "voice_1234"}, "en_GB"),
        (None, "en_GB"),
    ],
)
async def test_the_named_voice_speaks_and_the_operators_for_names_of_others(wanted: Any, voice: str):
    tts = ScriptedVoice()
    await spoken(tts, voice=wanted, instructions="Whisper.")
    assert tts.said[0][1] == voice


async def test_the_speed_reaches_the_voice():
    tts = ScriptedVoice()
    await spoken(tts, speed=0.25)
    await spoken(tts, speed=4)
    assert [speed for _, _, speed, _ in tts.said] == [0.25, 4.0]


# ------------------------------------------------------------------------------- what goes wrong

BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "no text": ({"input": None}, "input", "input"),
    "blanks": ({"input": " \n"}, "input", "empty"),
    "nothing to pronounce": ({"input": "... !"}, "input", "nothing to pronounce"),
    "too long": ({"input": "a" * 4097}, "input", "at most 4096"),
    "a number": ({"input": 5}, "input", "a string"),
    "unknown format": ({"response_format": "midi"}, "response_format", "'opus'"),
    "too slow": ({"speed": 0.2}, "speed", "0.25 to 4"),
    "too fast": ({"speed": 4.1}, "speed", "0.25 to 4"),
    "voice without id": ({"voice": {"name": "x"}}, "voice.id", "voice.id"),
    "voice is a number": ({"voice": 1}, "voice", "a string"),
    "unknown stream": ({"stream_format": "mp3"}, "stream_format", "'sse'"),
}


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.replace(" ", "-"))
async def test_bad_input_is_named_with_what_is_allowed(case: str):
    change, param, hint = BAD[case]
    async with direct(door(ScriptedVoice())) as client:
        request = {"model": "any", "voice": "alloy", "input": "Good morning.", **change}
        answer = await client.post("/v1/audio/speech", json=request)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert hint in error["message"]


@pytest.mark.parametrize("stream_format", ["audio", "sse"])
async def test_engines_that_cannot_are_a_status(stream_format: Any):
    request: dict[str, Any] = {"model": "any", "voice": "alloy", "input": "Good.", "stream_format": stream_format}
    async with sdk(door(ScriptedVoice({"Good.": CapacityError("32 texts wait")}))) as client:
        with pytest.raises(openai.RateLimitError, match="32 texts wait"):
            await client.audio.speech.create(**request)
    async with sdk(door(ScriptedVoice({"Good.": EngineError("x", "hoarse")}))) as client:
        with pytest.raises(openai.InternalServerError, match="hoarse"):
            await client.audio.speech.create(**request)


async def test_a_voice_that_fails_in_the_middle_cuts_the_file_off():
    async with http(door(ScriptedVoice({"you.": EngineError("x", "hoarse")}))) as client:
        request = {"input": "Good morning to you.", "response_format": "pcm"}
        with pytest.raises(httpx2.RemoteProtocolError):
            await client.post("/v1/audio/speech", json=request)
        answer = await client.post("/v1/audio/speech", json={**request, "stream_format": "sse"})
    *deltas, last = [json.loads(line.removeprefix("data: ")) for line in answer.text.split("\n\n") if line]
    assert len(deltas) == 3
    assert last["error"]["message"] == "hoarse"


@pytest.mark.parametrize("name", ["pcm", "mp3"])
async def test_a_client_that_leaves_ends_the_synthesis(name: Any):
    tts = ScriptedVoice({"last": asyncio.Event()})
    text = "Good morning to you. And the last one. Never said."
    async with (
        asyncio.timeout(60),
        sdk(door(tts)) as client,
        client.audio.speech.with_streaming_response.create(
            model="any", voice="alloy", input=text, response_format=name
        ) as answer,
    ):
        pieces = answer.iter_bytes()
        await anext(pieces)
        await tts.waiting.wait()
    # The server ended, and had to wait for all requests.
    assert [text for text, *_ in tts.said] == ["Good morning to you.", "And the last one."]
    assert tts.closed == 2
