"""What is said, by whom and over which line: a plan of utterances that follows from a seed alone."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random

from scripts.training.stt.english import ENGLISH
from scripts.training.stt.german import GERMAN
from scripts.training.stt.grammar import Language, expand, random_words, spelling

LANGUAGES: Mapping[str, Language] = {"en": ENGLISH, "de": GERMAN}
KINDS: Mapping[str, float] = {
    "caller": 0.3,
    "assistant": 0.36,
    "everyday": 0.12,
    "words": 0.1,
    "numbers": 0.06,
    "spelling": 0.03,
    "nothing": 0.03,
}
VOICES: Mapping[str, Mapping[str, float]] = {
    "en": {"espeak": 0.46, "flite": 0.2, "piper": 0.34},
    "de": {"espeak": 0.62, "piper": 0.38},
}
ESPEAK: Mapping[str, tuple[str, ...]] = {
    "en": ("en-us", "en-us", "en-us", "en-gb", "en-gb", "en-gb-scotland"),
    "de": ("de",),
}
FLITE = ("kal16", "awb", "rms", "slt")
VARIANTS = ("", "", *(f"+m{number}" for number in range(1, 9)), *(f"+f{number}" for number in range(1, 6)))
NOTHING = ("silence", "white", "pink", "brown", "clicks", "hum", "tones", "music")
_HELD_OUT = 40
"""One in this many sentences is kept for the evaluation."""
_TWO_SENTENCES = 0.2
_LONG = 45
"""Characters of a sentence to which no second one is added."""


@dataclass(frozen=True, slots=True)
class Voice:
    """engine: espeak, flite or piper. speed: 1 is the voice's own. pitch: 0..99, espeak alone knows it."""

    engine: str
    name: str
    speed: float = 1.0
    pitch: int = 50


@dataclass(frozen=True, slots=True)
class Line:
    """What happens to the sound on its way.

    before, after: seconds of silence. peak: of the speech, 1 is full scale. noise: None or (colour, dB of speech
    over noise). phone: µ-law at 8 kHz. stretch: playing speed, pitch included.
    """

    before: float = 0.0
    after: float = 0.3
    peak: float = 0.6
    noise: tuple[str, float] | None = None
    phone: bool = False
    stretch: float = 1.0


@dataclass(frozen=True, slots=True)
class Utterance:
    """One sound and its transcript. kind: one of KINDS; of "nothing" the voice's name says which sound it is."""

    text: str
    language: str
    kind: str
    voice: Voice
    line: Line
    seed: int


def normalised(text: str) -> str:
    """Lower case without punctuation, as word errors are counted."""
    return " ".join(re.sub(r"[^\w\s]", " ", text.lower()).split())


def sentences_in(text: str) -> list[str]:
    """A text's sentences, normalised."""
    return [words for part in re.split(r"[.?!]", text) if (words := normalised(part))]


def held_out(text: str) -> bool:
    """Whether a text belongs to the evaluation, since one of its sentences does. Sentences of up to five words belong
    to both."""
    return any(words.count(" ") >= 5 and zlib.crc32(words.encode()) % _HELD_OUT == 0 for words in sentences_in(text))


def sentence(language: Language, kind: str, rng: Random) -> str:
    """A sentence of this kind, number words written out."""
    if kind == "words":
        return random_words(language, rng)
    if kind == "spelling":
        return spelling(language, rng)
    return expand(rng.choice(language.patterns[kind]), language.slots, rng)


def _training_text(language: Language, kind: str, rng: Random) -> str:
    """A sentence, sometimes two, none of them held out."""
    said: list[str] = []
    wanted = 2 if rng.random() < _TWO_SENTENCES else 1
    while len(said) < wanted:
        text = sentence(language, kind, rng)
        if not held_out(text):
            said.append(text)
        if len(text) > _LONG:
            wanted = 1
    return " ".join(said)


def _evaluation_text(language: Language, kind: str, rng: Random) -> str:
    text = sentence(language, kind, rng)
    while not held_out(text):
        text = sentence(language, kind, rng)
    return text


def choose_voice(language: str, kind: str, rng: Random) -> Voice:
    """A voice for a sentence: answers are mostly spoken by the bundled voices, as they are in a call."""
    weights = dict(VOICES[language])
    if kind == "assistant":
        weights["piper"] *= 2.5
    engine = rng.choices(list(weights), list(weights.values()))[0]
    if engine == "espeak":
        name = rng.choice(ESPEAK[language]) + rng.choice(VARIANTS)
        return Voice(engine, name, rng.uniform(0.75, 1.15), rng.randint(20, 80))
    if engine == "flite":
        return Voice(engine, rng.choice(FLITE), rng.uniform(0.85, 1.2))
    return Voice(engine, {"en": "en_US", "de": "de_DE"}[language], rng.choice((1.0, 1.0, rng.uniform(0.85, 1.15))))


def choose_line(rng: Random) -> Line:
    """Half of the lines are noisy, a third are telephones."""
    noise = None
    if rng.random() < 0.5:
        noise = (rng.choice(("white", "white", "pink", "brown")), rng.uniform(6, 35))
    return Line(
        before=rng.uniform(0, 0.6) * (rng.random() < 0.8),
        after=rng.uniform(0.05, 0.5),
        peak=10 ** rng.uniform(-1.1, -0.05),
        noise=noise,
        phone=rng.random() < 0.33,
        stretch=rng.choice((1.0, rng.uniform(0.93, 1.07))),
    )


def utterances(seed: int, count: int, *, evaluation: bool = False) -> Iterator[Utterance]:
    """``count`` utterances, the same for the same seed. evaluation: held-out sentences instead of all others."""
    rng = Random(seed)
    for _ in range(count):
        language = rng.choice(("en", "de"))
        kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
        if kind == "nothing":
            voice = Voice("none", rng.choice(NOTHING))
            yield Utterance("", language, kind, voice, choose_line(rng), rng.getrandbits(32))
            continue
        text = (_evaluation_text if evaluation else _training_text)(LANGUAGES[language], kind, rng)
        yield Utterance(text, language, kind, choose_voice(language, kind, rng), choose_line(rng), rng.getrandbits(32))
