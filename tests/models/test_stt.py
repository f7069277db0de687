"""What every transcriber must do, on real weights and spoken sentences."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import models
from models.audio import Pcm16, resample, rms_dbfs, ulaw_decode, ulaw_encode
from models.base import EngineError, Priority, Transcriber, Transcript, Utterance
from models.stt.faster_whisper import FasterWhisper
from scripts.phone_line.sounds import SOUNDS, as_loud
from tests.models.speech import at_level, noise, silence, sox, speak, with_silence

TINY = Path(models.__file__).parent / "bundled" / "stt" / "tiny"


def tiny(**options: object) -> FasterWhisper:
    return FasterWhisper.load(TINY, name="tiny", piece_seconds=1.0, prompts=False, **options)  # type: ignore[arg-type]


ENGINES: dict[str, Callable[[], Transcriber]] = {
    "faster-whisper": tiny,
    "faster-whisper in batches": lambda: tiny(max_batch=8),
}

SENTENCES = {
    "en": [
        "When do you close on Tuesday?",
        "Are you a real person?",
        "Can I book a check-up for Saturday?",
        "How much does a haircut cost?",
        "I need to move my appointment from Monday to Sunday.",
        "I would like to book a haircut on Friday at nine.",
        "I would like to book a table for two on Sunday at four.",
        "Is nine still available?",
        "My name is Anna Novak.",
        "Where are you located?",
        "Please cancel my appointment on Wednesday.",
        "Who am I speaking to?",
        "No, Friday is better.",
    ],
    "de": [
        "Danke, auf Wiederhören.",
        "Wann öffnen Sie am Freitag?",
        "Kann ich bitte mit einem Menschen sprechen?",
        "Mein Name ist Zoe Berger.",
        "Mit wem spreche ich?",
        "Gibt es Parkplätze in der Nähe?",
        "Kann ich mit Karte zahlen?",
        "Nein, Donnerstag ist besser.",
        "Wie wird das Wetter am Mittwoch?",
    ],
}
VOICES = {"en": ["en-us", "en-gb+f2", "flite:slt", "flite:rms"], "de": ["de", "de+f3"]}
HAIRCUT = SENTENCES["en"][5]


@pytest.fixture(params=ENGINES)
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[Transcriber]:
    engine = ENGINES[request.param]()
    yield engine
    await engine.close()


def words(text: str) -> list[str]:
    return re.sub(r"[^\w\s]", "", text.lower()).split()


def errors(wanted: str, heard: str) -> int:
    """Edit distance in words."""
    row = list(range(len(words(heard)) + 1))
    for i, word in enumerate(words(wanted), 1):
        above, row = row, [i]
        for j, other in enumerate(words(heard), 1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (word != other)))
    return row[-1]


async def hear(engine: Transcriber, pcm: Pcm16, **options: Any) -> Transcript:
    utterance = engine.open(**options)
    utterance.push(pcm)
    transcript = await utterance.final()
    utterance.close()
    return transcript


async def grow(utterance: Utterance, pcm: Pcm16, step: int) -> list[Transcript]:
    """A partial transcript after each ``step`` samples; checks what must hold for each."""
    partials: list[Transcript] = []
    for start in range(0, len(pcm), step):
        utterance.push(pcm[start : start + step])
        partials.append(await utterance.partial())
        assert partials[-1].text.startswith(partials[-1].stable)
        assert partials[-1].stable.startswith(partials[-2].stable if len(partials) > 1 else "")
    return partials


@pytest.mark.parametrize("language", SENTENCES)
async def test_sentences_of_its_domain_are_understood(engine: Transcriber, language: str) -> None:
    wrong = total = 0
    for voice in VOICES[language]:
        for sentence in SENTENCES[language]:
            heard = await hear(engine, with_silence(speak(sentence, voice=voice)))
            assert heard.language == language
            assert heard.stable == heard.text
            wrong += errors(sentence, heard.text)
            total += len(words(sentence))
    assert wrong / total <= 0.15


@pytest.mark.parametrize("step", [3_200, 9_600])
async def test_partial_decodes_on_the_way_do_not_spoil_the_result(engine: Transcriber, step: int) -> None:
    spoiled: list[tuple[str, str]] = []
    settled = total = 0
    for voice in ("en-us", "flite:rms"):
        for sentence in SENTENCES["en"][2:8]:
            pcm = with_silence(speak(sentence, voice=voice))
            utterance = engine.open()
            partials = await grow(utterance, pcm, step)
            final = await utterance.final()
            assert final.text.startswith(partials[-1].stable)
            settled += len(words(partials[-1].stable))
            total += len(words(sentence))
            alone = await hear(engine, pcm)
            if errors(sentence, final.text) > errors(sentence, alone.text) or final.language != "en":
                spoiled.append((alone.text, final.text))
    assert len(spoiled) <= 1, spoiled
    assert settled / total >= 0.5


async def test_a_final_is_no_end(engine: Transcriber) -> None:
    """The caller was thinking: the same turn goes on behind what was decoded as its end."""
    utterance = engine.open()
    utterance.push(with_silence(speak("Where are you located?", voice="en-gb+f2"), after=0.2))
    first = await utterance.final(Priority.PREPARED)
    assert words(first.text) == words("Where are you located?")
    utterance.push(with_silence(speak("Are you a real person?", voice="en-gb+f2")))
    both = await utterance.final()
    assert words(both.text) == words("Where are you located? Are you a real person?")
    assert both.audio_ms > first.audio_ms
    assert await utterance.final() == both


async def test_a_turn_that_is_not_surely_in_another_language_is_heard_in_the_expected_one(engine: Transcriber) -> None:
    pcm = with_silence(speak("Kann ich mit Karte zahlen?", voice="de"))
    assert (await hear(engine, pcm, expected="en", floor=0.5)).language == "de"
    doubted = await hear(engine, pcm, expected="en", floor=1.01)
    assert doubted.language == "en"
    assert doubted.language_probability < 0.5
    assert (await hear(engine, pcm, expected="de", floor=1.01)).text == (await hear(engine, pcm)).text


async def test_a_known_language_is_not_asked_for(engine: Transcriber) -> None:
    heard = await hear(engine, with_silence(speak("Kann ich mit Karte zahlen?", voice="de")), language="de")
    assert (heard.language, heard.language_probability) == ("de", 1.0)
    assert words(heard.text) == words("Kann ich mit Karte zahlen?")
    assert {"en", "de"} <= set(engine.languages)
    with pytest.raises(ValueError, match="tlh"):
        engine.open(language="tlh")


async def test_callers_who_speak_at_once_are_kept_apart(engine: Transcriber) -> None:
    spoken = [(s, v) for language in SENTENCES for s in SENTENCES[language][:4] for v in VOICES[language][:2]]
    inputs = [with_silence(speak(sentence, voice=voice)) for sentence, voice in spoken]
    alone = [await hear(engine, pcm) for pcm in inputs]
    together = await asyncio.gather(*(hear(engine, pcm) for pcm in inputs))
    assert [heard.text for heard in together] == [heard.text for heard in alone]
    assert [heard.language for heard in together] == [heard.language for heard in alone]


def clicks(count: int, *, seconds: float, every: float, peak: int) -> Pcm16:
    pcm = silence(count * every + 0.3)
    rng = np.random.default_rng(3)
    for n in range(count):
        start = round((n * every + 0.1) * 16_000)
        burst = rng.standard_normal(round(seconds * 16_000)) * peak / 3
        pcm[start : start + len(burst)] = np.clip(burst, -32768, 32767)
    return pcm


def on_the_phone(sound: str, seconds: float) -> Pcm16:
    return resample(ulaw_decode(ulaw_encode(as_loud(SOUNDS[sound](seconds), -23))), 8_000, 16_000)


def melody(kind: str, notes: str, seconds: float) -> Pcm16:
    return np.concatenate([sox("synth", str(seconds), kind, note, "gain", "-6") for note in notes.split()])


NOT_SPEECH: dict[str, Callable[[], Pcm16]] = {
    "nothing": lambda: silence(0),
    "one sample": lambda: np.ones(1, np.int16),
    "a tenth of a second of silence": lambda: silence(0.1),
    "silence": lambda: silence(12),
    "constant offset": lambda: np.full(32_000, 900, np.int16),
    **{f"white noise {level}": lambda level=level: noise(3, dbfs=level) for level in (-60, -40, -20, -6)},
    **{f"pink noise {level}": lambda level=level: noise(3, dbfs=level, color="pink") for level in (-60, -40, -20, -6)},
    "noise bursts": lambda: np.tile(with_silence(noise(0.4, dbfs=-25, color="pink"), before=0.2, after=0.2), 4),
    "sine": lambda: sox("synth", "2", "sine", "440", "gain", "-10"),
    "sweep": lambda: sox("synth", "3", "sine", "100-4000", "gain", "-10"),
    "tremolo": lambda: sox("synth", "4", "sine", "300", "tremolo", "5", "80", "gain", "-12"),
    "ringing": lambda: np.tile(sox("synth", "1", "sine", "425", "gain", "-12", "pad", "0", "1"), 2),
    "one click": lambda: clicks(1, seconds=0.002, every=0.3, peak=20_000),
    "many clicks": lambda: clicks(20, seconds=0.002, every=0.1, peak=20_000),
    "typing": lambda: clicks(15, seconds=0.01, every=0.13, peak=3_000),
    "knocking": lambda: clicks(3, seconds=0.1, every=0.3, peak=8_000),
    "guitar": lambda: melody("pluck", "E3 G3 A3 C4 D4 B3 A3 G3", 0.4),
    "chord": lambda: sox("synth", "3", "pluck", "E3", "pluck", "G3", "pluck", "B3", "remix", "-", "gain", "-6"),
    "organ": lambda: melody("sawtooth", "E3 G3 A3 C4 D4 B3 A3 G3", 0.3),
    **{name: lambda name=name: on_the_phone(name, 6) for name in SOUNDS if name != "singing"},
    "game": lambda: melody("square", "E4 G4 A4 C5 D5 B4 A4 G4", 0.15),
}


@pytest.mark.parametrize("sound", NOT_SPEECH)
async def test_no_words_are_invented(sound: str) -> None:
    engine = tiny()
    try:
        pcm = NOT_SPEECH[sound]()
        utterance = engine.open()
        partials = await grow(utterance, pcm, 8_000) if len(pcm) else [await utterance.partial()]
        final = await utterance.final()
        assert [partial.text for partial in partials] == [""] * len(partials)
        assert (final.text, final.stable, final.avg_logprob) == ("", "", 0)
    finally:
        await engine.close()


@pytest.mark.parametrize("text", ["When do you open on Friday?", "Are you a real person?"])
async def test_words_over_faint_music_are_understood(text: str) -> None:
    engine = tiny()
    try:
        pcm = with_silence(speak(text))
        music = on_the_phone("music", 30)[: len(pcm)]
        heard = await hear(engine, pcm + at_level(music, rms_dbfs(pcm) - 30))
        assert words(heard.text) == words(text)
    finally:
        await engine.close()


async def test_words_between_long_silences_are_heard_alone(engine: Transcriber) -> None:
    heard = await hear(engine, with_silence(speak("Are you a real person?"), before=31, after=31))
    assert words(heard.text) == words("Are you a real person?")
    assert heard.audio_ms > 62_000


@pytest.mark.parametrize(("level", "allowed"), [(-50, 1), (-40, 1), (-20, 1), (-10, 2)])
async def test_quiet_and_clipped_speech_is_understood(engine: Transcriber, level: int, allowed: int) -> None:
    pcm = at_level(speak(HAIRCUT), level)
    assert (np.abs(pcm.astype(int)).max() >= 32767) == (level == -10)
    heard = await hear(engine, with_silence(pcm))
    assert errors(HAIRCUT, heard.text) <= allowed


async def test_a_monologue_of_two_minutes_is_heard_to_its_end(engine: Transcriber) -> None:
    spoken = [(sentence, voice) for voice in ("en-us", "flite:slt", "en-gb+f2") for sentence in SENTENCES["en"]]
    pcm = np.concatenate([with_silence(speak(s, voice=v), before=0.2, after=0.6) for s, v in spoken])
    assert len(pcm) > 110 * 16_000
    wanted = " ".join(sentence for sentence, _ in spoken)
    at_once = await hear(engine, pcm)
    assert errors(wanted, at_once.text) / len(words(wanted)) <= 0.15
    utterance = engine.open()
    partials = await grow(utterance, pcm, 16_000)
    final = await utterance.final()
    assert final.text.startswith(partials[-1].stable)
    assert errors(wanted, final.text) / len(words(wanted)) <= 0.15


async def test_a_closed_utterance_abandons_its_decodes(engine: Transcriber) -> None:
    utterance = engine.open()
    utterance.push(with_silence(speak(HAIRCUT)))
    under_way = asyncio.create_task(utterance.final())
    await asyncio.sleep(0)
    utterance.close()
    with pytest.raises(EngineError, match="closed"):
        await under_way
    with pytest.raises(EngineError, match="closed"):
        await utterance.partial()
    assert errors(HAIRCUT, (await hear(engine, with_silence(speak(HAIRCUT)))).text) <= 1


async def test_a_cancelled_decode_takes_no_audio_with_it(engine: Transcriber) -> None:
    utterance = engine.open()
    pcm = with_silence(speak(HAIRCUT))
    for part in np.array_split(pcm, 8):
        utterance.push(part)
        task = asyncio.create_task(utterance.partial())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (await utterance.final()).text == (await hear(engine, pcm)).text


async def test_a_partial_that_a_final_overtakes_settles_nothing(engine: Transcriber) -> None:
    """Whatever the order in which they end, no stable prefix contradicts the final text."""
    for sentence in SENTENCES["en"][4:8]:
        utterance = engine.open()
        given: list[str] = []
        for part in np.array_split(with_silence(speak(sentence)), 6):
            utterance.push(part)
            partial, final = await asyncio.gather(utterance.partial(), utterance.final(Priority.PREPARED))
            given.append(partial.stable)
            assert all(final.text.startswith(stable) for stable in given)


async def test_the_samples_belong_to_the_caller_again_after_push(engine: Transcriber) -> None:
    pcm = with_silence(speak(HAIRCUT))
    utterance = engine.open()
    buffer = pcm.copy()
    utterance.push(buffer)
    buffer[:] = 0
    assert errors(HAIRCUT, (await utterance.final()).text) <= 1


async def test_a_closed_engine_says_so() -> None:
    engine = tiny()
    utterance = engine.open()
    utterance.push(with_silence(speak(HAIRCUT)))
    await engine.close()
    with pytest.raises(EngineError, match="closed"):
        await utterance.final()
