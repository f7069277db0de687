"""From a segment of text to the pieces that a voice speaks one by one."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from models.tts.alignment import find_words, sounds_of, word_ends
from models.tts.spoken_form import spoken_forms

Phonemize = Callable[[str], list[list[str]]]
"""Text to the phonemes of each of its sentences, as piper gives them."""

_TOKEN = re.compile(r"\S+")
_PAUSE_S = {".": 0.26, "!": 0.26, "?": 0.26, ";": 0.18, ":": 0.18, ",": 0.14}
_SHORT_PAUSE_S = 0.07
# About 14 seconds. Memory and time to the first sound grow with a piece, and no voice has learnt longer ones.
_MAX_PHONEMES = 240
_MIN_PHONEMES = 80


@dataclass(frozen=True, slots=True)
class Piece:
    """A sentence, or a part of one that is too long. words: (offset in the text behind a word, number of phonemes
    spoken when it is over). pause_s: the silence to leave behind it at normal speed."""

    phonemes: tuple[str, ...]
    words: tuple[tuple[int, int], ...]
    pause_s: float


def plan_speech(text: str, language: str, phonemize: Phonemize, say: Callable[[str], str]) -> list[Piece]:
    """The pieces of a text, none if there is nothing to pronounce in it. say: the sounds of a short text alone."""
    matches = list(_TOKEN.finditer(text))
    forms = spoken_forms([match.group() for match in matches], language)
    spoken, behind = "", 0
    for match, form in zip(matches, forms, strict=True):
        spoken += text[behind : match.start()] + form
        behind = match.end()
    sentences = [phonemes for phonemes in phonemize(spoken) if sounds_of(phonemes)[0]]
    if not sentences:
        return []
    tokens = [(match.end(), form) for match, form in zip(matches, forms, strict=True)]
    ends = word_ends(sentences, find_words(tokens, say))
    return [piece for each in zip(sentences, ends, strict=True) for piece in _pieces(*each)]


def _pieces(phonemes: list[str], words: list[tuple[int, int]]) -> list[Piece]:
    """The sentence in parts of at most _MAX_PHONEMES, cut behind a clause if possible, else between words."""
    pieces: list[Piece] = []
    start = 0
    while start < len(phonemes):
        end = _cut(phonemes, start)
        # A word is spoken where its end is; in the last part also what has no sounds of its own.
        inside = [(at, spoken - start) for at, spoken in words if start < spoken <= end or spoken <= start == 0]
        part = phonemes[start:end]
        if pieces and not sounds_of(part)[0]:
            break
        mark = next((phoneme for phoneme in reversed(part) if phoneme != " "), "")
        pieces.append(Piece(tuple(part), tuple(inside), _PAUSE_S.get(mark, _SHORT_PAUSE_S)))
        start = end
    return pieces


def _cut(phonemes: list[str], start: int) -> int:
    if len(phonemes) - start <= _MAX_PHONEMES:
        return len(phonemes)
    window = range(start + _MAX_PHONEMES - 2, start + _MIN_PHONEMES, -1)
    for marks in (",;:", " "):
        for index in window:
            if phonemes[index] in marks:
                return index + 2 if phonemes[index + 1] == " " else index + 1
    return start + _MAX_PHONEMES
