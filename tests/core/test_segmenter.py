"""Words to speakable segments."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.segmenter import Segment, Segmenter


def segments(text: str, step: int = 1) -> list[Segment]:
    segmenter = Segmenter()
    found: list[Segment] = []
    for start in range(0, len(text), step):
        found += segmenter.push(text[start : start + step])
    return found + segmenter.flush()


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("One moment please, I will look. Yes.", ["One moment please,", "I will look.", "Yes."]),
        ("Yes, we are open. Come in.", ["Yes, we are open.", "Come in."]),
        ("It costs 3.5 euros, at 14:30.", ["It costs 3.5 euros,", "at 14:30."]),
        ("Ask Dr. Weber. She knows, e.g. today.", ["Ask Dr. Weber.", "She knows, e.g. today."]),
        ("Am 3. Mai ist zu. Am 25. Dann auf.", ["Am 3. Mai ist zu.", "Am 25.", "Dann auf."]),
        ("Your customer number is: 4711, I see.", ["Your customer number is: 4711,", "I see."]),
        ("We have two rooms: small ones.", ["We have two rooms:", "small ones."]),
        ("Really?! Yes…  Fine", ["Really?!", "Yes…", "Fine"]),
        ("您好。请问？", ["您好。", "请问？"]),
        (
            "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen",
            ["one two three four five six seven eight nine ten eleven twelve thirteen fourteen", "fifteen sixteen"],
        ),
    ],
)
def test_segments_are_cut_where_a_speaker_would_pause(text: str, pieces: list[str]):
    assert [segment.text for segment in segments(text)] == pieces


def test_the_first_clause_is_out_before_the_sentence_is():
    segmenter = Segmenter()
    assert segmenter.push("Yes we are,") == []
    assert [s.text for s in segmenter.push(" from")] == ["Yes we are,"]


def test_a_sentence_without_end_is_cut_all_the_same():
    assert all(len(segment.text) <= 260 for segment in segments("word " * 400))


@given(st.text(alphabet="ab .,!?3;:\nDr", max_size=400), st.integers(1, 50))
def test_every_word_is_spoken_once_and_in_place(text: str, step: int):
    found = segments(text, step)
    assert all(text[s.start : s.end] == s.text for s in found)
    assert "".join("".join(s.text.split()) for s in found) == "".join(text.split())


@given(st.text(alphabet="ab .,!?3;:\nDr", max_size=200), st.integers(1, 20))
def test_the_pieces_the_words_come_in_do_not_matter(text: str, step: int):
    assert segments(text, step) == segments(text, 1)
