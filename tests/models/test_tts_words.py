"""From text to pieces of phonemes, with the words kept in sight, and from samples to speech of one loudness.

Phonemes are as espeak-ng 1.52 gives them.
"""

# ruff: noqa: RUF001 - phonetic letters are meant

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pytest

from models.tts.alignment import Word, find_words, sounds_of, word_ends
from models.tts.loudness import SilenceTrimmer, cut, gain_for, speech_level, to_pcm16
from models.tts.speech_plan import plan_speech

ALONE = {
    "At": "æt",
    "the": "ðə",
    "end": "end",
    "of": "ʌv",
    "25": "twɛnti faɪv",
    "days,": "deɪz",
    "-": "",
    "No.": "noʊ",
    "Yes!": "jɛs",
    "well-known": "wɛlnoʊn",
}


def words_of(text: str) -> list[Word]:
    tokens, end = [], 0
    for token in text.split(" "):
        tokens.append((end + len(token), token))
        end += len(token) + 1
    return find_words(tokens, ALONE.__getitem__)


def said(sentence: str, ends: list[tuple[int, int]]) -> list[str]:
    """The phonemes of each word."""
    bounds = [0, *(end for _, end in ends)]
    return [sentence[start:end].strip(" ,") for start, end in pairwise(bounds)]


def test_numbers_take_two_phonetic_words_and_small_words_share_one() -> None:
    sentence = "æt ðɪʲ ˈɛnd əvðə twˈɛnti fˈaɪv dˈeɪz."
    (ends,) = word_ends([list(sentence)], words_of("At the end of the 25 days,"))
    assert said(sentence, ends) == ["æt", "ðɪʲ", "ˈɛnd", "əv", "ðə", "twˈɛnti fˈaɪv", "dˈeɪz"]
    assert [text_end for text_end, _ in ends] == [2, 6, 10, 13, 17, 20, 26]


def test_each_word_goes_to_the_sentence_that_says_it() -> None:
    sentences = ["nˈoʊ.", "jˈɛs!", "ðə wˈɛl nˈoʊn."]
    ends = word_ends([list(each) for each in sentences], words_of("No. Yes! - the well-known"))
    assert [said(*each) for each in zip(sentences, ends, strict=True)] == [["nˈoʊ"], ["jˈɛs"], ["ðə", "wˈɛl nˈoʊn"]]
    assert ends[1][0][0] == len("No. Yes! -")


def test_pieces_without_sounds_hang_on_a_neighbour() -> None:
    assert [word.text_end for word in words_of("- No. - - Yes! -")] == [9, 16]


@pytest.mark.parametrize("seed", range(40))
def test_any_words_laid_against_any_sentences_keep_their_order_and_all_arrive(seed: int) -> None:
    chance = random.Random(seed)
    tokens = [chance.choice(list(ALONE)) for _ in range(chance.randint(1, 14))]
    words = words_of(" ".join(tokens))
    sentences = [
        "".join(chance.choice("aeɪʌbdfːˈ , .") for _ in range(chance.randint(1, 40))) + "n."
        for _ in range(chance.randint(1, 5))
    ]
    ends = word_ends([list(each) for each in sentences], words)
    assert [text_end for each in ends for text_end, _ in each] == [word.text_end for word in words]
    for sentence, each in zip(sentences, ends, strict=True):
        counts = [count for _, count in each]
        assert counts == sorted(counts)
        assert all(0 <= count <= len(sentence) for count in counts)


def test_a_sentence_of_any_length_is_aligned() -> None:
    words = words_of("At the 25 days, " * 300 + "No.")
    sentence = "æt ðə twˈɛnti fˈaɪv dˈeɪz, " * 300 + "nˈoʊ."
    (ends,) = word_ends([list(sentence)], words)
    spoken = said(sentence, ends)
    assert len(spoken) == 1201
    assert ends[-1][1] == len(sentence) - 1
    # Beyond the size of the table words get their share: near, and in order.
    assert abs(ends[600][1] - len("æt ðə twˈɛnti fˈaɪv dˈeɪz, " * 150)) < 30


def test_a_sentence_that_is_too_long_is_cut_behind_a_clause() -> None:
    clause = "ænd ðˌɛn wiː wˈɔːkt ɐlˈɔŋ ðə ɹˈɪvɚ, "
    sentence = clause * 10 + "ˈɛnd."
    pieces = plan_speech("words " * 70, "en", lambda _: [list(sentence)], lambda _: "wɔd")
    assert len(pieces) > 1
    assert all("".join(piece.phonemes).endswith(", ") or piece is pieces[-1] for piece in pieces)
    assert "".join("".join(piece.phonemes) for piece in pieces) == sentence
    assert [end for piece in pieces for end, _ in piece.words] == [number * 6 - 1 for number in range(1, 71)]
    assert pieces[0].pause_s < pieces[-1].pause_s


def test_sounds_leave_out_stress_length_and_punctuation() -> None:
    assert sounds_of(list("ˈaː, b̃ʲ."))[0] == "a b"


def test_loud_peaks_are_bent_and_quiet_speech_is_left_as_it_is() -> None:
    ramp = np.linspace(-4, 4, 4001, dtype=np.float32)
    pcm = to_pcm16(ramp, 1.0).astype(np.int32)
    assert np.abs(pcm).max() <= 0.98 * 32767 + 1
    assert (np.diff(pcm) >= 0).all()
    quiet = np.abs(ramp) < 0.8
    assert np.abs(pcm[quiet] - ramp[quiet] * 32767).max() <= 1


def test_gain_brings_speech_to_one_level_however_much_silence_is_in_it() -> None:
    noise = np.random.default_rng(1).standard_normal(22_050).astype(np.float32)
    for scale in (0.01, 0.1, 0.5):
        for pause in (0, 22_050, 66_150):
            voice = np.concatenate([noise * scale, np.zeros(pause, np.float32)])
            level = speech_level(voice * gain_for(voice, 22_050), 22_050)
            assert level == pytest.approx(-20, abs=0.3)
    assert gain_for(np.zeros(1000, np.float32), 22_050) == 1.0


@pytest.mark.parametrize("portion", [100, 1_000, 4_000, 100_000])
def test_silence_is_trimmed_the_same_in_any_portions(portion: int) -> None:
    rate = 22_050
    noise = np.random.default_rng(2).standard_normal(rate // 2).astype(np.float32) * 0.1
    gap = np.zeros(rate // 4, np.float32)
    samples = np.concatenate([gap, noise, gap, noise, gap, gap])
    trimmer = SilenceTrimmer(rate, 1.0, 0.2)
    parts = [trimmer.push(samples[start : start + portion]) for start in range(0, len(samples), portion)]
    out = np.concatenate([*parts, trimmer.finish()])
    assert trimmer.lead is not None
    assert 0.004 * rate <= len(gap) - trimmer.lead <= 0.011 * rate
    spoken = len(gap) - trimmer.lead + 2 * len(noise) + len(gap)
    assert abs(len(out) - (spoken + 0.2 * rate)) < 0.012 * rate
    assert np.array_equal(out[:spoken], samples[trimmer.lead : trimmer.lead + spoken])


def test_cut_gives_everything_and_no_crumbs() -> None:
    for length in range(0, 1000, 7):
        pcm = np.arange(length, dtype=np.int16)
        pieces = list(cut(pcm, 100))
        assert np.array_equal(np.concatenate([pcm[:0], *pieces]), pcm)
        assert all(50 <= len(piece) <= 150 or len(pieces) == 1 for piece in pieces)
