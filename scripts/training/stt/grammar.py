"""Sentences from patterns: ``[a|b]`` is one of several texts, ``{slot}`` is filled from the language's table."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

Filler = Sequence[str] | Callable[[Random], str]

_PATTERNS = ("caller", "assistant", "everyday", "numbers", "spelt", "code")
_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Language:
    """What sentences of one language are made of.

    code: ISO 639-1. patterns: by kind of sentence. slots: what fills ``{name}``. words: for random sequences.
    joins: function words put between them.
    pseudo: onsets, vowels and codas of words that do not exist.
    """

    code: str
    patterns: Mapping[str, Sequence[str]]
    slots: Mapping[str, Filler]
    words: Sequence[str]
    joins: Sequence[str]
    pseudo: tuple[Sequence[str], Sequence[str], Sequence[str]]


def read_language(code: str, numbers: Mapping[str, Filler]) -> Language:
    """The language that ``CODE.txt`` beside this file describes; ``numbers`` are slots besides.

    A heading is ``== lines NAME`` (an entry a line) or ``== words NAME`` (entries between blanks); the name of a slot
    follows the word slot. An entry that is there twice is chosen twice as often.
    """
    sections: dict[str, list[str]] = {}
    for part in Path(__file__).with_name(f"{code}.txt").read_text(encoding="utf-8").split("== ")[1:]:
        heading, body = part.split("\n", 1)
        form, name = heading.split(" ", 1)
        sections[name] = body.split() if form == "words" else [line for line in body.splitlines() if line]
    slots = {name.removeprefix("slot "): one for name, one in sections.items() if name.startswith("slot ")}
    return Language(
        code=code,
        patterns={name: sections[name] for name in _PATTERNS},
        slots={**slots, **numbers},
        words=sections["vocabulary"],
        joins=sections["joins"],
        pseudo=(sections["onsets"], sections["vowels"], sections["codas"]),
    )


def expand(pattern: str, slots: Mapping[str, Filler], rng: Random) -> str:
    """The pattern with every choice made and every slot filled. Raises KeyError for an unknown slot."""

    def choose(match: re.Match[str]) -> str:
        return rng.choice(str(match[1]).split("|"))

    def fill(match: re.Match[str]) -> str:
        filler = slots[match[1]]
        return filler(rng) if callable(filler) else rng.choice(filler)

    text = pattern
    while "[" in text or "{" in text:
        while "[" in text:
            text = _CHOICE.sub(choose, text)
        text = _SLOT.sub(fill, text)
    return _tidy(text)


def _tidy(text: str) -> str:
    text = re.sub(r"\s+", " ", text).strip()
    text = re.sub(r"\s+([,.?!])", r"\1", text)
    text = re.sub(r"\bon (today|tomorrow|next|this)\b", r"\1", text)
    text = re.sub(r"\ba (?=[aeiou])", "an ", text)
    return text[:1].upper() + text[1:]


def random_words(language: Language, rng: Random) -> str:
    """Three to nine words in no sensible order, so that the recogniser cannot lean on known sentences."""
    said: list[str] = []
    for _ in range(rng.randint(3, 9)):
        if said and rng.random() < 0.25:
            said.append(rng.choice(language.joins))
        said.append(pseudo_word(language, rng) if rng.random() < 0.08 else rng.choice(language.words))
        if rng.random() < 0.08:
            said[-1] += ","
    text = " ".join(said).rstrip(",")
    return _tidy(text + rng.choice((".", ".", ".", ".", "?", "")))


def pseudo_word(language: Language, rng: Random) -> str:
    """A word that does not exist but could: onset, vowel, coda, once or twice."""
    onsets, vowels, codas = language.pseudo
    return "".join(
        rng.choice(onsets) + rng.choice(vowels) + (rng.choice(codas) if rng.random() < 0.7 else "")
        for _ in range(rng.randint(1, 2))
    )


def spelling(language: Language, rng: Random) -> str:
    """A name spelt letter by letter, or a code of letters and digits, said between a pattern's words."""
    if rng.random() < 0.6:
        name = expand(rng.choice(("{first}", "{last}")), language.slots, rng)
        letters = " ".join(name.upper())
        return expand(rng.choice(language.patterns["spelt"]), {"name": [name], "letters": [letters]}, rng)
    digits = [expand("{digit}", language.slots, rng).lower() for _ in range(rng.randint(2, 5))]
    letters = " ".join([*rng.sample("ABCDEFGHIKLMNOPRSTUVWXYZ", rng.randint(1, 3)), *digits])
    return expand(rng.choice(language.patterns["code"]), {"letters": [letters]}, rng)
