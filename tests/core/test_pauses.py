"""A door that can pause is silent at the first sound of speech over an answer, and goes on if that was nothing."""

from __future__ import annotations

import pytest

from server.core import events as e
from server.core.turns import TurnPolicy
from tests.core.script import Script, names

PAUSE, GO_ON = e.PausePlayout(True), e.PausePlayout(False)


def answering(*, seconds: int = 5, marks: bool = False, words: int = 0) -> tuple[Script, str]:
    """An answer of so many seconds is being played; its item."""
    script = Script(TurnPolicy(interrupt_ms=96, interrupt_words=words, pauses=True), marks=marks)
    response = script.question()
    script.says(response, "We are open from nine to five.", samples=seconds * 24_000)
    script.finished(response)
    script.silence(512)
    return script, script.last(e.OutputAudioDelta).item_id


def said_over(script: Script) -> str:
    """Enough speech to be a turn; its id."""
    assert script.speech(32) == [PAUSE]
    assert names(script.speech(96)) == ["OpenUtterance"]
    return script.last(e.OpenUtterance).item_id


def test_the_first_frame_of_speech_pauses_the_answer_and_words_stop_it():
    script, answer = answering()
    turn = said_over(script)
    outputs = script.tell(e.TranscriptPartial(turn, "Stop", ""))
    assert outputs == [e.SpeechStarted(turn, script.last(e.OpenUtterance).start // 16), e.ClearPlayout(answer), GO_ON]


def test_a_click_costs_a_moment_and_no_turn():
    script, _ = answering()
    assert script.speech(32) == [PAUSE]
    assert script.silence(64) == [GO_ON]
    assert script.silence(1_000) == []


def test_speech_that_stutters_is_silent_from_its_beginning_on():
    script, _ = answering()
    script.frames(1, 0.9)
    script.frames(1, 0.1)
    assert names(script.speech(96)) == ["OpenUtterance"]
    assert script.all(e.PausePlayout) == [PAUSE]


@pytest.mark.parametrize("words", [0, 1])
def test_what_a_listener_says_lets_the_answer_go_on_where_it_was(words: int):
    script, answer = answering(words=words)
    said_over(script)
    assert names(script.silence(128)) == ["Transcribe"]
    assert script.heard("Ja, genau.") == [GO_ON]
    assert names(script.silence(512)) == ["DropUtterance"]
    assert script.all(e.ClearPlayout) == []
    assert len(script.all(e.SpeechStarted)) == 1
    assert script.session.conversation[answer].status is e.ItemStatus.COMPLETED


def test_what_nobody_has_understood_may_be_stop():
    script, answer = answering()
    said_over(script)
    script.silence(128)
    outputs = script.heard("")
    assert names(outputs)[:2] == ["SpeechStarted", "ClearPlayout"]
    assert outputs[-1] == GO_ON
    assert [clear.item_id for clear in script.all(e.ClearPlayout)] == [answer]


def test_where_words_are_asked_for_a_cough_only_pauses():
    script, _ = answering(words=1)
    said_over(script)
    script.silence(128)
    assert script.heard("") == [GO_ON]
    assert names(script.silence(512)) == ["DropUtterance"]


def test_who_goes_on_after_a_yes_is_heard_again():
    script, _ = answering()
    said_over(script)
    script.silence(128)
    script.heard("Yes.")
    assert script.speech(32) == [PAUSE]
    script.speech(160)
    script.silence(128)
    assert names(script.heard("Yes, but on Friday."))[:2] == ["SpeechStarted", "ClearPlayout"]


def test_a_transcriber_that_is_too_slow_is_not_waited_for_and_nothing_was_heard_meanwhile():
    script, answer = answering(seconds=2)
    heard = script.session._state.ledger.heard(answer, script.position)
    said_over(script)
    assert names(script.speech(480))[:2] == ["SpeechStarted", "ClearPlayout"]
    paused = script.session._state.ledger.heard(answer, script.position)
    assert heard is not None
    assert paused == heard + 32 * 24


def test_an_answer_lasts_longer_by_its_pauses():
    script, answer = answering(seconds=2)
    ledger = script.session._state.ledger
    left = ledger.remaining(script.position)
    said_over(script)
    script.silence(128)
    script.heard("Okay.")
    # The frame in which the caller was first noticed was still played.
    assert ledger.remaining(script.position) == left - 512
    assert ledger.heard(answer, script.position) == 2 * 24_000 - (left - 512) * 24 // 16


def test_yes_over_the_last_words_of_a_question_is_the_reply():
    script, answer = answering(seconds=1)
    said_over(script)
    script.silence(128)
    assert script.heard("Yes.") == []
    ended = script.silence(512)
    assert names(ended)[:2] == ["SpeechStarted", "ClearPlayout"]
    assert [clear.item_id for clear in script.all(e.ClearPlayout)] == [answer]
    assert script.last(e.TranscriptionCompleted).transcript == "Yes."
    assert names(ended)[-3:] == ["ResponseCreated", "StartResponse", "PausePlayout"]


def test_protected_words_do_not_pause():
    script = Script(TurnPolicy(interrupt_ms=96, pauses=True), marks=True)
    script.tell(e.Say("Good day, you speak with a machine.", protected=True))
    response = script.last(e.ResponseCreated).response.id
    script.says(response, "Good day, you speak with a machine.")
    script.finished(response)
    script.speech(320)
    assert script.all(e.PausePlayout) == []


@pytest.mark.parametrize(
    "change",
    [
        e.KeyPressed("1"),
        e.LineLost(),
        e.UpdateSession(None, {"turn_detection": None}),
        e.UpdateSession(None, {"turn_detection": e.TurnDetection(interrupt_response=False)}),
    ],
)
def test_whatever_ends_the_speaking_ends_the_pause(change: e.Input):
    script, _ = answering()
    script.speech(32)
    assert script.tell(change)[-1] == GO_ON


def test_a_door_that_cannot_pause_is_never_asked_to():
    script = Script(TurnPolicy(interrupt_words=1))
    response = script.question()
    script.says(response, "We are open.", samples=48_000)
    script.speech(320)
    assert script.all(e.PausePlayout) == []


def test_an_item_that_the_client_stops_after_a_pause_is_not_playing_any_more():
    script, answer = answering(seconds=3)
    said_over(script)
    script.silence(128)
    script.heard("Okay.")
    script.silence(640)
    script.tell(e.TruncateItem(None, answer, 0, 500))
    assert not script.session._state.ledger.playing(script.position)


@pytest.mark.parametrize("said", ["", "Mm-hm."])
def test_a_sound_that_has_no_words_for_two_seconds_ends_the_answer(said: str):
    script, answer = answering()
    turn = said_over(script)
    script.tell(e.TranscriptPartial(turn, said, ""))
    assert script.speech(1_600) == []
    script.tell(e.TranscriptPartial(turn, said, ""))
    assert names(script.speech(320))[:2] == ["SpeechStarted", "ClearPlayout"]
    assert script.all(e.PausePlayout) == [PAUSE, GO_ON]
    assert script.session.conversation[answer].id == script.last(e.ClearPlayout).item_id


def test_where_words_are_asked_for_music_lets_the_answer_go_on_and_words_in_it_stop_it():
    script, _ = answering(seconds=9, words=1)
    turn = said_over(script)
    script.tell(e.TranscriptPartial(turn, "", ""))
    assert names(script.speech(4_000)) == ["PausePlayout"]
    assert script.all(e.PausePlayout) == [PAUSE, GO_ON]
    outputs = script.tell(e.TranscriptPartial(turn, "Stop it", ""))
    assert names(outputs) == ["SpeechStarted", "ClearPlayout"]


def test_what_flickers_between_a_voice_and_none_pauses_once_until_it_is_silent():
    script, _ = answering(seconds=9)
    for _ in range(60):
        script.frames(1, 0.9)
        script.frames(1, 0.1)
    assert script.all(e.PausePlayout) == [PAUSE, GO_ON]
    script.silence(64)
    assert script.speech(32) == [PAUSE]
