"""Transcriptions: what the transcriber is given, each form of the answer, and how a request ends early."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
import numpy as np
import openai
import pytest
from fastapi import APIRouter, Depends, Request

from models.audio import Pcm16, write_wav
from models.base import CapacityError, EngineError, Priority, Transcript
from server.errors import ClientError
from server.transports import audio
from server.transports.rest import Places
from tests.runtime.engines import ScriptedChat, ScriptedVoice
from tests.transports.http_server import direct, http, sdk
from tests.transports.sound_files import encoded


class LoudnessVad:
    """Takes whatever is loud for speech."""

    name = "loudness"

    def open(self, sample_rate: int) -> LoudnessVad:
        return LoudnessVad()

    def __init__(self) -> None:
        self._rest = np.zeros(0, np.int16)

    async def push(self, pcm: Pcm16) -> list[float]:
        pcm = np.concatenate((self._rest, pcm))
        count = len(pcm) // 512
        self._rest = pcm[count * 512 :]
        return [float(np.abs(frame).max() > 1000) for frame in pcm[: count * 512].reshape(count, 512).astype(int)]

    def reset(self) -> None: ...
    async def close(self) -> None: ...


@dataclass
class ScriptedEar:
    """Hears its lines, one an utterance; an exception among them is raised. ``stuck`` utterances are never decoded."""

    lines: list[str | Exception]
    language: str = "en"
    stuck: bool = False
    opened: list[tuple[str | None, str | None]] = field(default_factory=list)
    heard: list[Pcm16] = field(default_factory=list)
    priorities: list[Priority] = field(default_factory=list)
    closed: int = 0
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    name = "scripted"
    languages = ("en", "de", "ja")

    def open(self, *, language: str | None = None, prompt: str | None = None, logprobs: bool = False) -> ScriptedEar:
        self.opened.append((language, prompt))
        return self

    def push(self, pcm: Pcm16) -> None:
        self.heard.append(pcm)

    async def final(self, priority: Priority = Priority.CONFIRMED) -> Transcript:
        self.priorities.append(priority)
        self.begun.set()
        if self.stuck:
            await asyncio.Event().wait()
        line = self.lines[len(self.heard) - 1]
        if isinstance(line, Exception):
            raise line
        return Transcript(line, line, self.language, 0.97 if len(line) > 3 else 0.6, -0.25, 1000)

    def close(self) -> None:
        self.closed += 1


@dataclass
class Engines:
    stt: Any
    vad: Any = field(default_factory=LoudnessVad)
    llm: Any = field(default_factory=ScriptedChat)
    tts: Any = field(default_factory=ScriptedVoice)


def recording(*seconds: float) -> bytes:
    """A WAV file: silence and loudness by turns, silence first."""
    runs = [np.full(round(length * 16_000), 8000 * (index % 2), np.int16) for index, length in enumerate(seconds)]
    file = io.BytesIO()
    write_wav(file, np.concatenate(runs), 16_000)
    return file.getvalue()


TWO = recording(1.024, 2.048, 1.024, 1.536, 0.96)


@pytest.fixture
def ear() -> ScriptedEar:
    return ScriptedEar(["Good morning.", "Two & <three>."])


@pytest.fixture
def door(ear: ScriptedEar) -> Iterator[APIRouter]:
    yield audio.router(Engines(ear), "", "en")
    assert ear.closed == len(ear.opened)


async def answered(door: APIRouter, **fields: Any) -> Any:
    """The SDK's answer; of a stream, all events."""
    async with sdk(door) as client:
        answer = await client.audio.transcriptions.create(**{"file": ("two.wav", TWO), "model": "any", **fields})
        return [event async for event in answer] if fields.get("stream") else answer


# ------------------------------------------------------------------------------- what is heard


async def test_each_stretch_of_speech_is_an_utterance(door: APIRouter, ear: ScriptedEar):
    await answered(door, language="de", prompt="At the hairdresser's", temperature=0.7)
    assert ear.opened == [("de", "At the hairdresser's")] * 2
    # Six frames of margin on both sides.
    assert [len(pcm) / 512 for pcm in ear.heard] == [64 + 12, 48 + 12]
    assert ear.priorities == [Priority.PARTIAL] * 2


async def test_a_language_that_was_heard_for_sure_stays(door: APIRouter, ear: ScriptedEar):
    await answered(door)
    assert [language for language, _ in ear.opened] == [None, "en"]


async def test_a_language_that_is_a_guess_does_not(door: APIRouter, ear: ScriptedEar):
    ear.lines = ["Hm.", "Good morning."]
    await answered(door)
    assert [language for language, _ in ear.opened] == [None, None]


async def test_a_region_behind_the_language_does_not_matter(door: APIRouter, ear: ScriptedEar):
    await answered(door, language="de-AT")
    assert ear.opened[0][0] == "de"


async def test_a_long_recording_is_cut_across_the_pieces_that_it_is_decoded_in(door: APIRouter, ear: ScriptedEar):
    ear.lines = ["One.", "Two.", "Three."]
    long = recording(9, 2, 8, 3, 9, 0.5)
    answer = await answered(door, file=("long.wav", long), response_format="verbose_json")
    times = [(segment.start, segment.end) for segment in answer.segments]
    assert np.array(times) == pytest.approx(np.array([(9, 11), (19, 22), (31, 31.5)]), abs=0.04)
    assert [len(pcm) / 16_000 for pcm in ear.heard] == pytest.approx([2.384, 3.384, 0.692], abs=0.07)


# ----------------------------------------------------------------------------- what is answered


async def test_json(door: APIRouter):
    answer = await answered(door)
    assert answer.text == "Good morning. Two & <three>."
    assert answer.usage.model_dump() == {"type": "duration", "seconds": 6.592}


async def test_text(door: APIRouter):
    assert await answered(door, response_format="text") == "Good morning. Two & <three>.\n"


async def test_srt(door: APIRouter):
    assert await answered(door, response_format="srt") == (
        "1\n00:00:01,024 --> 00:00:03,072\nGood morning.\n\n2\n00:00:04,096 --> 00:00:05,632\nTwo & <three>.\n\n"
    )


async def test_vtt(door: APIRouter):
    assert await answered(door, response_format="vtt") == (
        "WEBVTT\n\n00:00:01.024 --> 00:00:03.072\nGood morning.\n\n"
        "00:00:04.096 --> 00:00:05.632\nTwo &amp; &lt;three&gt;.\n\n"
    )


async def test_verbose_json(door: APIRouter):
    answer = await answered(door, response_format="verbose_json", timestamp_granularities=["segment"])
    assert (answer.task, answer.language, answer.duration) == ("transcribe", "en", 6.592)
    assert answer.text == "Good morning. Two & <three>."
    assert [(part.id, part.start, part.end, part.text, part.seek) for part in answer.segments] == [
        (0, 1.024, 3.072, "Good morning.", 102),
        (1, 4.096, 5.632, " Two & <three>.", 410),
    ]
    assert {(part.avg_logprob, part.no_speech_prob, part.temperature) for part in answer.segments} == {(-0.25, 0, 0)}
    assert answer.segments[0].compression_ratio == pytest.approx(13 / 21)


async def test_sentences_in_a_language_without_blanks_are_joined_without(door: APIRouter, ear: ScriptedEar):
    ear.lines, ear.language = ["こんにちは。", "元気です。"], "ja"
    assert (await answered(door)).text == "こんにちは。元気です。"


async def test_events_come_as_it_is_heard_and_add_up(door: APIRouter):
    events = await answered(door, stream=True)
    assert [event.type for event in events] == ["transcript.text.delta"] * 2 + ["transcript.text.done"]
    assert [event.delta for event in events[:2]] == ["Good morning.", " Two & <three>."]
    assert events[2].text == "Good morning. Two & <three>."


async def test_silence_says_nothing(door: APIRouter, ear: ScriptedEar):
    silent = ("silent.wav", recording(3.0))
    assert (await answered(door, file=silent)).text == ""
    assert await answered(door, file=silent, response_format="vtt") == "WEBVTT\n\n"
    verbose = await answered(door, file=silent, response_format="verbose_json")
    assert (verbose.text, verbose.segments, verbose.language) == ("", [], "")
    assert [event.type for event in await answered(door, file=silent, stream=True)] == ["transcript.text.done"]
    assert ear.opened == []


async def test_an_utterance_without_words_is_no_segment(door: APIRouter, ear: ScriptedEar):
    ear.lines = ["", "Good morning."]
    answer = await answered(door, response_format="verbose_json")
    assert [(part.id, part.start, part.text) for part in answer.segments] == [(0, 4.096, "Good morning.")]


# ------------------------------------------------------------------------------- what goes wrong

BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "a format there is not": ({"response_format": "diarized_json"}, "response_format", "'verbose_json'"),
    "subtitles as events": ({"response_format": "srt", "stream": "true"}, "response_format", "'json' or 'text'"),
    "a stream of maybe": ({"stream": "maybe"}, "stream", "'true'"),
    "a language there is not": ({"language": "xx"}, "language", "'en', 'de', 'ja'"),
    "a prompt too long": ({"prompt": "x" * 5000}, "prompt", "at most 4096"),
    "times of words": ({"timestamp_granularities[]": "word"}, "timestamp_granularities", "'segment'"),
    "log probabilities in subtitles": ({"include[]": "logprobs", "response_format": "srt"}, "include", "'json' only"),
    "log probabilities in events": ({"include[]": "logprobs", "stream": "true"}, "include", "'stream'"),
    "something else to include": ({"include[]": "speakers"}, "include", "'logprobs' only"),
}


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.replace(" ", "-"))
async def test_bad_input_is_named_with_what_is_allowed(door: APIRouter, ear: ScriptedEar, case: str):
    fields, param, hint = BAD[case]
    async with direct(door) as client:
        answer = await client.post("/v1/audio/transcriptions", files={"file": TWO}, data={"model": "any", **fields})
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert hint in error["message"]
    assert ear.opened == []


async def test_a_body_that_is_not_such_a_form(door: APIRouter):
    path = "/v1/audio/transcriptions"
    async with direct(door) as client:
        for answer, code, param, hint in (
            (await client.post(path, json={"model": "any"}), "invalid_multipart", None, "multipart/form-data"),
            (
                await client.post(path, content=b"x", headers={"content-type": "multipart/form-data"}),
                "invalid_multipart",
                None,
                "boundary",
            ),
            (
                await client.post(path, files={"other": TWO}),
                "missing_required_parameter",
                "file",
                "'file'",
            ),
            (
                await client.post(path, files={"other": TWO}, data={"file": "two.wav"}),
                "invalid_value",
                "file",
                "uploaded file",
            ),
            (await client.post(path, files=[("file", TWO), ("file", TWO)]), "invalid_multipart", None, "1"),
            (await client.post(path, files={"file": b"no sound" * 100}), "invalid_audio", "file", "webm"),
            (await client.post(path, files={"file": b""}), "invalid_audio", "file", "webm"),
        ):
            error = answer.json()["error"]
            assert (answer.status_code, error["code"], error["param"]) == (400, code, param)
            assert hint in error["message"]


@pytest.mark.parametrize("charset", ["unicode_escape", "raw_unicode_escape", "undefined", "punycode"])
async def test_the_fields_of_a_form_are_in_a_charset_of_forms(door: APIRouter, ear: ScriptedEar, charset: str):
    """Each of these is a codec of Python's that fails, or decodes to what cannot be repeated in an answer."""
    body = b'--x\r\nContent-Disposition: form-data; name="response_format"\r\n\r\n\\ud800.\r\n--x--\r\n'
    async with direct(door) as client:
        headers = {"content-type": f"multipart/form-data; boundary=x; charset={charset}"}
        answer = await client.post("/v1/audio/transcriptions", content=body, headers=headers)
    assert answer.status_code == 400
    assert "charset of the form's fields must be one of 'utf-8'" in answer.json()["error"]["message"]


async def test_the_type_of_a_form_is_understood_however_it_is_written(door: APIRouter):
    form = httpx2.Request("POST", "http://test", files={"file": TWO})
    kind = form.headers["content-type"].replace("multipart/form-data", "Multipart/Form-Data; charset=UTF-8")
    async with direct(door) as client:
        answer = await client.post("/v1/audio/transcriptions", content=form.read(), headers={"content-type": kind})
    assert answer.status_code == 200


async def test_a_file_that_cannot_be_read_is_a_status_even_of_a_stream(door: APIRouter):
    with pytest.raises(openai.BadRequestError, match="not a sound file"):
        await answered(door, file=("x.wav", b"no sound"), stream=True)


@pytest.mark.parametrize("size", [25 * 2**20 + 1, 27 * 2**20])
@pytest.mark.parametrize("declared", [True, False])
async def test_a_file_over_25_mib_is_refused_and_the_next_one_is_heard(door: APIRouter, size: int, declared: bool):
    async with http(door) as client:
        request = client.build_request("POST", "/v1/audio/transcriptions", files={"file": bytes(size)})
        body = b"".join(request.stream)

        async def pieces() -> AsyncIterator[bytes]:
            for start in range(0, len(body), 2**18):
                yield body[start : start + 2**18]

        kind = {"content-type": request.headers["content-type"]}
        answer = await client.post(request.url, content=body if declared else pieces(), headers=kind)
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")
        answer = await client.post("/v1/audio/transcriptions", files={"file": TWO})
        assert answer.json()["text"] == "Good morning. Two & <three>."


async def test_a_file_of_25_mib_is_heard(door: APIRouter):
    padded = TWO + b"LIST" + (25 * 2**20 - len(TWO) - 8).to_bytes(4, "little")
    padded += bytes(25 * 2**20 - len(padded))
    assert (await answered(door, file=("large.wav", padded))).text == "Good morning. Two & <three>."


async def test_engines_that_cannot_are_a_status(door: APIRouter, ear: ScriptedEar):
    ear.lines = [CapacityError("too many wait")]
    with pytest.raises(openai.RateLimitError, match="too many wait"):
        await answered(door)
    ear.heard.clear()
    ear.lines = [EngineError("x", "the ear fell off")]
    with pytest.raises(openai.InternalServerError, match="the ear fell off") as failed:
        await answered(door, stream=True)
    assert failed.value.status_code == 503


async def test_an_engine_that_fails_in_the_middle_of_a_stream_says_so_in_it(door: APIRouter, ear: ScriptedEar):
    ear.lines = ["Good morning.", EngineError("x", "the ear fell off")]
    async with sdk(door) as client:
        stream = await client.audio.transcriptions.create(file=("two.wav", TWO), model="any", stream=True)
        events = aiter(stream)
        assert (await anext(events)).delta == "Good morning."
        with pytest.raises(openai.APIError, match="the ear fell off"):
            await anext(events)


# --------------------------------------------------------------------------------- ending early


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_ends_the_work(stream: bool):
    ear = ScriptedEar([], stuck=True)
    async with asyncio.timeout(60), sdk(audio.router(Engines(ear), "", "en")) as client:
        asking = asyncio.create_task(
            client.audio.transcriptions.create(file=("two.wav", TWO), model="any", stream=stream)
        )
        await ear.begun.wait()
        asking.cancel()
    # The server ended, and had to wait for all requests.
    assert ear.closed == 1


async def test_whoever_may_not_come_in_uploads_nothing():
    read: list[bool] = []

    async def guard(request: Request) -> None:
        read.append(request._stream_consumed)
        raise ClientError("invalid_value", "You may not come in.")

    ear = ScriptedEar([])
    async with http(audio.router(Engines(ear), "", "en", [Depends(guard)])) as client:
        for path in ("transcriptions", "speech"):
            answer = await client.post(f"/v1/audio/{path}", files={"file": TWO})
            assert (answer.status_code, answer.json()["error"]["message"]) == (400, "You may not come in.")
    assert read == [False, False]


def test_places_are_given_up_to_a_limit_and_taken_back():
    places = Places(2, "uploads")
    with places.take():
        with places.take(), pytest.raises(CapacityError, match="2 uploads"), places.take():
            pass
        with places.take():
            pass


@pytest.mark.parametrize("kind", ["mp3", "ogg", "opus", "flac", "m4a", "webm"])
async def test_a_compressed_upload_is_heard(door: APIRouter, kind: str):
    tone = 9000 * np.sin(2 * np.pi * 500 * np.arange(48_000) / 48_000)
    sound = np.concatenate([np.zeros(24_000, np.int16), tone.astype(np.int16)])
    answer = await answered(door, file=(f"a.{kind}", encoded(sound, 48_000, kind)), response_format="verbose_json")
    assert answer.text == "Good morning."
    assert answer.segments[0].start == pytest.approx(0.5, abs=0.1)
