"""Words that a listener says without wanting the floor: "mm-hm", "ja genau", "I see".

What is said over an answer stops it only by words beside these. Said into the silence behind an answer they are words
like any others: there, "yes" is one.
"""

from __future__ import annotations

import re
from itertools import takewhile

_SURE = 0.8
"""Confidence from which one transcript is enough."""

_SOUNDS = "mm mmm hm hmm mhm mmhm mhmm uh uhuh huh aha ah ahh oh ooh eh ehm em um uhm äh ähm öh hum euh"
_REPLIES = (
    # en, de
    "yeah yes yep yup okay ok right sure alright good great fine exactly cool ja jaja jo genau gut klar stimmt"
    " richtig okey schön prima super achso aso sicher"
    # fr, es, it
    " oui ouais accord bien exactement voilà sí si vale claro bueno exacto sì certo bene esatto giusto"
    # nl, pl, pt
    " hoor precies goed juist oké oke tak dobrze jasne dokładnie rozumiem sim pois exato"
)
_WORDS = frozenset(_SOUNDS.split()) | frozenset(_REPLIES.split())
_PHRASES = re.compile(
    r"\b(i see|got it|of course|all right|thank you|uh huh|mm hm|ach so|alles klar|ich verstehe|na ja|d'accord|bien sûr"
    r"|je vois|de acuerdo|por supuesto|ya veo|ho capito|va bene|d'accordo|natuurlijk|ik snap het|no tak|está bem)\b"
)
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def meant_words(text: str) -> int:
    """How many words of ``text`` are no such words."""
    return sum(word not in _WORDS for word in _words(text))


def meant_so_far(text: str, before: str, confidence: float) -> int:
    """How many words of an unfinished utterance are surely meant: of a transcript that is sure of itself, or else those
    that the one before it had begun with, too. What a few tenths of a second sound like is often another word, and the
    last word may be the beginning of one: "gena" of "genau"."""
    words = _words(text)
    if confidence < _SURE:
        words = [
            word for word, _ in takewhile(lambda pair: pair[0] == pair[1], zip(words, _words(before), strict=False))
        ]
    elif words and any(known.startswith(words[-1]) for known in _WORDS):
        words.pop()
    return sum(word not in _WORDS for word in words)


def _words(text: str) -> list[str]:
    plain = text.lower().replace("-", " ").replace("’", "'")
    return _WORD.findall(_PHRASES.sub(" ", plain))
