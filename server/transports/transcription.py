"""Transcribing a recording: cut at its pauses, each piece heard as an utterance, and written as the client wants."""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from models.base import Pcm16, Priority, Transcriber, Transcript, VoiceActivityDetector
from server.errors import ClientError
from server.transports.media import HEARD_RATE, AudioFile
from server.transports.pauses import FRAME, PauseCutter, Piece
from server.transports.rest import bounded, in_thread
from server.transports.wire_fields import Fields, listed

MAX_FILE = 25 * 2**20
_MAX_FORM = MAX_FILE + 2**20
"""Room for the other fields, and for the form's own marks."""
_CHARSETS = (b"utf-8", b"us-ascii", b"iso-8859-1")
"""Of a form's fields. Of the others that Python knows, some fail in ways of their own, or give what is no Unicode."""
_MAX_PROMPT = 4096
_FORMATS = ("json", "text", "srt", "vtt", "verbose_json")
_FLAGS = {"true": True, "1": True, "false": False, "0": False}
_SURE = 0.9
"""Language probability from which on the rest of the recording is taken to be in that language too."""
_UNSPACED = ("ja", "lo", "my", "th", "yue", "zh")
"""Languages that put no blank between sentences."""


@dataclass(frozen=True, slots=True)
class TranscriptionWish:
    """What a client asks for. language: ISO 639-1, None to find out. logprobs: whether those of tokens are told."""

    file: UploadFile
    language: str | None
    prompt: str | None
    response_format: str
    stream: bool
    logprobs: bool = False


@dataclass(frozen=True, slots=True)
class Segment:
    """What was said between two pauses. start, end: seconds. speech: probability that it is speech at all. delta: its
    text, with the blank before it where one belongs."""

    start: float
    end: float
    speech: float
    transcript: Transcript
    delta: str


@dataclass(slots=True)
class Recording:
    """What has been heard of a recording. language: as asked for, or as heard first. seconds: of sound, so far."""

    language: str | None
    segments: list[Segment] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(segment.delta for segment in self.segments)


# ---------------------------------------------------------------------------------------- reading


async def read_upload(request: Request, languages: Sequence[str]) -> TranscriptionWish:
    """The form of a transcription request; the file must be closed by the caller. languages: that the transcriber
    knows. Raises ClientError."""
    _check_form_type(request.headers.get("content-type", ""))
    try:
        form = await bounded(request, _MAX_FORM).form(max_files=1)
    except HTTPException as error:
        raise ClientError("invalid_multipart", f"The form cannot be read: {error.detail}") from None
    try:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            if file is None:
                raise ClientError("missing_required_parameter", "Missing required parameter: 'file'.", "file")
            raise ClientError("invalid_value", "Invalid 'file': must be an uploaded file, not a text field.", "file")
        if (file.size or 0) > MAX_FILE:
            raise ClientError("request_too_large", f"Invalid 'file': larger than the {MAX_FILE} bytes allowed.", "file")
        fields = Fields({name: value for name, value in form.multi_items() if isinstance(value, str)})
        return _read_form(fields, file, languages, form.getlist("timestamp_granularities[]"), form.getlist("include[]"))
    except ClientError:
        await form.close()
        raise


def _check_form_type(content_type: str) -> None:
    media_type, options = parse_options_header(content_type)
    if media_type != b"multipart/form-data":
        raise ClientError("invalid_multipart", "The body must be multipart/form-data, with the recording as 'file'.")
    if options.get(b"charset", _CHARSETS[0]).lower() not in _CHARSETS:
        known = listed([name.decode() for name in _CHARSETS])
        raise ClientError("invalid_multipart", f"The charset of the form's fields must be one of {known}.")


def _read_form(
    fields: Fields, file: UploadFile, languages: Sequence[str], granularities: Sequence[Any], include: Sequence[Any]
) -> TranscriptionWish:
    response_format = fields.choice("response_format", _FORMATS) or "json"
    stream = _FLAGS.get(fields.choice("stream", tuple(_FLAGS)) or "false", False)
    if stream and response_format not in ("json", "text"):
        fields.reject("response_format", f"must be 'json' or 'text' with 'stream', not '{response_format}'.")
    if any(wanted != "segment" for wanted in granularities):
        fields.reject("timestamp_granularities", "this server gives the times of segments only: 'segment'.")
    if any(wanted != "logprobs" for wanted in include):
        fields.reject("include", "may hold 'logprobs' only.")
    if include and (stream or response_format != "json"):
        fields.reject("include", "log probabilities come with 'json' only, and not with 'stream'.")
    language = (fields.text("language") or "").lower().replace("_", "-").split("-")[0] or None
    if language is not None and language not in languages:
        fields.reject("language", f"must be one of {listed(languages)}, not '{fields.values['language']}'.")
    return TranscriptionWish(file, language, fields.text("prompt", _MAX_PROMPT), response_format, stream, bool(include))


# ---------------------------------------------------------------------------------------- hearing


async def transcribe(
    vad: VoiceActivityDetector,
    stt: Transcriber,
    wish: TranscriptionWish,
    recording: Recording,
    heard: Callable[[float], None],
) -> AsyncGenerator[Segment, None]:
    """The segments with words in them, as they are heard; they are gathered in ``recording`` as well.

    heard: told the seconds of sound as they are read; may raise CapacityError. Raises ClientError for a file that
    cannot be read, EngineError, CapacityError.
    """
    async with aclosing(_pieces(vad, wish.file, recording, heard)) as pieces:
        async for piece, pcm in pieces:
            transcript = await _hear(stt, pcm, recording.language, wish)
            if not transcript.text:
                continue
            if recording.language is None and transcript.language_probability >= _SURE:
                recording.language = transcript.language
            start, end = (frames * FRAME / HEARD_RATE for frames in (piece.start, piece.end))
            blank = " " if recording.segments and transcript.language not in _UNSPACED else ""
            segment = Segment(start, end, piece.probability, transcript, blank + transcript.text)
            recording.segments.append(segment)
            yield segment


async def _pieces(
    vad: VoiceActivityDetector, file: UploadFile, recording: Recording, heard: Callable[[float], None]
) -> AsyncGenerator[tuple[Piece, Pcm16], None]:
    """The stretches of speech with their samples at 16 kHz; only what a piece may still need is kept."""
    audio = AudioFile(file.file)
    try:
        stream, cutter = vad.open(HEARD_RATE), PauseCutter()
        kept, first, length = np.zeros(0, np.int16), 0, 0
        while len(pcm := await in_thread(audio.read)):
            kept, length = np.concatenate((kept, pcm)), length + len(pcm)
            recording.seconds = length / HEARD_RATE
            heard(len(pcm) / HEARD_RATE)
            for piece in cutter.push(await stream.push(pcm)):
                yield piece, kept[piece.heard_from * FRAME - first : piece.heard_to * FRAME - first]
            dropped = max(0, cutter.needed_from * FRAME - first)
            kept, first = kept[dropped:], first + dropped
        for piece in cutter.flush():
            yield piece, kept[piece.heard_from * FRAME - first :]
    finally:
        audio.close()


async def _hear(stt: Transcriber, pcm: Pcm16, language: str | None, wish: TranscriptionWish) -> Transcript:
    utterance = stt.open(language=language, prompt=wish.prompt, logprobs=wish.logprobs)
    try:
        utterance.push(pcm)
        # Live callers go first: their finals before this, their partials in turn with it.
        return await utterance.final(Priority.PARTIAL)
    finally:
        utterance.close()


# ---------------------------------------------------------------------------------------- writing


def as_json(recording: Recording) -> dict[str, Any]:
    """``json``."""
    return {"text": recording.text, "usage": _usage(recording)}


def with_logprobs(answer: dict[str, Any], recording: Recording) -> dict[str, Any]:
    """``json`` and the log probability of each token."""
    tokens = [token for segment in recording.segments for token in segment.transcript.logprobs]
    told = [{"token": token.text, "bytes": list(token.text.encode()), "logprob": token.logprob} for token in tokens]
    return {**answer, "logprobs": told}


def as_verbose_json(recording: Recording) -> dict[str, Any]:
    """``verbose_json``: language is an ISO 639-1 code; tokens are not told by the transcriber, so each list of them is
    empty; a compression ratio is that of Whisper's paper, text to its zlib form in bytes."""
    segments = [
        {
            "id": number,
            "seek": round(segment.start * 100),
            "start": round(segment.start, 3),
            "end": round(segment.end, 3),
            "text": segment.delta,
            "tokens": [],
            "temperature": 0.0,
            "avg_logprob": segment.transcript.avg_logprob,
            "compression_ratio": _compression(segment.transcript.text),
            "no_speech_prob": 1 - segment.speech,
        }
        for number, segment in enumerate(recording.segments)
    ]
    heard = recording.language or (recording.segments[0].transcript.language if recording.segments else "")
    return {
        "task": "transcribe",
        "language": heard,
        "duration": round(recording.seconds, 3),
        "text": recording.text,
        "segments": segments,
        "usage": _usage(recording),
    }


def as_text(recording: Recording, response_format: str) -> str:
    """``text``, ``srt`` (SubRip) or ``vtt`` (W3C WebVTT)."""
    if response_format == "text":
        return f"{recording.text}\n"
    if response_format == "srt":
        return "".join(
            f"{number}\n{_clock(segment.start, ',')} --> {_clock(segment.end, ',')}\n{segment.transcript.text}\n\n"
            for number, segment in enumerate(recording.segments, 1)
        )
    cues = (
        f"{_clock(segment.start, '.')} --> {_clock(segment.end, '.')}\n{_vtt_escaped(segment.transcript.text)}\n\n"
        for segment in recording.segments
    )
    return "WEBVTT\n\n" + "".join(cues)


def _usage(recording: Recording) -> Mapping[str, Any]:
    return {"type": "duration", "seconds": round(recording.seconds, 3)}


def _clock(seconds: float, point: str) -> str:
    minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}{point}{milliseconds % 1000:03}"


def _vtt_escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _compression(text: str) -> float:
    data = text.encode()
    return len(data) / len(zlib.compress(data))
