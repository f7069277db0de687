"""What the recogniser is trained on, and how it is judged. Nothing here needs torch."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from models.stt.features import window
from scripts.training.stt import english, german
from scripts.training.stt.batches import WINDOWS, Examples, changed, framed
from scripts.training.stt.evaluate import evaluation_set, word_errors
from scripts.training.stt.free_text import FREE
from scripts.training.stt.grammar import expand
from scripts.training.stt.plan import (
    KINDS,
    LANGUAGES,
    Line,
    Phone,
    Utterance,
    Voice,
    held_out,
    normalised,
    sentence,
    utterances,
)
from scripts.training.stt.shards import read_shards, write_shard
from scripts.training.stt.sounds import RATE, SOUNDS, noise
from scripts.training.stt.speech import UnspokenError, log_mel, sound
from scripts.training.stt.telephone import band, coded
from scripts.training.stt.tokens import (
    CHARACTERS,
    characters,
    sentences_only,
    target,
    train_tokenizer,
    trained_rows,
    vocabulary,
)

SPOKEN = Utterance("We are open on Monday.", "en", "assistant", Voice("espeak", "en-us"), Line(), 1)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(sentences_only(utterance.text for utterance in utterances(1, 300)), 400)


def part_above(wave: np.ndarray, hertz: float) -> float:
    """Share of the power above a frequency."""
    power = np.abs(np.fft.rfft(wave)) ** 2
    return float(power[round(hertz * len(wave) / RATE) :].sum() / power.sum())


# ------------------------------------------------------------------------------------------------ sentences


def test_every_pattern_makes_plain_sentences() -> None:
    rng = Random(2)
    for language in LANGUAGES.values():
        for kind, patterns in language.patterns.items():
            slots = (
                {**language.slots, "letters": ["A B"], "name": ["Anna"]}
                if kind in ("spelt", "code")
                else language.slots
            )
            for pattern in patterns:
                for _ in range(10):
                    text = expand(pattern, slots, rng)
                    assert re.fullmatch(r"[A-ZÄÖÜ][A-Za-zÄÖÜäöüßé ,.:?!'-]*", text), (pattern, text)
                    assert "  " not in text


@given(
    st.integers(0, 2**32), st.sampled_from(["en", "de"]), st.sampled_from([kind for kind in KINDS if kind != "nothing"])
)
def test_every_sentence_can_be_heard_by_the_character_head(seed: int, code: str, kind: str) -> None:
    text = sentence(LANGUAGES[code], kind, Random(seed))
    heard = "".join(CHARACTERS[index - 1] for index in characters(text))
    assert heard == re.sub(r"[^a-zäöüß' ]", "", text.lower())
    assert heard.strip()


def test_numbers_are_said_as_people_say_them() -> None:
    said = {
        0: "zero",
        13: "thirteen",
        40: "forty",
        91: "ninety one",
        105: "one hundred and five",
        1200: "one thousand two hundred",
    }
    assert {value: english.number(value) for value in said} == said
    gesagt = {
        0: "null",
        1: "eins",
        16: "sechzehn",
        21: "einundzwanzig",
        101: "einhunderteins",
        2345: "zweitausenddreihundertfünfundvierzig",
    }
    assert {value: german.number(value) for value in gesagt} == gesagt


def test_a_plan_follows_from_its_seed() -> None:
    assert list(utterances(5, 50)) == list(utterances(5, 50))
    assert list(utterances(5, 50)) != list(utterances(6, 50))
    assert {utterance.kind for utterance in utterances(5, 400)} == set(KINDS)


def test_held_out_sentences_are_never_trained_on() -> None:
    def sentences(texts: Iterable[str]) -> set[str]:
        return {normalised(part) for text in texts for part in re.split("[.?!]", text)}

    judged = [utterance.text for name, utterance in evaluation_set(9, 25) if name != "free"]
    trained = sentences(utterance.text for utterance in utterances(9, 4000))
    assert all(sentences([text]) - trained for text in judged)
    assert not [text for text in trained if held_out(text)]
    assert not sentences(text for texts in FREE.values() for text in texts) & (trained - {""})


def test_the_evaluation_has_every_set_in_both_languages() -> None:
    sets = [(name, utterance.language) for name, utterance in evaluation_set(3, 4)]
    assert {key: sets.count(key) for key in sets} == {
        (name, code): 4 for name in ("caller", "assistant", "free") for code in ("en", "de")
    }
    assert {u.voice.engine for name, u in evaluation_set(3, 4) if name == "assistant"} == {"piper"}


# ------------------------------------------------------------------------------------------------ tokens


@pytest.mark.parametrize("text", ["Yes, please.", "Ich heiße Jürgen Groß.", "Half past three?", "naïve ☎ 12"])
def test_a_transcript_comes_back_from_its_tokens(tokenizer: Tokenizer, text: str) -> None:
    ids = target(tokenizer, text, "de")
    assert [tokenizer.id_to_token(one) for one in ids[:4]] == [
        "<|startoftranscript|>",
        "<|de|>",
        "<|transcribe|>",
        "<|notimestamps|>",
    ]
    assert tokenizer.id_to_token(ids[-1]) == "<|endoftext|>"
    assert tokenizer.decode(ids).strip() == text
    assert max(ids) < trained_rows(tokenizer) - 1


def test_silence_has_a_transcript_of_nothing(tokenizer: Tokenizer) -> None:
    assert len(target(tokenizer, "", "en")) == 5


def test_the_vocabulary_is_one_that_ctranslate2_takes_for_multilingual(tokenizer: Tokenizer) -> None:
    tokens = vocabulary(tokenizer)
    assert [tokenizer.token_to_id(token) for token in tokens] == list(range(len(tokens)))
    assert "" in tokens
    assert tokens[-1501:][0] == "<|0.00|>"
    assert tokens[-1] == "<|30.00|>"


# ------------------------------------------------------------------------------------------------ sound


@pytest.mark.parametrize(
    "voice", [Voice("espeak", "en-gb+f2", 0.9, 60), Voice("flite", "kal16"), Voice("piper", "en_US", 1.1)]
)
def test_every_synthesiser_speaks(voice: Voice) -> None:
    wave = sound(replace(SPOKEN, voice=voice))
    assert 0.8 * RATE < len(wave) < 4 * RATE
    assert 0.3 < np.abs(wave).max() <= 1
    assert log_mel(wave).shape == (len(wave) // 160, 80)


def test_a_synthesiser_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for engine, name in (("espeak", "en-us"), ("flite", "slt")):
        with pytest.raises(UnspokenError, match="is not installed"):
            sound(replace(SPOKEN, voice=Voice(engine, name)))
    with pytest.raises(UnspokenError, match="of 20 sentences have no sound"):
        write_shard(tmp_path, 1, 0, 20)
    assert read_shards(tmp_path) == ([], [])


def test_noise_is_as_loud_as_planned() -> None:
    clean = sound(SPOKEN)
    noisy = sound(replace(SPOKEN, line=Line(noise=("white", 10.0))))
    speech = clean[: len(clean) - int(0.3 * RATE)]
    ratio = 10 * np.log10(np.mean(speech**2) / np.mean((noisy - clean) ** 2))
    assert ratio == pytest.approx(10, abs=0.3)


@pytest.mark.parametrize("phone", [Phone(), Phone(low=400, high=3200, steep=8, law="a"), Phone(low=0, high=0)])
def test_a_telephone_takes_what_lies_outside_of_its_band_away(phone: Phone) -> None:
    rng = np.random.default_rng(1)
    wave = noise(RATE, "white", rng) * np.float32(0.1)
    heard = coded(band(wave, phone), phone, rng)
    assert part_above(wave, 4200) > 0.4
    assert part_above(heard, 4200) < 0.01
    assert 1 - part_above(wave, 150) > 0.01
    assert (1 - part_above(heard, 150) < 0.001) == bool(phone.low)


@pytest.mark.parametrize("law", ["mu", "a"])
def test_eight_bits_keep_speech_loud_or_quiet(law: str) -> None:
    said = sound(SPOKEN)
    for level in (1.0, 0.05):
        phone = Phone(law=law)
        wave = band(said, phone) * np.float32(level)
        heard = coded(wave, phone, np.random.default_rng(1))[: len(wave)]
        assert 10 * np.log10(np.mean(wave**2) / np.mean((heard - wave[: len(heard)]) ** 2)) > 20


def test_lost_frames_are_filled_in_and_the_rest_is_as_it_was() -> None:
    phone = Phone(lost=0.1)
    wave = band(sound(SPOKEN), phone)
    whole, gaps = (coded(wave, replace(phone, lost=lost), np.random.default_rng(2)) for lost in (0.0, phone.lost))
    assert len(gaps) == len(whole)
    frames = len(whole) // 320
    differ = np.abs(gaps - whole)[: frames * 320].reshape(frames, 320).max(axis=1) > 0.01
    assert 0.02 < differ.mean() < 0.4
    assert np.mean(gaps**2) > 0.6 * np.mean(whole**2)


def test_a_telephones_noise_is_as_loud_in_the_band_as_planned() -> None:
    clean = sound(replace(SPOKEN, line=Line(phone=Phone())))
    noisy = sound(replace(SPOKEN, line=Line(phone=Phone(), noise=("brown", 15.0))))
    speech = clean[: len(clean) - int(0.3 * RATE)]
    assert 10 * np.log10(np.mean(speech**2) / np.mean((noisy - clean) ** 2)) == pytest.approx(15, abs=0.5)


@pytest.mark.parametrize("name", SOUNDS)
def test_sounds_without_speech_stay_within_full_scale(name: str) -> None:
    for seed in range(3):
        wave = SOUNDS[name](RATE, np.random.default_rng(seed))
        assert wave.shape == (RATE,)
        assert np.isfinite(wave).all()
        assert np.sqrt(np.mean(wave**2)) < 0.6


# ------------------------------------------------------------------------------------------------ examples on disk


def test_a_shard_follows_from_its_number_and_is_made_once(tmp_path: Path) -> None:
    first = write_shard(tmp_path / "a", 1, 3, 12)
    again = write_shard(tmp_path / "b", 1, 3, 12)
    assert first.read_bytes() == again.read_bytes()
    frames = first.with_suffix(".f16")
    before = frames.stat().st_mtime_ns
    write_shard(tmp_path / "a", 1, 3, 12)
    assert frames.stat().st_mtime_ns == before
    assert json.loads(first.read_text()) != json.loads(write_shard(tmp_path / "a", 1, 4, 12).read_text())


def test_a_shard_broken_off_is_not_read_and_made_again(tmp_path: Path) -> None:
    index = write_shard(tmp_path, 1, 0, 6)
    whole = index.with_suffix(".f16").read_bytes()
    index.unlink()
    index.with_suffix(".f16").write_bytes(whole[:1000])
    assert read_shards(tmp_path) == ([], [])
    write_shard(tmp_path, 1, 0, 6)
    assert len(index.with_suffix(".f16").read_bytes()) == len(whole)
    examples, _ = read_shards(tmp_path)
    assert sum(len(example.mel) for example in examples) * 160 == len(whole)


def test_batches_hold_each_example_of_a_pool_once_padded_little(tmp_path: Path, tokenizer: Tokenizer) -> None:
    write_shard(tmp_path, 2, 0, 30)
    examples, _ = read_shards(tmp_path)
    batches = list(Examples(tmp_path, tokenizer, 1).batches(1500, 0.0))
    ends = tokenizer.token_to_id("<|endoftext|>")
    texts = sorted(
        tokenizer.decode([one for one in row[: list(row).index(ends)] if one >= 0]).strip()
        for batch in batches
        for row in batch.tokens
    )
    # A small pool is filled from the same examples again; each of them is there.
    assert set(texts) == {example.text for example in examples}
    assert all(batch.mel.shape[2] % 2 == 0 for batch in batches)
    assert all(len(batch.characters) == batch.lengths.sum() for batch in batches)


def test_windowed_batches_have_the_lengths_the_server_uses(tmp_path: Path, tokenizer: Tokenizer) -> None:
    write_shard(tmp_path, 2, 0, 30)
    batches = list(Examples(tmp_path, tokenizer, 1).batches(3000, 1.0))
    assert {batch.mel.shape[2] for batch in batches} <= set(WINDOWS)


def test_training_pads_as_the_engine_does() -> None:
    mel = log_mel(sound(SPOKEN)).astype(np.float32)
    assert np.array_equal(framed(mel, 1000, zeros=False)[None], window([mel], 1000))
    padded = framed(mel, 1000, zeros=True)
    assert np.array_equal(padded[:, : len(mel)], framed(mel, 1000, zeros=False)[:, : len(mel)])
    assert not padded[:, len(mel) :].any()


def test_changed_examples_stay_finite_and_about_as_long() -> None:
    rng = np.random.default_rng(1)
    mel = log_mel(sound(SPOKEN)).astype(np.float32)
    for _ in range(50):
        other = changed(mel, rng)
        assert np.isfinite(other).all()
        assert abs(len(other) / len(mel) - 1) < 0.1
        assert other.min() >= -10


# ------------------------------------------------------------------------------------------------ figures


@pytest.mark.parametrize(
    ("said", "heard", "errors"), [("a b c", "a b c", 0), ("a b c", "a x c d", 2), ("a b c", "", 3), ("", "a b", 2)]
)
def test_word_errors_are_the_fewest_changes(said: str, heard: str, errors: int) -> None:
    assert word_errors(said.split(), heard.split()) == errors


@given(st.lists(st.sampled_from("abc"), max_size=6), st.lists(st.sampled_from("abc"), max_size=6), st.data())
def test_one_more_change_costs_at_most_one_error(said: list[str], heard: list[str], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(heard)))
    changed_text = [*heard[:place], data.draw(st.sampled_from("abcd")), *heard[place:]]
    errors = word_errors(said, heard)
    assert abs(word_errors(said, changed_text) - errors) <= 1
    assert errors == word_errors(heard, said)
    assert abs(len(said) - len(heard)) <= errors <= max(len(said), len(heard))
