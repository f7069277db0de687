"""Turns that may be nobody's get a few answers, and no more until somebody is understood."""

from __future__ import annotations

import pytest

from server.core import events as e
from server.core.doubts import Sound
from server.core.turns import TurnPolicy
from tests.core.script import Script

TAPE = "please hold the line, all our agents are busy"


def turn(script: Script, text: str, confidence: float = 1.0) -> bool:
    """A spoken turn; whether it was answered. The answer is played to its end."""
    before = len(script.all(e.ResponseCreated))
    script.speech()
    script.silence()
    script.heard(text, confidence=confidence)
    script.silence(480)
    answers = script.all(e.ResponseCreated)[before:]
    for created in answers:
        script.says(created.response.id, "Pardon?", samples=800)
        script.finished(created.response.id)
    script.silence(640)
    return bool(answers)


def test_unclear_words_are_answered_a_few_times_and_then_only_clear_ones():
    script = Script(TurnPolicy(doubtful_answers=3))
    assert [turn(script, f"oh we are number {number}", 0.4) for number in range(6)] == [True] * 3 + [False] * 3
    assert turn(script, "are you open on friday")
    assert turn(script, "oh we are away", 0.4)


def test_what_is_not_answered_stays_in_the_conversation_and_is_not_thought_about():
    script = Script(TurnPolicy(doubtful_answers=1))
    assert turn(script, "oh we are", 0.4)
    prepared = len(script.all(e.PrepareResponse))
    assert not turn(script, "under the stars", 0.4)
    assert len(script.all(e.PrepareResponse)) == prepared
    assert turn(script, "hello there")
    said = [message.text for message in script.last(e.PrepareResponse).generation.messages if message.role == "user"]
    assert said == ["oh we are", "under the stars", "hello there"]


@pytest.mark.parametrize("other", ["", "thank you for waiting with us today"])
def test_a_tape_that_comes_round_again_is_not_answered_for_ever(other: str):
    script = Script(TurnPolicy(doubtful_answers=3))
    answered = [turn(script, text) for _ in range(12) for text in (TAPE, other) if text]
    assert not any(answered[-6:])
    assert sum(answered) <= 10


def test_a_person_may_say_the_same_short_words_as_often_as_needed():
    script = Script(TurnPolicy(doubtful_answers=1))
    assert all(turn(script, "yes please") for _ in range(12))


def test_without_a_limit_every_turn_with_words_is_answered():
    script = Script(TurnPolicy())
    assert all(turn(script, TAPE, 0.2) for _ in range(8))


def test_what_is_on_the_line_is_known_when_the_transcriber_has_looked():
    script = Script(TurnPolicy(doubtful_answers=1))
    assert script.session.sound is Sound.NOTHING
    script.speech()
    item = script.last(e.OpenUtterance).item_id
    assert script.session.sound is Sound.UNKNOWN
    script.tell(e.TranscriptPartial(item, "", "", audio_ms=200))
    assert script.session.sound is Sound.NOTHING
    script.tell(e.TranscriptPartial(item, "are you", "", 0.9, 300))
    assert script.session.sound is Sound.WORDS
    script.silence(1000)
    assert script.session.sound is Sound.UNKNOWN
    script.heard("are you", confidence=0.3)
    assert script.session.sound is Sound.NOTHING
    script.finished(script.last(e.ResponseCreated).response.id)
    script.speech()
    script.tell(e.TranscriptPartial(script.last(e.OpenUtterance).item_id, "under the stars", "", 0.9, 300))
    assert script.session.sound is Sound.NOTHING
