"""What the voices learn from: the teacher speaks, its sounds are found in Piper's spelling, and analysed rightly."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from scripts.training.stt.plan import held_out
from scripts.training.tts.alignment import BACK, FRONT, align, frames_of, sort_of
from scripts.training.tts.analysis import APERIODICITY, CHANNELS, ENVELOPE, FLOOR, analyse, triangles
from scripts.training.tts.evaluate import evaluation_sentences, read_back
from scripts.training.tts.examples import NAMES, batches, example, read_shards, sentences, write_shard
from scripts.training.tts.teacher import RATE, VOICES, TeacherError, teacher

TEXTS = {"en_US": "I would like to book a haircut, please.", "de_DE": "Ich möchte am Montag um zehn Uhr kommen."}


@pytest.mark.parametrize("voice", VOICES)
def test_the_teacher_tells_when_each_sound_begins(voice: str) -> None:
    with teacher() as speaker:
        spoken = speaker.speak(TEXTS[voice], voice)
        again = speaker.speak(TEXTS[voice], voice)
    starts = [start for start, _ in spoken.events]
    assert starts == sorted(starts)
    assert 0 <= starts[0] < starts[-1] <= len(spoken.samples)
    assert 1 < len(spoken.samples) / RATE < 5
    assert 0.3 < np.abs(spoken.samples).max() <= 1
    assert sum(bool(name) for _, name in spoken.events) > 20
    assert np.array_equal(spoken.samples, again.samples)
    assert spoken.events == again.events


def test_a_teacher_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TeacherError, match="is not installed"), teacher():
        pass
    with pytest.raises(TeacherError, match="is not installed"):
        write_shard(tmp_path, 1, 0, 2)
    with pytest.raises(FileNotFoundError, match="no examples"):
        read_shards(tmp_path)


def test_sounds_get_their_time_and_marks_and_blanks_get_none() -> None:
    symbols = [*"hˈaɪ", " ", *"ðɛɹ", "."]  # noqa: RUF001
    events = [(0, "h"), (1024, "aɪ"), (3072, "ð"), (4096, "ɛɹ"), (6144, "")]  # noqa: RUF001
    aligned = align(symbols, events, 7168)
    frames = dict(zip(["^", *symbols, "$"], aligned.frames, strict=True))
    assert aligned.mismatches == 0
    assert frames == {
        "^": FRONT,
        **{"h": 4, "ˈ": 0, "a": 4, "ɪ": 4, " ": 0, "ð": 4, "ɛ": 4, "ɹ": 4, ".": 4},  # noqa: RUF001
        "$": BACK,
    }


def test_what_is_spoken_otherwise_than_it_is_spelt_is_counted_and_no_time_is_lost() -> None:
    events = [(0, "k"), (1000, "a"), (2000, "t"), (3000, "s")]
    for symbols, mismatches in (("kats", 0), ("kat", 1), ("katsə", 1), ("kuts", 1), ("pub", 4)):
        aligned = align(list(symbols), events, 4000)
        assert aligned.mismatches == mismatches, symbols
        assert len(aligned.frames) == len(symbols) + 2
        assert aligned.frames.min() >= 0
        assert aligned.frames.sum() == frames_of(4000)


def test_symbols_are_sorted_into_letters_marks_and_blanks() -> None:
    assert {one: sort_of(one) for one in "aʃˈː ̩,?"} == {  # noqa: RUF001
        **dict.fromkeys("aʃ", "letter"),
        **dict.fromkeys("ˈː̩", "mark"),  # noqa: RUF001
        **dict.fromkeys(" ,?", "blank"),
    }


# ------------------------------------------------------------------------------------------------ analysis


def middle(frames: np.ndarray) -> np.ndarray:
    return frames[FRONT + 8 : -BACK - 8]


@pytest.mark.parametrize("pitch", [100, 150, 210, 330])
def test_the_pitch_of_a_buzz_is_found_and_it_is_periodic(pitch: int) -> None:
    time = np.arange(RATE) / RATE
    buzz = sum(np.cos(2 * np.pi * pitch * number * time) for number in range(1, 4000 // pitch)) * 0.02
    found = middle(analyse(buzz.astype(np.float32)))
    assert (found[:, -1] == 1).all()
    assert np.exp(found[:, -2]) == pytest.approx(pitch, rel=0.01)
    assert np.exp(found[:, ENVELOPE : ENVELOPE + 4]).mean() < 0.15


def test_noise_is_not_periodic_and_its_power_is_its_power() -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, RATE).astype(np.float32)
    found = middle(analyse(noise))
    assert (found[:, -1] == 0).mean() > 0.9
    assert np.exp(found[:, ENVELOPE:-2]).mean() > 0.6
    # The mean of a logarithm is below the logarithm of the mean, by 0.58 for a single bin.
    assert np.log(0.01) - 0.7 < found[:, 5:ENVELOPE].mean() < np.log(0.01) + 0.1


def test_silence_is_at_the_floor_and_has_a_pitch_to_interpolate_with() -> None:
    found = analyse(np.zeros(RATE // 2, np.float32))
    assert found.shape == (frames_of(RATE // 2), CHANNELS)
    assert np.isfinite(found).all()
    assert np.allclose(found[:, :ENVELOPE], FLOOR, atol=0.01)
    assert not found[:, -1].any()


@pytest.mark.parametrize("bands", [APERIODICITY, ENVELOPE])
def test_bands_cover_the_spectrum_in_order(bands: int) -> None:
    weights = triangles(bands)
    middles = weights @ np.arange(weights.shape[1])
    assert np.allclose(weights.sum(1), 1)
    assert (np.diff(middles) > 0).all()
    assert middles[0] < 15
    assert middles[-1] > 430


# ------------------------------------------------------------------------------------------------ examples on disk


@pytest.mark.parametrize("voice", VOICES)
def test_an_example_has_a_target_for_each_frame_of_each_symbol(voice: str) -> None:
    with teacher() as speaker:
        found = example(TEXTS[voice], voice, speaker)
        two_sentences = example("Yes. No.", voice, speaker)
    assert found is not None
    assert two_sentences is None
    assert NAMES[found.language] == voice
    assert len(found.ids) == len(found.frames)
    assert found.targets.shape == (found.frames.sum(), CHANNELS)
    # There is sound while letters last, and none before.
    assert found.targets[: FRONT - 2, :ENVELOPE].max() < -15
    assert found.targets[:, 5].max() > -5


def test_a_shard_follows_from_its_number_and_one_broken_off_is_made_again(tmp_path: Path) -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        first, again = (pool.submit(write_shard, tmp_path / name, 1, 3, 4).result() for name in "ab")
    assert first.read_bytes() == again.read_bytes()
    whole = first.read_bytes()
    first.rename(first.with_suffix(".part"))
    with pytest.raises(FileNotFoundError):
        read_shards(tmp_path / "a")
    assert write_shard(tmp_path / "a", 1, 3, 4) == first
    assert write_shard(tmp_path / "a", 1, 4, 4).read_bytes() != whole
    examples = read_shards(tmp_path / "a")
    assert len(examples) == 8
    assert all(len(one.targets) == one.frames.sum() for one in examples)


def test_batches_hold_each_example_once(tmp_path: Path) -> None:
    write_shard(tmp_path, 1, 0, 5)
    examples = read_shards(tmp_path)
    made = list(batches(examples, 2, np.random.default_rng(1)))
    rows = sorted(tuple(row[:length]) for batch in made for row, length in zip(batch.ids, batch.lengths, strict=True))
    assert rows == sorted(tuple(one.ids) for one in examples)
    for batch in made:
        assert batch.targets.shape[2] == batch.frames.sum(1).max()


def test_what_is_read_back_was_never_taught() -> None:
    taught = {text for (text, _), _ in zip(sentences(7), range(2000), strict=False)}
    asked = list(evaluation_sentences(1, 10))
    assert len(asked) == 40
    assert all(held_out(text) and text not in taught for text, _ in asked)


class Deaf:
    """Hears the same whatever is said."""

    def hear(self, wave: np.ndarray) -> tuple[str, str]:
        return "en", "I would like a table."


def test_words_that_are_not_read_back_are_errors() -> None:
    def speak(text: str) -> tuple[np.ndarray, int]:
        return np.full(RATE, 0.1, np.float32), RATE

    texts = [("I would like a table.", "en_US"), ("I would like a chair!", "en_US"), ("Guten Tag.", "de_DE")]
    scores = read_back({"en_US": speak, "de_DE": speak}, Deaf(), texts)  # type: ignore[arg-type]
    assert (scores["en_US"].errors, scores["en_US"].words) == (1, 10)
    assert scores["de_DE"].rate > 1
    assert scores["en_US"].spoken_s == 2
