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
    "caller": 0.36,
    "assistant": 0.23,
    "everyday": 0.15,
    "words": 0.11,
    "numbers": 0.06,
    "spelling": 0.03,
    "nothing": 0.06,
}
VOICES: Mapping[str, Mapping[str, float]] = {
    "en": {"espeak": 0.46, "flite": 0.2, "piper": 0.34},
    "de": {"espeak": 0.62, "piper": 0.38},
}
ESPEAK: Mapping[str, tuple[str, ...]] = {
    "en": (*["en-us"] * 5, *["en-gb"] * 4, "en-gb-scotland", "en-gb-x-gbclan", "en-029"),
    "de": ("de",),
}
FLITE = ("kal16", "awb", "rms", "slt")
_NUMBERED = (*(f"+m{number}" for number in range(1, 9)), *(f"+f{number}" for number in range(1, 6)))
_NAMED = (
    *("adam", "antonio", "belinda", "benjamin", "caleb", "david", "ed", "edward", "gustave", "ian", "john", "linda"),
    *("marcelo", "max", "michel", "miguel", "pablo", "quincy", "rob", "robert", "sandro", "shelby", "steph", "travis"),
    *("victor", "zac", "Denis", "Diogo", "Gene", "Henrique", "Lee", "Marco", "Michael", "Reed"),
)
VARIANTS = (*[""] * 6, *_NUMBERED, *_NUMBERED, *(f"+{name}" for name in _NAMED))
NOTHING = ("silence", "white", "pink", "brown", "clicks", "hum", "tones", "music")
_HELD_OUT = 40
"""One in this many sentences is kept for the evaluation."""
_TWO_SENTENCES = 0.2
_LONG = 45
"""Characters of a sentence to which no second one is added."""


@dataclass(frozen=True, slots=True)
class Voice:
    """engine: espeak, flite or piper. speed: 1 is the voice's own. pitch: 0..99, espeak alone knows it. liveliness: how
    much of its usual chance piper takes, in sounds and lengths."""

    engine: str
    name: str
    speed: float = 1.0
    pitch: int = 50
    liveliness: float = 1.0


@dataclass(frozen=True, slots=True)
class Phone:
    """A telephone line at 8 kHz, ITU-T G.711 in 20 ms frames.

    low, high: Hz at which the band has lost 3 dB; 0 is no limit. steep: order of its edges, in the magnitude of a
    Butterworth filter (6 dB an octave each). law: mu or a. lost: share of the frames.
    """

    low: float = 300.0
    high: float = 3400.0
    steep: int = 40
    law: str = "mu"
    lost: float = 0.0


@dataclass(frozen=True, slots=True)
class Line:
    """What happens to the sound on its way.

    before, after: seconds of silence. peak: of the speech, 1 is full scale. noise: None or (colour, dB of speech
    over noise, both in the telephone's band). stretch: playing speed, pitch included.
    """

    before: float = 0.0
    after: float = 0.3
    peak: float = 0.6
    noise: tuple[str, float] | None = None
    phone: Phone | None = None
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
    speed, liveliness = rng.choice((1.0, 1.0, rng.uniform(0.85, 1.15))), rng.choice((1.0, rng.uniform(0.3, 1.5)))
    return Voice(engine, {"en": "en_US", "de": "de_DE"}[language], speed, liveliness=liveliness)


def choose_phone(rng: Random) -> Phone:
    """Four in five limit the band as telephones do, the others do not. Three in ten lose frames."""
    law, lost = rng.choice(("mu", "mu", "a")), rng.uniform(0.005, 0.07) * (rng.random() < 0.3)
    if rng.random() < 0.2:
        return Phone(0, 0, 0, law, lost)
    low = rng.choice((200, 300, 300, 300, 400)) * rng.uniform(0.93, 1.07)
    return Phone(low, rng.uniform(3200, 3600), round(2 ** rng.uniform(1.5, 5.5)), law, lost)


def choose_line(rng: Random) -> Line:
    """Half of the lines are telephones, half are noisy; of the telephones two in three."""
    phone = choose_phone(rng) if rng.random() < 0.5 else None
    noise = None
    if rng.random() < (0.67 if phone else 0.4):
        noise = (rng.choice(("white", "white", "pink", "pink", "brown")), rng.uniform(4 if phone else 6, 35))
    return Line(
        before=rng.uniform(0, 0.6) * (rng.random() < 0.8),
        after=rng.uniform(0.05, 0.7),
        peak=10 ** rng.uniform(-1.1, -0.05),
        noise=noise,
        phone=phone,
        stretch=rng.choice((1.0, rng.uniform(0.9, 1.1))),
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
