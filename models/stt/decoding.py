"""Requests to the two workers of a Whisper engine: the one that listens and the one that decodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from faster_whisper.tokenizer import Tokenizer  # type: ignore[import-untyped]

from models.base import Priority, Urgency
from models.batching import Batcher
from models.stt.features import SAMPLE_RATE, Floats
from models.stt.pieces import VAD_FRAME, Hearing, Piece
from models.stt.text import Tokens, believable

_LEAST_SPEECH = 5
"""32 ms frames of speech below which a piece says nothing: a click, a cough."""
_TOKEN_LIMIT = 224
_SHORT = 1.0
"""Seconds of speech by which a language is hard to tell: half the doubt is allowed."""


@dataclass(frozen=True, slots=True)
class ListenRequest:
    """Bring a turn's frames up to sample ``position``; the rest as in Hearing.pieces."""

    hearing: Hearing
    position: int
    fixed_to: int
    forget: int


@dataclass(frozen=True, slots=True)
class DecodeRequest:
    """Decode one piece.

    mel: [frames, bands]. window: frames of the encoder. language None: to be detected; expected unless it is another
    with a probability of floor. prompt: tokens in front of the start of the transcript. prefix: tokens that the
    transcript starts with. max_tokens: of the transcript. logprobs: whether those of single tokens are wanted.
    """

    mel: Floats
    window: int
    language: str | None
    prompt: Tokens
    prefix: Tokens
    max_tokens: int
    expected: str | None = None
    floor: float = 0.0
    logprobs: bool = False


@dataclass(frozen=True, slots=True)
class Decoded:
    """tokens: of the text, those of the prefix included. avg_logprob: per token, 0 without any. logprobs: of each
    token, if wanted."""

    tokens: Tokens
    language: str
    language_probability: float
    avg_logprob: float
    no_speech_prob: float
    logprobs: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Workers:
    """What the utterances of one engine share.

    window: encoder frames for a piece of that many frames. tokenizer: for a language.
    """

    name: str
    listen: Batcher[ListenRequest, list[Piece]]
    decode: Batcher[DecodeRequest, Decoded]
    hearing: Callable[[], Hearing]
    window: Callable[[int], int]
    tokenizer: Callable[[str], Tokenizer]


@dataclass(frozen=True, slots=True)
class Said:
    """What a piece says, decoded when it ended at sample ``end`` and held that many seconds of speech.

    language None: nothing was worth decoding.
    """

    number: int
    end: int
    speech_seconds: float = 0.0
    text: str = ""
    tokens: Tokens = ()
    avg_logprob: float = 0.0
    language: str | None = None
    language_probability: float = 0.0
    logprobs: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Language:
    """given: the turn's. None: to be detected, and ``expected`` where the detection is not as sure as ``floor``."""

    given: str | None
    expected: str | None = None
    floor: float = 0.0


async def say(
    workers: Workers,
    piece: Piece,
    *,
    language: Language,
    prompt: Tokens,
    prefix: Tokens,
    priority: Priority | Urgency,
    logprobs: bool = False,
) -> Said:
    """Decode a piece, unless it holds no speech. Its text starts with the prefix, and is no more than that when the
    decode is not to be believed."""
    if piece.speech_frames < _LEAST_SPEECH and not prefix:
        return Said(piece.number, piece.end)
    seconds = piece.speech_frames * VAD_FRAME / SAMPLE_RATE
    request = DecodeRequest(
        mel=piece.mel,
        window=workers.window(len(piece.mel)),
        language=language.given,
        expected=language.expected,
        floor=(1 + language.floor) / 2 if seconds < _SHORT else language.floor,
        prompt=prompt,
        prefix=prefix,
        max_tokens=min(len(prefix) + 16 + round(25 * seconds), _TOKEN_LIMIT),
        logprobs=logprobs,
    )
    decoded = await workers.decode.submit(request, priority)
    tokenizer = workers.tokenizer(decoded.language)
    tokens = decoded.tokens
    text = tokenizer.decode(list(tokens)).strip()
    if not believable(
        text, speech_seconds=seconds, avg_logprob=decoded.avg_logprob, no_speech_prob=decoded.no_speech_prob
    ):
        tokens = prefix
        text = tokenizer.decode(list(tokens)).strip()
    return Said(
        piece.number,
        piece.end,
        seconds,
        text,
        tokens,
        decoded.avg_logprob,
        decoded.language,
        decoded.language_probability,
        decoded.logprobs[: len(tokens)],
    )
