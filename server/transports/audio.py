"""The doors for recordings, over the same engines as the calls: POST /v1/audio/transcriptions and /speech."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any, Protocol

import orjson
import pybase64
from fastapi import APIRouter, Request, Response
from fastapi.params import Depends

from models.base import Voice
from server.runtime.runner import Engines
from server.transports.media import media_type
from server.transports.rest import ApiRoute, EventStream, Places, Stream, event, read_json, while_connected
from server.transports.speech import SpeechWish, choose_voice, read_speech, speak
from server.transports.transcription import (
    Recording,
    Segment,
    TranscriptionWish,
    as_json,
    as_text,
    as_verbose_json,
    read_upload,
    transcribe,
    with_logprobs,
)

_AT_ONCE = 32


class Counted(Protocol):
    """Who is asking, as far as audio is counted."""

    def heard(self, seconds: float) -> None:
        """Raises CapacityError when the day's audio is used up."""
        ...

    def spoken(self, seconds: float) -> None: ...


class _Uncounted:
    def heard(self, seconds: float) -> None: ...
    def spoken(self, seconds: float) -> None: ...


def router(
    engines: Engines,
    voice: str,
    language: str | None,
    guards: Sequence[Depends] = (),
    who: Callable[..., Any] = _Uncounted,
) -> APIRouter:
    """voice, language: what is spoken with when a client names a voice that is not here. guards: what must let a
    request pass before it is read. who: a dependency that says who asks, a ``Counted``."""
    asking = Depends(who)
    routes = APIRouter(route_class=ApiRoute, dependencies=list(guards))
    uploads = Places(_AT_ONCE, "uploads")
    recordings = Places(_AT_ONCE, "recordings")
    speeches = Places(_AT_ONCE, "requests for speech")

    @routes.post("/v1/audio/transcriptions")
    async def create_transcription(request: Request, caller: Counted = asking) -> Response:  # type: ignore[assignment]
        """The words of a recording."""
        caller.heard(0.0)
        with uploads.take():
            wish = await read_upload(request, engines.stt.languages)
        if wish.stream:
            return EventStream(_transcript_events(engines, wish, recordings, caller))
        recording = await while_connected(request.receive, _transcribe(engines, wish, recordings, caller))
        if wish.response_format in ("json", "verbose_json"):
            answer = as_json(recording) if wish.response_format == "json" else as_verbose_json(recording)
            if wish.logprobs:
                answer = with_logprobs(answer, recording)
            return Response(orjson.dumps(answer), media_type="application/json")
        return Response(as_text(recording, wish.response_format), media_type="text/plain")

    @routes.post("/v1/audio/speech")
    async def create_speech(request: Request, caller: Counted = asking) -> Response:  # type: ignore[assignment]
        """A text, spoken."""
        caller.heard(0.0)
        wish = read_speech(await read_json(request))
        speaker = choose_voice(engines.tts, wish.voice, voice, language)
        if wish.events:
            return EventStream(_speech_events(engines, speaker, wish, speeches, caller))
        return Stream(_speech(engines, speaker, wish, speeches, caller), media_type(wish.response_format))

    return routes


async def _segments(
    engines: Engines, wish: TranscriptionWish, places: Places, recording: Recording, caller: Counted
) -> AsyncGenerator[Segment, None]:
    try:
        with places.take():
            async with aclosing(transcribe(engines.vad, engines.stt, wish, recording, caller.heard)) as segments:
                async for segment in segments:
                    yield segment
    finally:
        await wish.file.close()


async def _transcribe(engines: Engines, wish: TranscriptionWish, places: Places, caller: Counted) -> Recording:
    recording = Recording(wish.language)
    async with aclosing(_segments(engines, wish, places, recording, caller)) as segments:
        async for _ in segments:
            pass
    return recording


async def _transcript_events(
    engines: Engines, wish: TranscriptionWish, places: Places, caller: Counted
) -> AsyncGenerator[bytes, None]:
    recording = Recording(wish.language)
    async with aclosing(_segments(engines, wish, places, recording, caller)) as segments:
        async for segment in segments:
            yield event({"type": "transcript.text.delta", "delta": segment.delta})
    yield event({"type": "transcript.text.done", "text": recording.text})


async def _speech(
    engines: Engines, voice: Voice, wish: SpeechWish, places: Places, caller: Counted
) -> AsyncGenerator[bytes, None]:
    with places.take():
        async with aclosing(speak(engines.tts, voice, wish, caller.spoken)) as chunks:
            async for chunk in chunks:
                yield chunk


async def _speech_events(
    engines: Engines, voice: Voice, wish: SpeechWish, places: Places, caller: Counted
) -> AsyncGenerator[bytes, None]:
    async with aclosing(_speech(engines, voice, wish, places, caller)) as chunks:
        async for chunk in chunks:
            yield event({"type": "speech.audio.delta", "audio": pybase64.b64encode_as_string(chunk)})
    # Speech is not made of tokens here, so none are counted.
    yield event(
        {"type": "speech.audio.done", "usage": dict.fromkeys(("input_tokens", "output_tokens", "total_tokens"), 0)}
    )
