"""The language of a call: it stays until a turn is surely in another, and everything follows it."""

from __future__ import annotations

import pytest

from server.core import events as e
from server.core.language import language_after, with_language
from tests.core.script import Script, names


@pytest.mark.parametrize(
    ("before", "heard", "probability", "text", "after"),
    [
        ("en", "de", 0.95, "Wann haben Sie geöffnet?", "de"),
        ("en", "de", 0.71, "Wann haben Sie geöffnet?", "de"),
        ("en", "de", 0.69, "Wann haben Sie geöffnet?", "en"),
        ("en", "nl", 0.80, "Ja.", "en"),
        ("en", "nl", 0.80, "Ja graag.", "en"),
        ("en", "de", 0.86, "Ja.", "de"),
        ("en", "de", 0.99, "", "en"),
        ("en", "", 0.0, "Yes", "en"),
        (None, "de", 0.1, "Ja.", "de"),
        (None, "de", 0.9, "", None),
    ],
)
def test_a_turn_changes_the_language_only_when_it_is_sure(
    before: str | None, heard: str, probability: float, text: str, after: str | None
):
    assert language_after(before, heard, probability, text, 0.7) == after


def test_languages_without_a_name_are_told_by_their_code():
    assert with_language("Be kind.", "de") == "Be kind.\n\nThe caller now speaks German. Answer in German."
    assert "'sv' (ISO 639-1)" in with_language("", "sv")


def turn(script: Script, text: str, language: str, probability: float) -> e.ResponseView:
    """A spoken turn and its answer to the end; the response as it was done."""
    script.speech()
    script.silence()
    item, revision = script.rules.asked[-1]
    script.tell(e.TranscriptFinal(item, revision, text, language, probability))
    script.silence(480)
    response = script.last(e.ResponseCreated).response.id
    script.says(response, "Well.", samples=240)
    script.finished(response)
    return script.last(e.ResponseDone).response


def test_a_sure_turn_switches_the_call_and_the_client_is_told_once():
    script = Script(language="en", instructions="Be kind.", voices={"de": "house_de"})
    first = turn(script, "Are you open on Friday?", "en", 0.99)
    assert (first.language, first.switched_from) == ("en", None)
    second = turn(script, "Wann haben Sie am Freitag geöffnet?", "de", 0.98)
    assert (second.language, second.switched_from) == ("de", "en")
    created = script.last(e.ResponseCreated).response
    assert (created.language, created.switched_from) == ("de", "en")
    generation = script.last(e.PrepareResponse).generation
    assert (generation.language, generation.house_voice) == ("de", "house_de")
    assert generation.messages[0].text.startswith("Be kind.\n\nThe caller now speaks German.")
    third = turn(script, "Mhm ja", "nl", 0.6)
    assert (third.language, third.switched_from) == ("de", None)
    assert script.last(e.PrepareResponse).generation.language == "de"
    assert script.session.language == "de"
    back = turn(script, "Do you speak English as well?", "en", 0.99)
    assert (back.language, back.switched_from) == ("en", "de")
    assert script.last(e.PrepareResponse).generation.messages[0].text == "Be kind."


def test_a_turn_that_goes_on_has_changed_nothing():
    script = Script(language="en")
    script.speech()
    script.silence()
    item, revision = script.rules.asked[-1]
    script.tell(e.TranscriptFinal(item, revision, "Was kostet das denn", "de", 0.9))
    assert script.last(e.PrepareResponse).generation.language == "de"
    script.speech()
    assert script.session.language == "en"


def test_a_language_that_the_client_names_holds_until_a_turn_is_heard():
    script = Script(language="en", transcription=e.InputTranscription(language="fr"))
    script.tell(e.CreateResponse(None))
    assert script.last(e.StartResponse).generation.language == "fr"
    assert script.last(e.ResponseCreated).response.language == "fr"


def test_a_response_that_waited_for_the_words_is_made_in_their_language():
    script = Script(language="en", turn_detection=None, instructions="Be kind.")
    script.position += 16_000
    script.tell(e.CommitAudio(None, script.position), e.CreateResponse(None))
    script.heard("Was kostet ein Haarschnitt?", "de")
    assert script.last(e.StartResponse).generation.language == "de"
    response = script.last(e.ResponseCreated).response.id
    script.finished(response)
    done = script.last(e.ResponseDone).response
    assert (done.language, done.switched_from) == ("de", "en")


def test_without_an_expectation_the_first_turn_sets_the_language_and_is_no_switch():
    script = Script()
    first = turn(script, "Wann haben Sie geöffnet?", "de", 0.4)
    assert (first.language, first.switched_from) == ("de", None)
    assert names(script.all(e.ResponseDone)) == ["ResponseDone"]
    assert script.last(e.PrepareResponse).generation.messages[0].role == "user"


def test_what_is_asked_beside_the_conversation_is_not_told_to_speak_the_callers_language():
    script = Script(language="en", instructions="Be kind.")
    turn(script, "Wann haben Sie am Freitag geöffnet?", "de", 0.98)
    script.tell(e.CreateResponse(None, e.ResponseOverrides(conversation="none", instructions="Name the topic.")))
    assert script.last(e.StartResponse).generation.messages[0].text == "Name the topic."
    script.tell(e.CreateResponse(None, e.ResponseOverrides(instructions="Say goodbye.")))
    assert script.last(e.StartResponse).generation.messages[0].text.startswith("Say goodbye.\n\nThe caller now speaks")
