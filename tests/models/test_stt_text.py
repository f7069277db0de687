"""Which words of a growing transcript are settled, and which decodes are not believed."""

from __future__ import annotations

from pathlib import Path

import pytest
from faster_whisper.tokenizer import Tokenizer
from tokenizers import Tokenizer as Vocabulary

import models
from models.stt.text import agreed, believable, hypothesis, join

TINY = Path(models.__file__).parent / "bundled" / "stt" / "tiny"
TOKENIZER = Tokenizer(Vocabulary.from_file(str(TINY / "tokenizer.json")), True, "transcribe", "en")


def settled(before: str, now: str) -> str:
    first, second = (hypothesis(tuple(TOKENIZER.encode(text)), TOKENIZER) for text in (before, now))
    return TOKENIZER.decode(list(agreed(first, second)))


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ("I would like to book", "I would like to book a table", "I would like to"),
        ("I would like to book", "I would like to cancel it", "I would like to"),
        ("I would like", "I would like", "I would"),
        ("yes, please come", "Yes please come now", "Yes please"),
        ("Hello, good afternoon", "Hello, good morning to you", "Hello, good"),
        ("Is nine o'clock free?", "Is nine o'clock free today?", "Is nine o'clock"),
        ("Wann öffnen Sie am", "Wann öffnen Sie am Freitag?", "Wann öffnen Sie"),
        ("Book", "Book a table", ""),
        ("My name", "Your name is", ""),
        ("", "My name is", ""),
    ],
)
def test_words_that_two_decodes_share_are_settled_but_for_the_last(before: str, now: str, expected: str) -> None:
    assert settled(before, now) == expected


@pytest.mark.parametrize("text", ["Wie wäre es, am Freitag um fünf?", "  It's  nine ", "日本語です。", ""])
def test_the_words_of_a_text_cover_it(text: str) -> None:
    tokens = tuple(TOKENIZER.encode(text))
    found = hypothesis(tokens, TOKENIZER)
    assert list(found.ends) == sorted(set(found.ends))
    for end in found.ends:
        assert text.startswith(TOKENIZER.decode(list(tokens[:end])))


def test_texts_of_pieces_are_joined_as_the_language_is_written() -> None:
    assert join(["One.", "", "Two."], "en") == "One. Two."
    assert join(["一。", "二。"], "zh") == "一。二。"


def doubts(text: str, speech_seconds: float = 3, avg_logprob: float = -0.2, no_speech_prob: float = 0.0) -> bool:
    return not believable(text, speech_seconds=speech_seconds, avg_logprob=avg_logprob, no_speech_prob=no_speech_prob)


def test_what_a_model_says_of_silence_is_not_believed() -> None:
    assert doubts("So.", avg_logprob=-1.1, no_speech_prob=0.7)
    assert doubts("I would like to book a table for two on Sunday at four.", speech_seconds=0.4)
    assert doubts("and then and then and then and then and then and then and then and then and then and then", 9)
    assert doubts("Thank you for watching!", speech_seconds=0.8)
    assert doubts("Untertitelung des ZDF, 2020", avg_logprob=-0.8)


def test_what_people_say_is_believed() -> None:
    assert not doubts("No.", speech_seconds=0.2)
    assert not doubts("So.", avg_logprob=-1.1, no_speech_prob=0.1)
    assert not doubts("So.", avg_logprob=-0.2, no_speech_prob=0.9)
    assert not doubts("I would like to book a table for two on Sunday at four, please.", speech_seconds=2.2)
    assert not doubts("five five five five five five five five five five", speech_seconds=4)
    assert not doubts("Thank you for watching the dog.", speech_seconds=1.5)
