"""What may be said of a decode: which of its words are settled, and whether to believe it at all."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from itertools import takewhile

from faster_whisper.tokenizer import Tokenizer  # type: ignore[import-untyped]

from models.base import TokenLogprob

Tokens = tuple[int, ...]

_WITHOUT_SPACES = frozenset({"zh", "ja", "th", "lo", "my", "yue"})
_STOCK_PHRASES = (
    "thank you for watching",
    "thanks for watching",
    "please subscribe",
    "subtitles by",
    "untertitel",
    "vielen dank fürs zuschauen",
    "sous-titres",
    "subtítulos",
)
"""Captions of films that Whisper has learned to give for silence."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """words: without case and punctuation. ends: for each word, how many tokens reach to its last letter."""

    tokens: Tokens = ()
    words: tuple[str, ...] = ()
    ends: tuple[int, ...] = ()


def hypothesis(tokens: Tokens, tokenizer: Tokenizer) -> Hypothesis:
    words: list[str] = []
    ends: list[int] = []
    position = 0
    for text, pieces in zip(*tokenizer.split_to_word_tokens(list(tokens)), strict=True):
        position += len(pieces)
        if bare := "".join(letter for letter in text.casefold() if letter.isalnum()):
            words.append(bare)
            ends.append(position)
    return Hypothesis(tokens, tuple(words), tuple(ends))


def agreed(before: Hypothesis, now: Hypothesis) -> Tokens:
    """LocalAgreement-2 (Macháček et al. 2023): tokens of ``now`` up to the last word that two decodes in a row share.

    The last word of a decode is never settled, because it may be half a word, nor is the punctuation behind a word.
    """
    pairs = zip(before.words[:-1], now.words[:-1], strict=False)
    count = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return now.tokens[: now.ends[count - 1]] if count else ()


def with_logprobs(tokens: Tokens, logprobs: tuple[float, ...], tokenizer: Tokenizer) -> list[TokenLogprob]:
    """Each token as text. Tokens that hold parts of one character are one, with the log probability of all of them."""
    found: list[TokenLogprob] = []
    waiting: list[int] = []
    together = 0.0
    for token, logprob in zip(tokens, logprobs, strict=True):
        waiting.append(token)
        together += logprob
        text = tokenizer.decode(waiting)
        if not text.endswith("\N{REPLACEMENT CHARACTER}"):
            found.append(TokenLogprob(text, together))
            waiting, together = [], 0.0
    return found


def join(texts: list[str], language: str) -> str:
    """The text of consecutive pieces; the text of some of them is a prefix of the text of more."""
    return ("" if language in _WITHOUT_SPACES else " ").join(text for text in texts if text)


def believable(text: str, *, speech_seconds: float, avg_logprob: float, no_speech_prob: float) -> bool:
    """False for what Whisper invents over noise and what it repeats without end.

    speech_seconds: how much of the audio holds speech. The first rule and its limits are Whisper's own.
    """
    if no_speech_prob > 0.6 and avg_logprob < -1.0:
        return False
    if len(text) > 12 + 30 * speech_seconds:
        return False
    data = text.encode()
    if len(data) > 80 and len(data) / len(zlib.compress(data)) > 2.4:
        return False
    doubtful = speech_seconds < 1 or avg_logprob < -0.7
    return not (doubtful and text.casefold().startswith(_STOCK_PHRASES))
