"""Cuts the chat model's words into segments to be spoken: a first short clause as early as it can stand alone,
then whole sentences.

A boundary is only taken when the text behind it has begun, so that "3.5", "14:30" and "Dr. Weber" stay whole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_FIRST_CLAUSE_WORDS = 3
_FIRST_CLAUSE_MAX_WORDS = 14
_MAX_CHARS = 240
_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s)|[。！？]|\n+")
_CLAUSE_END = re.compile(r"[,;–—](?=\s)|:(?=\s+[^\d\s])|[，、；：]")
"""A colon before a digit stays: what stands before a number says how it is read."""
_WORD = re.compile(r"\S+")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ABBREVIATIONS = _words(
    "dr mr mrs ms prof st no vs e.g i.e etc approx nr str tel ca bzw ggf inkl z.b u.a d.h usw evtl hr fr mme mlle sr"
    " sra p.ej dott sig"
)
_MONTHS = _words(
    "januar jänner februar märz april mai juni juli august september oktober november dezember jan feb apr jun jul aug"
    " sep okt nov dez"
)


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece to speak. start, end: its place in the whole text; text is what stands there, blanks stripped."""

    text: str
    start: int
    end: int


class Segmenter:
    """Feed deltas to ``push``, then call ``flush``; every non-blank character ends up in exactly one segment."""

    def __init__(self) -> None:
        self._text = ""
        self._offset = 0
        self._first = True

    def push(self, delta: str) -> list[Segment]:
        """Take more text; return the segments that it completed."""
        self._text += delta
        segments = []
        while (cut := self._boundary()) is not None:
            segments += self._take(cut)
        return segments

    def flush(self) -> list[Segment]:
        """The text is over: return what is left of it."""
        return self._take(len(self._text))

    def _take(self, cut: int) -> list[Segment]:
        piece, self._text = self._text[:cut], self._text[cut:]
        start = self._offset + len(piece) - len(piece.lstrip())
        self._offset += cut
        if not piece.strip():
            return []
        self._first = False
        return [Segment(piece.strip(), start, start + len(piece.strip()))]

    def _boundary(self) -> int | None:
        cut = self._sentence_end()
        if self._first:
            cut = _earliest(cut, self._first_clause_end())
        if cut is None and len(self._text) > _MAX_CHARS:
            clauses = [match.end() for match in _CLAUSE_END.finditer(self._text, 0, _MAX_CHARS)]
            cut = clauses[-1] if clauses else self._text.rfind(" ", 0, _MAX_CHARS)
            cut = cut if cut > 0 else _MAX_CHARS
        return cut

    def _sentence_end(self) -> int | None:
        for match in _SENTENCE_END.finditer(self._text):
            if self._ends_sentence(match):
                return match.end()
        return None

    def _ends_sentence(self, match: re.Match[str]) -> bool:
        if match.group() != ".":
            return bool(self._text[: match.end()].strip())
        following = _WORD.search(self._text, match.end())
        if following is None:
            return False
        before = self._text[: match.start()].split()
        word = before[-1].lower().lstrip("(\"'„“") if before else ""
        if word in _ABBREVIATIONS or (len(word) == 1 and word.isalpha()):
            return False
        # "am 3. Mai": the next word tells an ordinal from a number that ends a sentence, so it must be whole.
        if word.isdigit() and len(word) <= 2:
            ended = following.end() < len(self._text)
            return ended and following.group().rstrip(".,;!?").lower() not in _MONTHS
        return True

    def _first_clause_end(self) -> int | None:
        for match in _CLAUSE_END.finditer(self._text):
            if len(self._text[: match.start()].split()) >= _FIRST_CLAUSE_WORDS:
                return match.end()
        words = list(_WORD.finditer(self._text))
        return words[_FIRST_CLAUSE_MAX_WORDS - 1].end() if len(words) > _FIRST_CLAUSE_MAX_WORDS else None


def _earliest(one: int | None, other: int | None) -> int | None:
    return min(one, other) if one is not None and other is not None else (one if other is None else other)
