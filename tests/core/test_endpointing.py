"""How finished a turn sounds, and what that does to its hold."""

from __future__ import annotations

import pytest

from server.core import events as e
from server.core.endpointing import Completeness, completeness, ending_probability
from tests.core.script import Script, names


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("What time do you open on Friday?", "en"),
        ("I would like to book a table for four.", "en"),
        ("Yes.", "en"),
        ("thanks", "en"),
        ("Can I come at 14:30?", "en"),
        ("Wann haben Sie am Freitag geöffnet?", "de"),
        ("Nein danke", "de"),
        ("Je voudrais un rendez-vous.", "fr"),
    ],
)
def test_finished_turns(text: str, language: str):
    assert completeness(text, language) is Completeness.COMPLETE


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("I would like to book a table for", "en"),
        ("Can I come on Friday and", "en"),
        ("My number is four two seven", "en"),
        ("It is 42 17", "en"),
        ("Well um", "en"),
        ("So I was thinking...", "en"),
        ("Ich hätte gerne einen Termin am", "de"),
        ("Haben Sie am Freitag oder", "de"),
        ("Je voudrais un rendez-vous pour le", "fr"),
        ("Quisiera una mesa para", "es"),
    ],
)
def test_unfinished_turns(text: str, language: str):
    assert completeness(text, language) is Completeness.UNFINISHED


@pytest.mark.parametrize("text", ["on Friday morning", "Martin Weber", ""])
def test_what_could_be_either(text: str):
    assert completeness(text, "en") is Completeness.UNCLEAR


def test_a_sentence_is_not_over_where_the_transcriber_is_not_sure_of_its_end():
    text = "I would like to come at eight."
    assert completeness(text, "en", 0.9) is Completeness.COMPLETE
    assert completeness(text, "en", 0.4) is Completeness.UNCLEAR
    assert completeness("I would like to come at", "en", 0.4) is Completeness.UNFINISHED


@pytest.mark.parametrize(
    ("tokens", "probability"),
    [
        ((), 1.0),
        (((" at", -2.0), (" eight", -0.1), (".", -0.01)), 0.905),
        (((" at", -0.1), (" ei", -1.0), ("ght", -0.1), (".", -0.01)), 0.368),
        (((" eight", -0.1), (".", -0.5)), 0.607),
    ],
)
def test_the_end_is_as_sure_as_the_least_sure_token_of_the_last_word(
    tokens: tuple[tuple[str, float], ...], probability: float
):
    found = ending_probability([e.TokenLogprob(*token) for token in tokens])
    assert found == pytest.approx(probability, abs=0.001)


def semantic(eagerness: str = "auto") -> Script:
    return Script(turn_detection=e.TurnDetection(kind="semantic_vad", eagerness=eagerness))


def test_a_finished_sentence_is_answered_after_a_short_hold():
    script = semantic()
    script.speech()
    script.silence(96)
    script.heard("Are you open on Friday?")
    assert script.all(e.PrepareResponse)
    assert "AdoptResponse" in names(script.silence(160))


def test_an_unfinished_one_waits_for_the_rest():
    script = semantic()
    script.speech()
    script.silence(96)
    script.heard("I would like to book a table for")
    assert script.silence(2016) == []
    script.speech()
    script.silence(96)
    script.heard("I would like to book a table for four people.")
    script.silence(192)
    assert script.last(e.TranscriptionCompleted).transcript == "I would like to book a table for four people."


@pytest.mark.parametrize(("eagerness", "bound_ms"), [("high", 2000), ("medium", 4000), ("low", 8000)])
def test_no_turn_waits_longer_than_its_eagerness_allows(eagerness: str, bound_ms: int):
    script = semantic(eagerness)
    script.speech()
    script.silence(96)
    script.heard("and")
    assert script.silence(bound_ms - 160) == []
    assert "SpeechStopped" in names(script.silence(96))


def test_a_transcript_that_comes_late_ends_a_hold_that_is_over_already():
    script = semantic()
    script.speech()
    script.silence(1024)
    ended = names(script.heard("Are you open on Friday?"))
    assert ended[0] == "SpeechStopped"
    assert ended[-2:] == ["ResponseCreated", "StartResponse"]


def test_many_pauses_are_all_listened_to():
    script = semantic()
    for _ in range(6):
        script.speech(96)
        script.silence(128)
        script.heard("and")
    assert len(script.rules.asked) == 6
    script.speech(96)
    script.silence(96)
    script.heard("That is all.")
    assert "SpeechStopped" in names(script.silence(192))
