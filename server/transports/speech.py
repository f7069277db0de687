"""Speaking a text: cut into segments as a live answer is, synthesised one after the other, encoded as they come."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, closing
from dataclasses import dataclass
from functools import partial

from models.audio import Resampler
from models.base import Pcm16, Priority, Synthesizer, Voice
from server.core.segmenter import Segmenter
from server.errors import ClientError
from server.transports import media
from server.transports.rest import in_thread
from server.transports.wire_fields import Fields
from server.transports.wire_session import read_voice

_MAX_INPUT = 4096


@dataclass(frozen=True, slots=True)
class SpeechWish:
    """What a client asks for. voice: a name of ours, or one of another vendor's. events: server-sent events instead of
    a file."""

    text: str
    voice: str
    response_format: str
    speed: float
    events: bool


def read_speech(body: Fields) -> SpeechWish:
    """A request for speech. Raises ClientError."""
    text = body.needed("input", body.text("input", _MAX_INPUT))
    if not text.strip():
        body.reject("input", "must not be empty.")
    return SpeechWish(
        text=text,
        voice=read_voice(body) or "",
        response_format=body.choice("response_format", media.SPEECH_FORMATS) or "mp3",
        speed=body.number("speed", 0.25, 4.0) or 1.0,
        events=body.choice("stream_format", ("audio", "sse")) == "sse",
    )


def choose_voice(tts: Synthesizer, wanted: str, own: str, language: str | None) -> Voice:
    """The voice of that name; else ``own``, the operator's, in the operator's language."""
    named = tts.voice_for(wanted, None)
    return named if named.name.lower() == wanted.lower() else tts.voice_for(own, language)


async def speak(
    tts: Synthesizer, voice: Voice, wish: SpeechWish, spoken: Callable[[float], None]
) -> AsyncGenerator[bytes, None]:
    """The file, as it is made. spoken: told the seconds of speech in it. Raises ClientError for a text without anything
    to pronounce, EngineError, CapacityError."""
    resampler = Resampler(voice.sample_rate, media.SPOKEN_RATE)
    silent = True
    with closing(media.encoder(wish.response_format)) as encoder:
        async with aclosing(_samples(tts, voice, wish)) as pieces:
            async for pcm in pieces:
                silent = silent and not len(pcm)
                spoken(len(pcm) / voice.sample_rate)
                if data := await in_thread(partial(_encode, encoder, resampler, pcm)):
                    yield data
        if silent:
            raise ClientError("invalid_value", "Invalid 'input': it holds nothing to pronounce.", "input")
        if data := await in_thread(partial(_finish, encoder, resampler)):
            yield data


async def _samples(tts: Synthesizer, voice: Voice, wish: SpeechWish) -> AsyncGenerator[Pcm16, None]:
    """At the voice's rate."""
    segmenter = Segmenter()
    for segment in [*segmenter.push(wish.text), *segmenter.flush()]:
        # A caller on the line who waits for an answer goes first.
        stream = tts.synthesize(segment.text, voice, speed=wish.speed, priority=Priority.PREPARED)
        async with aclosing(stream) as chunks:
            async for chunk in chunks:
                yield chunk.pcm


def _encode(encoder: media.Encoder, resampler: Resampler, pcm: Pcm16) -> bytes:
    out = resampler.push(pcm)
    return encoder.encode(out) if len(out) else b""


def _finish(encoder: media.Encoder, resampler: Resampler) -> bytes:
    rest = resampler.flush()
    return (encoder.encode(rest) if len(rest) else b"") + encoder.finish()
