"""Is the caller finished? What was said decides how long the silence behind it has to be (``semantic_vad``).

No model: the last words carry most of it. A sentence does not end in "and", "the" or "um", a question ends in its
question mark, a number that is being dictated goes on. A transcriber that has learned whole sentences likes to finish
one that is not: then it is less sure of the last word, or of the full stop. Whatever is not clear waits a middling
time, a little longer than most pauses for thought; nothing waits longer than the eagerness allows (OpenAI Realtime
API: low 8 s, medium and auto 4 s, high 2 s).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from server.core.facts import TokenLogprob


class Completeness(StrEnum):
    """How finished a turn sounds."""

    COMPLETE = "complete"
    UNCLEAR = "unclear"
    UNFINISHED = "unfinished"


@dataclass(frozen=True, slots=True)
class Holds:
    """Silence to wait for, in ms, by how finished the turn sounds."""

    complete: int
    unclear: int
    unfinished: int

    def for_(self, completeness: Completeness) -> int:
        """The wait for a turn that sounds like this."""
        return int(getattr(self, completeness.value))


HOLDS = {
    "high": Holds(150, 600, 2000),
    "medium": Holds(250, 1100, 4000),
    "low": Holds(450, 2000, 8000),
}
HOLDS["auto"] = HOLDS["medium"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_HESITATIONS = _words("um uh er erm hmm hm mm uhm äh ähm öh öhm euh heu ehm eh este yyy eee uhh ahm")

_OPEN_ENDS = {
    "en": _words(
        "and or but so because if when while although that which who whose to of in on at for with from by about"
        " into than as the a an my your his her its our their this these i we they he she is are was were am be"
        " been have has had will would can could should do does did not very i'm i'd i'll we're it's let's like"
        " want need between until before after per mister mrs doctor"
    ),
    "de": _words(
        "und oder aber weil wenn dass ob als während obwohl denn sondern bis zu von in im an am auf für mit aus"
        " bei nach über um durch gegen ohne der die das den dem des ein eine einen einem einer mein meine meinen"
        " ihr ihre ihren unser unsere ich wir er sie es ist sind war bin habe hat haben möchte würde kann könnte"
        " muss soll nicht sehr zwischen vom zum zur beim herr frau doktor also"
    ),
    "fr": _words(
        "et ou mais donc car si quand que qui dont à de du des en dans sur pour avec sans chez le la les un une"
        " mon ma mes votre vos notre je nous il elle est sont suis ai a avons voudrais peux très l' d' au aux"
    ),
    "es": _words(
        "y o pero porque si cuando que quien a de del en con por para sin sobre el la los las un una mi mis su"
        " sus nuestro yo es son está estoy tengo quiero quisiera puedo muy al entre hasta desde"
    ),
    "it": _words(
        "e o ma perché se quando che chi a di del della in con per senza su il lo la i gli le un una mio mia suo"
        " io è sono ho vorrei posso molto al alla tra fino da dal"
    ),
    "nl": _words(
        "en of maar want als omdat dat die wie te van in op aan voor met uit bij naar over door de het een mijn"
        " uw onze ik wij hij is zijn was ben heb heeft wil zou kan moet niet heel tussen tot"
    ),
    "pl": _words("i lub ale bo jeśli gdy że który do z w na o dla przez od po mój moja pan pani ja jest są mam chcę"),
    "pt": _words(
        "e ou mas porque se quando que quem a de do da em no na com por para sem sobre o os as um uma meu minha"
        " seu eu é são está estou tenho quero gostaria posso muito ao entre até"
    ),
}
_SHORT_TURNS = _words(
    "yes no yeah yep nope ok okay sure thanks hello hi goodbye bye correct exactly right stop ja nein doch"
    " gut danke hallo tschüss genau richtig stimmt oui non merci bonjour sí no gracias hola sì grazie ciao nee"
    " bedankt tak nie dziękuję sim não obrigado obrigada"
)
_WORD = re.compile(r"[^\W_]+(?:['’.:][^\W_]+)*")
_DIGITS = _words(
    "zero oh one two three four five six seven eight nine null eins zwei zwo drei vier fünf sechs sieben acht neun"
)
_DICTATED = 2
_ENOUGH_DIGITS = 6
_SURE = 0.75
"""Probability of every token of the last word and of what ends the sentence, from which on that is believed."""


def completeness(text: str, language: str | None, sure: float = 1.0) -> Completeness:
    """How finished a transcript sounds. language: ISO 639-1; another one than those known is judged by punctuation.
    sure: see ``ending_probability``."""
    words = [word.lower() for word in _WORD.findall(text)]
    if not words:
        return Completeness.UNCLEAR
    ending = text.rstrip()[-1]
    last = words[-1]
    if last in _HESITATIONS or text.rstrip().endswith(("...", "…", "-", "–", ",", ":")):
        return Completeness.UNFINISHED
    if len(words) <= 2 and last in _SHORT_TURNS:
        return Completeness.COMPLETE
    if last in _OPEN_ENDS.get(language or "", frozenset()):
        return Completeness.UNFINISHED
    if _DICTATED <= _trailing_digits(words) < _ENOUGH_DIGITS:
        return Completeness.UNFINISHED
    return Completeness.COMPLETE if ending in "?!.。？！" and sure >= _SURE else Completeness.UNCLEAR


def ending_probability(tokens: Sequence[TokenLogprob]) -> float:
    """Of the least likely token from the start of the last word on; 1 where nothing is known of any."""
    lowest = 0.0
    for token in reversed(tokens):
        lowest = min(lowest, token.logprob)
        if token.text.startswith(" "):
            break
    return math.exp(lowest)


def hold_ms(text: str, language: str | None, eagerness: str, sure: float = 1.0) -> int:
    """Silence after which a turn that says ``text`` is over, in ms."""
    return HOLDS[eagerness].for_(completeness(text, language, sure))


def longest_hold_ms(eagerness: str) -> int:
    """Silence after which any turn is over, in ms."""
    return HOLDS[eagerness].unfinished


def _trailing_digits(words: list[str]) -> int:
    """Numbers in a row at the end of the turn, as in a number that is dictated: "four two seven", "42 17"."""
    count = 0
    for word in reversed(words):
        if word not in _DIGITS and not word.isdigit():
            break
        count += 1
    return count
