"""Spoken turns: soft end, prepare, adopt, discard, commit."""

from __future__ import annotations

import pytest

from server.core import events as e
from server.core.turns import TurnPolicy
from tests.core.script import Script, names


def test_a_click_of_one_frame_is_no_turn():
    script = Script()
    assert script.frames(1, 0.99) == []
    assert script.silence() == []


def test_speech_starts_a_turn_with_its_padding():
    script = Script()
    script.silence(1600)
    started = script.speech(64)
    assert names(started) == ["SpeechStarted", "OpenUtterance"]
    assert script.last(e.SpeechStarted).audio_start_ms == 1600 - 300
    assert script.last(e.OpenUtterance).start == (1600 - 300) * 16


def test_padding_never_reaches_into_the_turn_before():
    script = Script(turn_detection=e.TurnDetection(silence_duration_ms=100, prefix_padding_ms=2000))
    script.speech()
    script.silence(320)
    committed = script.last(e.CloseUtterance).end
    script.speech(64)
    assert script.all(e.OpenUtterance)[1].start == committed


def test_a_pause_is_transcribed_and_answered_before_the_hold_is_over():
    script = Script()
    script.speech()
    assert names(script.silence(96)) == ["Transcribe"]
    assert not script.last(e.Transcribe).confirmed
    assert names(script.heard("are you open")) == ["PrepareResponse"]
    generation = script.last(e.PrepareResponse).generation
    assert generation.messages[-1] == e.ContextMessage("user", "are you open")
    assert script.says(generation.response_id, "Yes, we are.") == []


def test_a_prepared_answer_goes_out_in_the_step_that_commits_the_turn():
    script = Script()
    script.speech()
    script.silence(96)
    script.heard("are you open")
    response = script.last(e.PrepareResponse).generation.response_id
    script.says(response, "Yes, we are.")
    script.finished(response)
    assert names(script.silence(400)) == []
    committed = script.silence(32)
    assert names(committed) == [
        "SpeechStopped",
        "AudioCommitted",
        "ItemAdded",
        "ItemDone",
        "CloseUtterance",
        "TranscriptionDelta",
        "TranscriptionCompleted",
        "AdoptResponse",
        "ResponseCreated",
        "OutputItemAdded",
        "ItemAdded",
        "ContentPartAdded",
        "OutputTranscriptDelta",
        "OutputAudioDelta",
        "OutputAudioDone",
        "OutputTranscriptDone",
        "ContentPartDone",
        "ItemDone",
        "OutputItemDone",
        "ResponseDone",
    ]
    assert script.last(e.SpeechStopped).audio_end_ms == script.position // 16


def test_the_hold_may_end_between_two_frames():
    script = Script()
    script.speech()
    script.silence(480)
    late = script.position + 20 * 16
    assert script.tell(e.InputClock(late - 1)) == []
    assert "SpeechStopped" in names(script.tell(e.InputClock(late)))


def test_a_detector_that_lags_behind_the_clock_ends_no_hold():
    script = Script()
    script.speech()
    script.silence(128)
    assert script.tell(e.InputClock(script.position + 10 * 16_000)) == []


def test_speech_in_the_hold_discards_what_was_prepared_and_goes_on():
    script = Script()
    script.speech()
    script.silence(96)
    script.heard("are you")
    response = script.last(e.PrepareResponse).generation.response_id
    assert names(script.speech(32)) == ["StopResponse"]
    assert script.says(response, "Late words.") == []
    script.silence(96)
    assert script.last(e.Transcribe).revision == 1
    script.heard("are you open on friday")
    script.silence(480)
    assert script.last(e.TranscriptionCompleted).transcript == "are you open on friday"
    assert len(script.all(e.ResponseCreated)) == 1


def test_a_transcript_of_an_older_revision_is_ignored():
    script = Script()
    script.speech()
    script.silence(96)
    script.speech(96)
    assert script.heard("are") == []


def test_a_caller_who_keeps_pausing_costs_a_bounded_number_of_answers():
    script = Script(TurnPolicy(max_prepares=2))
    for _ in range(5):
        script.speech(96)
        script.silence(128)
        script.heard("well")
    assert len(script.all(e.PrepareResponse)) == 2
    script.silence(480)
    assert script.last(e.Transcribe).confirmed
    assert names(script.heard("well"))[-2:] == ["ResponseCreated", "StartResponse"]


def test_without_preparing_everything_starts_at_the_commit():
    script = Script(TurnPolicy(prepare=False))
    script.speech()
    script.silence(512)
    assert script.all(e.PrepareResponse) == []
    assert script.last(e.Transcribe).confirmed
    script.heard("are you open")
    assert names(script.log)[-2:] == ["ResponseCreated", "StartResponse"]


def test_a_transcript_that_comes_after_the_commit_starts_the_answer():
    script = Script()
    script.speech()
    script.silence(512)
    assert script.all(e.ResponseCreated) == []
    assert names(script.heard("are you open")) == [
        "TranscriptionDelta",
        "TranscriptionCompleted",
        "ResponseCreated",
        "StartResponse",
    ]


def test_noise_without_words_gets_no_answer():
    script = Script()
    script.speech()
    script.silence()
    script.heard("")
    script.silence(480)
    assert script.last(e.TranscriptionCompleted).transcript == ""
    assert script.all(e.ResponseCreated) == []


def test_create_response_off_commits_and_stays_silent():
    script = Script(turn_detection=e.TurnDetection(create_response=False))
    script.speech()
    script.silence()
    script.heard("are you open")
    script.silence(480)
    assert script.all(e.AudioCommitted)
    assert script.all(e.PrepareResponse) == script.all(e.ResponseCreated) == []


def test_a_change_of_the_session_in_the_hold_makes_the_prepared_answer_moot():
    script = Script()
    script.speech()
    script.silence(96)
    script.heard("are you open")
    script.tell(e.UpdateSession(None, {"instructions": "Speak like a pirate."}))
    committed = names(script.silence(480))
    assert "AdoptResponse" not in committed
    assert script.last(e.StartResponse).generation.messages[0].text == "Speak like a pirate."


def test_an_item_created_in_the_hold_makes_the_prepared_answer_moot():
    script = Script()
    script.speech()
    script.silence(96)
    script.heard("are you open")
    fact = e.Item("", e.ItemKind.MESSAGE, role="system", content=(e.ContentPart("input_text", "It is Friday."),))
    script.tell(e.CreateItem(None, fact, None))
    script.silence(480)
    assert [m.text for m in script.last(e.StartResponse).generation.messages] == ["It is Friday.", "are you open"]


def test_a_failed_preparation_is_made_good_at_the_commit():
    script = Script()
    script.speech()
    script.silence(96)
    script.heard("are you open")
    response = script.last(e.PrepareResponse).generation.response_id
    script.tell(e.ResponseFailed(response, "engine_error", "worker died"))
    script.silence(480)
    assert script.last(e.StartResponse).generation.response_id != response
    assert script.all(e.ResponseDone) == []


def test_a_turn_nobody_could_transcribe_is_a_failed_response():
    script = Script()
    script.speech()
    script.silence(512)
    item, revision = script.rules.asked[-1]
    script.tell(e.TranscriptFailed(item, revision, "worker died"))
    assert script.all(e.TranscriptionFailed)
    done = script.last(e.ResponseDone).response
    assert (done.status, done.error_code) == (e.ResponseStatus.FAILED, "transcription_failed")
    assert script.question("are you open") != done.id


def test_words_are_shown_while_the_caller_speaks():
    script = Script()
    script.speech()
    item = script.last(e.SpeechStarted).item_id
    script.tell(e.TranscriptPartial(item, "are you o", ""))
    script.tell(e.TranscriptPartial(item, "are you open", "are you"))
    script.tell(e.TranscriptPartial(item, "are you open on", "are you open"))
    script.silence()
    script.heard("are you open on friday")
    script.silence(480)
    assert [d.delta for d in script.all(e.TranscriptionDelta)] == ["are you", " open", " on friday"]


def test_a_manual_commit_makes_an_item_and_no_response():
    script = Script(turn_detection=None)
    assert script.frames(20, 0.9) == []
    committed = script.tell(e.CommitAudio(None, script.position))
    assert names(committed) == [
        "OpenUtterance",
        "AudioCommitted",
        "ItemAdded",
        "ItemDone",
        "Transcribe",
        "CloseUtterance",
    ]
    assert script.last(e.OpenUtterance).start == 0
    script.heard("are you open")
    assert script.all(e.ResponseCreated) == []


def test_a_response_waits_for_the_words_of_the_turn_before_it():
    script = Script(turn_detection=None)
    script.frames(20, 0.9)
    script.tell(e.CommitAudio(None, script.position))
    assert names(script.tell(e.CreateResponse(None))) == ["ResponseCreated"]
    assert "StartResponse" in names(script.heard("are you open"))
    assert script.last(e.StartResponse).generation.messages[-1].text == "are you open"


def test_committing_under_100_ms_names_what_is_there():
    script = Script(turn_detection=None)
    outputs = script.tell(e.CommitAudio("event_7", 1600 - 8))
    assert outputs == [
        e.Error(
            "input_audio_buffer_commit_empty",
            "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, "
            "but buffer only has 99.50ms of audio.",
            None,
            "event_7",
        )
    ]


def test_clearing_forgets_the_turn_under_way():
    script = Script()
    script.speech()
    assert names(script.tell(e.ClearAudio(None, script.position))) == ["DropUtterance", "AudioCleared"]
    assert script.silence(1000) == []
    assert names(script.tell(e.CommitAudio(None, script.position)))[:2] == ["OpenUtterance", "AudioCommitted"]


def test_committing_in_the_middle_of_speech_ends_the_turn_without_an_answer():
    script = Script()
    script.speech()
    assert "AudioCommitted" in names(script.tell(e.CommitAudio(None, script.position)))
    script.heard("are you open")
    assert script.all(e.ResponseCreated) == []


def test_turning_detection_off_keeps_the_audio_for_a_manual_commit():
    script = Script()
    script.silence(640)
    script.speech()
    start = script.last(e.OpenUtterance).start
    script.tell(e.UpdateSession(None, {"turn_detection": None}))
    script.tell(e.CommitAudio(None, script.position))
    assert script.last(e.OpenUtterance).start == start


def test_the_hold_counts_from_the_last_sound_and_not_from_the_detectors_belief():
    script = Script()
    script.speech()
    sound = script.position
    for _ in range(2):
        script.position += 512
        script.tell(e.SpeechProbability(script.position, 0.8, loud_until=sound))
    script.silence(32)
    assert script.last(e.Transcribe).speech_end == sound
    script.silence(352)
    assert script.all(e.SpeechStopped) == []
    script.silence(64)
    assert script.last(e.SpeechStopped).audio_end_ms == sound // 16 + 512


def test_speech_too_soft_to_measure_is_speech_all_the_same():
    script = Script()
    script.speech()
    sound = script.position
    for _ in range(40):
        script.position += 512
        assert script.tell(e.SpeechProbability(script.position, 0.8, loud_until=sound)) == []
    script.silence(32)
    assert script.last(e.Transcribe).speech_end == script.position - 3 * 512


def test_a_response_that_the_client_wants_in_the_hold_ends_what_was_prepared():
    script = Script()
    script.speech()
    script.silence()
    script.heard("are you open")
    prepared = script.last(e.PrepareResponse).generation.response_id
    outputs = script.tell(e.CreateResponse(None))
    assert outputs[0] == e.StopResponse(prepared)
    script.silence(480)
    script.finished(script.last(e.ResponseCreated).response.id)
    script.finished(script.last(e.ResponseCreated).response.id)
    script.speech()
    script.silence()
    assert "PrepareResponse" in names(script.heard("and on Saturday"))


@pytest.mark.parametrize("noise_first", [False, True])
def test_a_noise_before_the_answer_has_begun_does_not_take_the_answer_away(noise_first: bool):
    script = Script()
    script.speech()
    script.silence(512)
    question = e.TranscriptFinal(*script.rules.asked[-1], "are you open", "en")
    script.speech(96)
    script.silence(512)
    noise = e.TranscriptFinal(*script.rules.asked[-1], "", "en")
    first, then = (noise, question) if noise_first else (question, noise)
    assert "ResponseCreated" not in names(script.tell(first))
    assert names(script.tell(then))[-2:] == ["ResponseCreated", "StartResponse"]
    assert [m.text for m in script.last(e.StartResponse).generation.messages] == ["are you open"]


def test_two_noises_are_no_question():
    script = Script()
    script.speech()
    script.silence(512)
    first = script.rules.asked[-1]
    script.speech(96)
    script.silence(512)
    script.heard("")
    script.tell(e.TranscriptFinal(*first, "", "en"))
    assert script.all(e.ResponseCreated) == []


def test_a_noise_over_an_answer_that_nobody_has_heard_yet_has_it_made_again():
    script = Script()
    script.question()
    script.speech()
    assert script.last(e.ResponseDone).response.reason == "turn_detected"
    script.silence()
    script.heard("")
    assert names(script.silence(480))[-2:] == ["ResponseCreated", "StartResponse"]
    script.says(script.last(e.ResponseCreated).response.id, "We are.")
    script.speech()
    script.silence()
    script.heard("")
    assert "ResponseCreated" not in names(script.silence(480)), "what was heard in part is not said again"


def test_a_client_that_answers_by_itself_gets_no_answer_to_a_noise():
    script = Script(turn_detection=e.TurnDetection(create_response=False))
    script.speech()
    script.silence()
    script.heard("are you open")
    script.silence(480)
    script.tell(e.CreateResponse(None))
    script.speech()
    script.silence()
    script.heard("")
    script.silence(480)
    assert len(script.all(e.ResponseCreated)) == 1


def test_a_response_made_from_an_item_waits_for_the_words_of_that_item():
    script = Script(turn_detection=None)
    script.frames(20, 0.9)
    script.tell(e.CommitAudio(None, script.position))
    item = script.last(e.AudioCommitted).item_id
    overrides = e.ResponseOverrides(conversation="none", input=(item,))
    assert names(script.tell(e.CreateResponse(None, overrides))) == ["ResponseCreated"]
    assert "StartResponse" in names(script.heard("are you open"))
    assert script.last(e.StartResponse).generation.messages[-1].text == "are you open"
