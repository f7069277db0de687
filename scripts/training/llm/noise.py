"""What a speech recogniser does to a caller's words."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

_UNIMPORTANT, _WEEKDAYS = (
    frozenset(words.split())
    for words in (
        "i would like to a an the please my is it for could you can me hello hi okay well so that and ich möchte gerne "
        "bitte ein eine einen mein meinen ist das die der den für könnten sie können mir hallo okay und noch hätte",
        "monday tuesday wednesday thursday friday saturday sunday montag dienstag mittwoch donnerstag freitag samstag "
        "sonntag",
    )
)
_FILLERS = {"en": ("uh", "um", "er", "well"), "de": ("äh", "ähm", "also", "hm")}
_EDGE = ".,?!"


@dataclass(frozen=True)
class Noise:
    """One recogniser's habits within a call."""

    lower: bool
    unpunctuated: bool

    @classmethod
    def draw(cls, rng: random.Random) -> Noise:
        return cls(lower=rng.random() < 0.65, unpunctuated=rng.random() < 0.75)

    def apply(self, text: str, language: str, rng: random.Random, keep: frozenset[str] = frozenset()) -> str:
        """keep: lower-case words that must stay whole (names, times)."""
        words: list[str] = []
        given = text.split()
        for word in given:
            bare = word.strip(_EDGE).lower()
            if bare in _UNIMPORTANT and bare not in keep and len(given) > 2:
                chance = rng.random()
                if chance < 0.08:
                    continue
                if chance < 0.12:
                    word = _misspelt(word, rng)
            elif bare in _WEEKDAYS and rng.random() < 0.08:
                word = _misspelt(word, rng)
            if rng.random() < 0.025 and bare not in keep:
                words.append(rng.choice(_FILLERS[language]))
            words.append(word)
        text = " ".join(words) or text
        if self.unpunctuated:
            text = re.sub(r"[.,?!]+(?=\s|$)", "", text)
        return text.lower() if self.lower else text


def _misspelt(word: str, rng: random.Random) -> str:
    """One inner letter lost, doubled or swapped with the next."""
    bare = word.rstrip(_EDGE)
    if len(bare) < 4:
        return word
    at = rng.randrange(1, len(bare) - 2)
    kind = rng.randrange(3)
    inner = ("", bare[at] * 2, bare[at + 1] + bare[at])[kind]
    return bare[:at] + inner + bare[at + (2 if kind == 2 else 1) :] + word[len(bare) :]
