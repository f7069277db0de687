"""Who speaks over an answer stops it with words, not with a cough or "mm-hm"."""

from __future__ import annotations

import pytest

from server.core import events as e
from server.core.backchannel import meant_so_far, meant_words
from server.core.turns import TurnPolicy
from tests.core.script import Script, names


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Mm-hm.", 0),
        ("Ja, genau!", 0),
        ("Yeah. I see. Okay.", 0),
        ("D’accord.", 0),
        ("Thank you.", 0),
        ("", 0),
        ("Stop.", 1),
        ("Okay, stop.", 1),
        ("Nein, das stimmt nicht.", 3),
        ("Ja, aber am Montag.", 3),
    ],
)
def test_what_a_listener_says_is_no_word_that_counts(text: str, words: int):
    assert meant_words(text) == words


@pytest.mark.parametrize(
    ("text", "before", "confidence", "words"),
    [
        ("Stop", "", 0.9, 1),
        ("Metome.", "", 0.6, 0),
        ("Memay.", "M may.", 0.6, 0),
        ("What time", "What kit", 0.6, 1),
        ("How much is", "How much.", 0.6, 2),
        ("Ja gena", "Ja", 0.9, 0),
        ("Ja, gena am", "Ja", 0.9, 2),
    ],
)
def test_words_of_an_unfinished_utterance_count_when_they_are_sure(
    text: str, before: str, confidence: float, words: int
):
    assert meant_so_far(text, before, confidence) == words


def over_an_answer(**policy: int) -> tuple[Script, str, str]:
    """Five seconds of answer are being played, and somebody has begun to speak over them; the answer, the turn."""
    script = Script(TurnPolicy(**{"interrupt_words": 1, **policy}))
    response = script.question()
    script.says(response, "We are open from nine to five.", samples=5 * 24_000)
    script.finished(response)
    script.silence(512)
    assert names(script.speech(160)) == ["OpenUtterance"]
    return script, script.last(e.OutputAudioDelta).item_id, script.last(e.OpenUtterance).item_id


def test_words_stop_the_answer_and_the_turn_begins_where_it_was_heard():
    script, answer, turn = over_an_answer()
    began = script.last(e.OpenUtterance).start
    outputs = script.tell(e.TranscriptPartial(turn, "Stop", ""))
    assert outputs == [e.SpeechStarted(turn, began // 16), e.ClearPlayout(answer)]
    script.speech(320)
    script.silence(128)
    script.heard("Stop, on Friday please.")
    script.silence(480)
    assert script.last(e.TranscriptionCompleted).transcript == "Stop, on Friday please."
    assert len(script.all(e.ResponseCreated)) == 2


def test_an_answer_in_the_making_is_cancelled_by_words_only():
    script = Script(TurnPolicy(interrupt_words=1))
    response = script.question()
    script.says(response, "We are open.", samples=48_000)
    assert names(script.speech(320)) == ["OpenUtterance"]
    turn = script.last(e.OpenUtterance).item_id
    assert script.tell(e.TranscriptPartial(turn, "Mm-hm", "")) == []
    script.tell(e.TranscriptPartial(turn, "Mm-hm, wait", ""))
    assert script.last(e.ResponseDone).response.reason == "turn_detected"


@pytest.mark.parametrize("text", ["Mm-hm.", "Ja genau.", ""])
def test_what_holds_no_such_words_leaves_no_trace(text: str):
    script, _, turn = over_an_answer()
    before = len(script.all(e.ResponseCreated))
    script.tell(e.TranscriptPartial(turn, text, text))
    script.speech(320)
    assert names(script.silence(128)) == ["Transcribe"]
    assert script.heard(text) == []
    assert names(script.silence(512)) == ["DropUtterance"]
    assert len(script.all(e.SpeechStarted)) == 1
    assert len(script.all(e.ResponseCreated)) == before
    assert [item.role for item in script.session.conversation] == ["user", "assistant"]
    script.silence(5_000)
    script.question("and on Saturday")
    assert len(script.all(e.SpeechStarted)) == 2


def test_yes_is_a_reply_when_the_answer_ends_meanwhile():
    script, _, turn = over_an_answer()
    script.tell(e.TranscriptPartial(turn, "Yes", ""))
    script.silence(128)
    script.heard("Yes.")
    assert script.all(e.SpeechStarted)[1:] == []
    script.session._state.ledger.interrupt(script.position)
    ended = script.silence(512)
    assert names(ended)[:3] == ["SpeechStarted", "SpeechStopped", "AudioCommitted"]
    assert script.last(e.TranscriptionCompleted).transcript == "Yes."
    assert names(ended)[-2:] == ["ResponseCreated", "StartResponse"]


def test_who_is_still_speaking_when_the_answer_ends_has_the_floor():
    script, _, turn = over_an_answer()
    script.tell(e.TranscriptPartial(turn, "mm", ""))
    spoken = script.speech(6_000)
    assert names(spoken)[:1] == ["SpeechStarted"]


def test_a_transcriber_that_is_too_slow_is_not_waited_for():
    script, answer, turn = over_an_answer()
    assert script.speech(448) == []
    assert script.speech(32) == [
        e.SpeechStarted(turn, script.last(e.OpenUtterance).start // 16),
        e.ClearPlayout(answer),
    ]


def test_a_turn_whose_words_come_after_its_end_counts():
    script, _, _ = over_an_answer()
    assert names(script.silence(640))[:3] == ["Transcribe", "SpeechStarted", "ClearPlayout"]


@pytest.mark.parametrize(("covered_ms", "passes"), [(600, True), (300, False)])
def test_a_final_transcript_that_is_late_is_not_needed_when_all_of_the_speech_is_known(covered_ms: int, passes: bool):
    script, _, turn = over_an_answer()
    script.speech(96)
    script.tell(e.TranscriptPartial(turn, "Okay.", "", 0.9, covered_ms))
    assert names(script.silence(128)) == ["Transcribe"]
    assert (names(script.silence(512)) == ["DropUtterance"]) is passes
    assert len(script.all(e.SpeechStarted)) == (1 if passes else 2)


def test_a_client_that_commits_means_what_was_said():
    script, answer, turn = over_an_answer()
    outputs = script.tell(e.CommitAudio(None, script.position))
    assert outputs[:2] == [e.SpeechStarted(turn, script.last(e.OpenUtterance).start // 16), e.ClearPlayout(answer)]
    assert "AudioCommitted" in names(outputs)


def test_a_client_that_clears_its_audio_has_said_nothing():
    script, _, turn = over_an_answer()
    assert script.tell(e.ClearAudio(None, script.position)) == [e.DropUtterance(turn), e.AudioCleared()]


def test_without_the_setting_any_speech_stops_it():
    script = Script(TurnPolicy(interrupt_words=0))
    response = script.question()
    script.says(response, "We are open.", samples=48_000)
    assert names(script.speech(160))[:2] == ["SpeechStarted", "OpenUtterance"]


def test_nobody_is_asked_for_words_where_nothing_can_be_stopped():
    script = Script(TurnPolicy(interrupt_words=1), turn_detection=e.TurnDetection(interrupt_response=False))
    response = script.question()
    script.says(response, "We are open.", samples=48_000)
    assert names(script.speech(160))[:2] == ["SpeechStarted", "OpenUtterance"]


def test_an_answer_that_the_client_has_cut_short_is_not_spoken_over_any_more():
    script = Script(TurnPolicy(interrupt_words=1))
    response = script.question()
    script.says(response, "We are open from nine to five.", samples=20 * 24_000)
    script.tell(e.CancelResponse(None))
    script.tell(e.TruncateItem(None, script.last(e.OutputAudioDelta).item_id, 0, 100))
    script.silence(96)
    script.speech(160)
    script.silence()
    script.heard("Yes.")
    assert names(script.silence(512))[-2:] == ["AdoptResponse", "ResponseCreated"]
