"""What every speech engine must do, on the real weights."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import models
from models.base import Pcm16, SpeechChunk, SpokenWord, Synthesizer
from models.tts.piper import Piper

BUNDLED = Path(models.__file__).parent / "bundled" / "tts"

ENGINES: dict[str, Callable[[], Synthesizer]] = {"piper": lambda: Piper.load(BUNDLED, name="piper")}

LONG = (
    "I am very glad that you called us today, because we have been trying to reach you for some time. "
    "Your next visit is planned for the third of June. Would that suit you? "
    "If not, we can surely find another day that is better for you."
)
TEXTS = {
    "en": [
        "Please hold.",
        "One moment, please, I will look that up for you.",
        "Your appointment is at 14:30 on the 25th of May, with Dr. Smith.",
        "We open at 10:00. Do you need anything else? Goodbye!",
        "She said \"hello\" to the well-known U.S. team - it's fine... isn't it?",
        "It costs $12.50, e.g. 3.5 kg & more, No. 5, 1,000,000 or 0170 1234567",
        "  - A list: (one) two; three\n\nand a new paragraph  ",
        LONG,
    ],
    "de": [
        "Bitte warten.",
        "Ihr Termin ist am 25. Mai um 14:30 Uhr bei Dr. Müller.",
        "Öffnungszeiten: 9-17 Uhr, z.B. täglich, außer am 3. Oktober. Schöne Grüße!",
        "„Ja“, sagte er – „das ist die Straßenbahnhaltestelle“.",
    ],
}
CASES = [(language, text) for language, texts in TEXTS.items() for text in texts]
SILENT = ["", "   ", "...", "?!", "–", "(…)", "\n\n", "\u200b"]
FOREIGN = ["Привет, мир!", "你好，世界", "مرحبا", "😀 ok", "a < b > c", "[[raw]] text", "\ud800 broken", "nul\x00byte"]


class Speech(NamedTuple):
    pcm: Pcm16
    words: tuple[SpokenWord, ...]
    chunks: list[SpeechChunk]
    rate: int

    @property
    def seconds(self) -> float:
        return len(self.pcm) / self.rate


@pytest.fixture(params=ENGINES, scope="module")
def engine(request: pytest.FixtureRequest) -> Iterator[Synthesizer]:
    engine = ENGINES[request.param]()
    yield engine
    asyncio.run(engine.close())


async def say(engine: Synthesizer, text: str, language: str = "en", speed: float = 1.0) -> Speech:
    voice = engine.voice_for("", language)
    chunks = [chunk async for chunk in engine.synthesize(text, voice, speed=speed)]
    pcm = np.concatenate([chunk.pcm for chunk in chunks]) if chunks else np.zeros(0, np.int16)
    return Speech(pcm, tuple(word for chunk in chunks for word in chunk.words), chunks, voice.sample_rate)


def loudness(speech: Speech, start: int = 0, end: int | None = None) -> float:
    """Mean power in dBFS of the 20 ms frames that are at most 30 dB below the loudest."""
    size = speech.rate // 50
    part = speech.pcm[start:end].astype(np.float64) / 32768
    power = np.mean(part[: len(part) // size * size].reshape(-1, size) ** 2, axis=1)
    return float(10 * np.log10(np.mean(power[power > power.max() / 1000])))


def quietest(speech: Speech, start: float, end: float) -> float:
    """The lowest power in dBFS of any 20 ms between two times in seconds."""
    size = speech.rate // 50
    part = speech.pcm[round(start * speech.rate) : round(end * speech.rate)].astype(np.float64) / 32768
    return min(float(10 * np.log10(np.mean(part[i : i + size] ** 2) + 1e-12)) for i in range(0, len(part) - size, 64))


async def test_speaks_at_the_pace_of_a_person(engine: Synthesizer) -> None:
    for language, text in CASES:
        speech = await say(engine, text, language)
        assert 4 < len(text) / speech.seconds < 25, text


async def test_chunks_are_pcm16_of_the_voices_rate_and_not_longer_than_a_quarter_of_a_second(
    engine: Synthesizer,
) -> None:
    for language, text in CASES:
        speech = await say(engine, text, language)
        assert {chunk.sample_rate for chunk in speech.chunks} == {engine.voice_for("", language).sample_rate}
        assert all(chunk.pcm.dtype == np.int16 and chunk.pcm.ndim == 1 for chunk in speech.chunks)
        assert all(0 < len(chunk.pcm) <= speech.rate // 4 for chunk in speech.chunks)


@pytest.mark.parametrize(("language", "text"), CASES)
async def test_words_cover_the_text_and_end_in_the_chunk_that_names_them(
    engine: Synthesizer, language: str, text: str
) -> None:
    speech = await say(engine, text, language)
    position = 0
    for chunk in speech.chunks:
        assert all(position < word.end <= position + len(chunk.pcm) for word in chunk.words)
        position += len(chunk.pcm)
    offsets = [word.text_end for word in speech.words]
    assert offsets == sorted(set(offsets))
    assert offsets[-1] == len(text.rstrip())
    assert [word.end for word in speech.words] == sorted(word.end for word in speech.words)
    # Each piece of the text between blanks that can be heard is a word of its own, with what hangs on it.
    heard = [text[start:end].split() for start, end in zip([0, *offsets], offsets, strict=False)]
    assert all(sum(any(c.isalnum() for c in piece) for piece in pieces) <= 1 for pieces in heard), heard


async def test_a_word_has_been_spoken_where_its_time_says(engine: Synthesizer) -> None:
    speech = await say(engine, "Seven. Eleven. Twenty-five. Nine. Fourteen.")
    assert len(speech.words) == 5
    for word in speech.words:
        end = word.end / speech.rate
        assert quietest(speech, end, min(speech.seconds, end + 0.1)) < loudness(speech) - 30
        assert quietest(speech, end - 0.12, end) > loudness(speech) - 30


async def test_a_beginning_of_a_sentence_takes_as_long_alone_as_its_words_say(engine: Synthesizer) -> None:
    for language, whole, part in [
        ("en", "We can see you at 14:30 on Thursday afternoon with Doctor Miller", "We can see you at 14:30"),
        ("en", "The 25 boxes cost $12.50 each when you take all of them", "The 25 boxes cost $12.50"),
        ("de", "Wir haben am 25. Mai um 14:30 Uhr noch einen Termin frei", "Wir haben am 25. Mai"),
    ]:
        in_sentence = next(w.end for w in (await say(engine, whole, language)).words if w.text_end >= len(part))
        alone = (await say(engine, part, language)).words[-1].end
        assert 0.75 < in_sentence / alone < 1.25, part


async def test_loudness_stays_the_same_over_segments_of_any_length(engine: Synthesizer) -> None:
    for language in ("en", "de"):
        texts = [text for lang, text in CASES if lang == language]
        levels = [loudness(await say(engine, text, language)) for text in texts]
        assert max(levels) - min(levels) < 3.5
        assert all(-23 < level < -16 for level in levels)


async def test_nothing_clips(engine: Synthesizer) -> None:
    for language, text in [*CASES, ("de", "Ja!"), ("de", "Aha, na ja, da war ja was!")]:
        assert np.abs((await say(engine, text, language)).pcm.astype(np.int32)).max() < 32_500


async def test_speech_starts_at_once_and_leaves_a_short_pause_behind_it(engine: Synthesizer) -> None:
    for language, text in CASES:
        speech = await say(engine, text, language)
        size = speech.rate // 200
        frames = speech.pcm[: len(speech.pcm) // size * size].reshape(-1, size).astype(np.float64) / 32768
        audible = np.flatnonzero(np.mean(frames**2, axis=1) > 10 ** (-54 / 10))
        assert audible[0] * 5 <= 20
        assert 50 <= (len(frames) - audible[-1]) * 5 <= 300


async def test_sentences_of_a_segment_are_parted_by_a_pause(engine: Synthesizer) -> None:
    speech = await say(engine, "We are open today. Please come in.")
    today = next(word.end for word in speech.words if word.text_end == len("We are open today."))
    pause = speech.pcm[today + speech.rate // 10 : today + speech.rate // 5]
    assert np.abs(pause.astype(np.int32)).max() < 100


async def test_speed_changes_the_length(engine: Synthesizer) -> None:
    text = "Your appointment is on Tuesday at ten."
    normal = (await say(engine, text)).seconds
    assert 1.7 < (await say(engine, text, speed=0.5)).seconds / normal < 2.3
    assert 0.4 < (await say(engine, text, speed=2.0)).seconds / normal < 0.6


async def test_each_language_is_spoken_by_its_own_voice(engine: Synthesizer) -> None:
    voices = {language: engine.voice_for("", language) for language in ("en", "de")}
    assert {voice.language for voice in voices.values()} == {"en", "de"}
    # "Angebot" has three syllables in German; an English voice reads it otherwise.
    as_german = await say(engine, "Angebot für eine Anzeige im Juli", "de")
    as_english = await say(engine, "Angebot für eine Anzeige im Juli", "en")
    assert abs(as_german.seconds - as_english.seconds) > 0.1


async def test_a_voice_is_found_for_any_name(engine: Synthesizer) -> None:
    for voice in engine.voices:
        assert engine.voice_for(voice.name, None) == voice
        assert engine.voice_for(voice.name, voice.language) == voice
        assert engine.voice_for("alloy", voice.language).language == voice.language
        other = next(each for each in engine.voices if each.language != voice.language)
        assert engine.voice_for(voice.name, other.language) == other
    assert engine.voice_for("alloy", None) == engine.voices[0]
    assert engine.voice_for("alloy", "xx") == engine.voices[0]
    assert engine.voice_for("", "de-AT").language == "de"


@pytest.mark.parametrize("text", SILENT)
async def test_text_without_anything_to_pronounce_gives_no_audio(engine: Synthesizer, text: str) -> None:
    assert (await say(engine, text)).chunks == []


@pytest.mark.parametrize("text", FOREIGN)
@pytest.mark.parametrize("language", ["en", "de"])
async def test_any_text_can_be_given(engine: Synthesizer, language: str, text: str) -> None:
    speech = await say(engine, text, language)
    assert speech.seconds > 0.1
    assert speech.words[-1].text_end == len(text)


async def test_a_long_text_without_a_full_stop_is_spoken_to_its_end(engine: Synthesizer) -> None:
    text = "and then we walked along the river and over the bridge " * 12
    speech = await say(engine, text)
    assert len(speech.words) == len(text.split())
    assert speech.seconds > 25
    # No word is lost where the engine cuts: each takes a natural time.
    steps = np.diff([0, *(word.end for word in speech.words)]) / speech.rate
    assert steps.min() > 0.02
    assert steps.max() < 1.0


async def test_requests_at_the_same_time_do_not_mix(engine: Synthesizer) -> None:
    alone = [await say(engine, text, language) for language, text in CASES]
    together = await asyncio.gather(*(say(engine, text, language) for language, text in CASES))
    for one, other in zip(together, alone, strict=True):
        assert [word.text_end for word in one.words] == [word.text_end for word in other.words]
        assert one.seconds == pytest.approx(other.seconds, rel=0.1)


async def test_closing_the_stream_cancels_and_the_next_request_works(engine: Synthesizer) -> None:
    voice = engine.voice_for("", "en")
    stream = engine.synthesize(LONG * 20, voice)
    first = await anext(stream)
    await stream.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    assert len(first.pcm) > 0
    assert (await say(engine, "Please hold the line for me.")).seconds > 0.5


async def test_a_reader_task_that_is_cancelled_leaves_the_engine_well(engine: Synthesizer) -> None:
    started = asyncio.Event()

    async def read() -> None:
        async for _ in engine.synthesize(LONG * 20, engine.voice_for("", "en")):
            started.set()

    tasks = [asyncio.create_task(read()) for _ in range(4)]
    await started.wait()
    for task in tasks:
        task.cancel()
    assert all(
        isinstance(each, asyncio.CancelledError) for each in await asyncio.gather(*tasks, return_exceptions=True)
    )
    assert (await say(engine, "Thank you for waiting.")).seconds > 0.5


def test_one_engine_serves_several_event_loops(engine: Synthesizer) -> None:
    lengths = {round(asyncio.run(say(engine, "Which loop is this one?")).seconds, 1) for _ in range(3)}
    assert len(lengths) == 1
