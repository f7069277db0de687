"""An engine gives up on an answer: the response fails, and the caller is told in a response of its own."""

from __future__ import annotations

import pytest

from server.core import events as e
from tests.core.script import Script, names

SORRY = {"en": "Sorry.", "de": "Verzeihung."}


def failing(script: Script, *, mute: bool = False) -> list[e.Output]:
    response = script.question()
    script.says(response, "We are", samples=240)
    return script.tell(e.ResponseFailed(response, "engine_error", "gone", mute))


def test_the_apology_follows_the_failed_response_in_one_of_its_own():
    script = Script(language="en", apologies=SORRY)
    outputs = failing(script)
    assert names(outputs)[-3:] == ["ResponseDone", "ResponseCreated", "StartResponse"]
    assert script.last(e.ResponseDone).response.status is e.ResponseStatus.FAILED
    generation = script.last(e.StartResponse).generation
    assert (generation.script, generation.language) == ("Sorry.", "en")
    script.says(generation.response_id, "Sorry.", samples=240)
    script.finished(generation.response_id)
    done = script.last(e.ResponseDone).response
    assert (done.id, done.status) == (generation.response_id, e.ResponseStatus.COMPLETED)
    assert done.output[0].content[0].text == "Sorry."
    script.question("are you still there")
    assert script.last(e.PrepareResponse).generation.messages[-2].text == "Sorry."


def test_it_is_said_in_the_language_of_the_call():
    script = Script(language="en", apologies=SORRY)
    script.speech()
    script.silence(512)
    script.heard("Wann haben Sie geöffnet?", "de")
    script.tell(e.ResponseFailed(script.last(e.ResponseCreated).response.id, "engine_error", "gone"))
    assert script.last(e.StartResponse).generation.script == "Verzeihung."


@pytest.mark.parametrize(
    "config",
    [
        {"modality": "text", "apologies": SORRY},
        {"apologies": {"de": "Verzeihung.", "en": ""}},
        {"apologies": {}},
        {"apologies": SORRY, "turn_detection": e.TurnDetection(create_response=False)},
        {"apologies": SORRY, "turn_detection": None},
    ],
    ids=["no speech", "no words", "other languages", "the client asks", "turns by hand"],
)
def test_nothing_is_said_where_nobody_waits_for_it(config: dict[str, object]):
    script = Script(language="en", **config)
    script.tell(e.CreateResponse(None))
    outputs = script.tell(e.ResponseFailed(script.last(e.ResponseCreated).response.id, "engine_error", "gone"))
    assert names(outputs)[-1] == "ResponseDone"


def test_nothing_is_said_when_the_voice_is_what_failed():
    assert names(failing(Script(language="en", apologies=SORRY), mute=True))[-1] == "ResponseDone"


def test_what_the_door_says_waits_for_the_answer_that_takes_an_apologys_place():
    script = Script(language="en", apologies=SORRY)
    failing(script)
    script.tell(e.Say("One more thing.", protected=False))
    asked = names(script.tell(e.CreateResponse(None)))
    assert asked.count("ResponseCreated") == 1
    answer = script.last(e.ResponseCreated).response.id
    script.tell(e.ResponseText(answer, "Yes."))
    script.finished(answer)
    assert script.last(e.StartResponse).generation.script == "One more thing."


def test_an_apology_that_fails_is_not_apologised_for():
    script = Script(language="en", apologies=SORRY)
    failing(script)
    apology = script.last(e.StartResponse).generation.response_id
    outputs = script.tell(e.ResponseFailed(apology, "engine_error", "gone"))
    assert names(outputs) == ["ResponseDone"]


def test_a_client_that_asks_again_has_not_to_wait_for_its_end():
    script = Script(language="en", apologies=SORRY)
    failing(script)
    apology = script.last(e.StartResponse).generation.response_id
    script.says(apology, "Sorry.", samples=240)
    outputs = script.tell(e.CreateResponse("event_1"))
    assert names(outputs)[0] == "StopResponse"
    assert names(outputs)[-2:] == ["ResponseCreated", "StartResponse"]
    done = script.last(e.ResponseDone).response
    assert (done.id, done.status, done.reason) == (apology, e.ResponseStatus.CANCELLED, "client_cancelled")
    assert script.last(e.StartResponse).generation.script is None
    assert script.rules.errors == []


def test_a_caller_may_break_into_it():
    script = Script(language="en", apologies=SORRY)
    failing(script)
    script.speech()
    assert script.last(e.ResponseDone).response.reason == "turn_detected"


def test_a_turn_that_was_not_understood_is_apologised_for():
    script = Script(language="en", apologies=SORRY)
    script.speech()
    script.silence(512)
    item, revision = script.rules.asked[-1]
    outputs = script.tell(e.TranscriptFailed(item, revision, "gone"))
    assert names(outputs)[-4:] == ["ResponseCreated", "ResponseDone", "ResponseCreated", "StartResponse"]


def test_a_response_beside_the_conversation_fails_in_silence():
    script = Script(language="en", apologies=SORRY)
    script.tell(e.CreateResponse(None, e.ResponseOverrides(conversation="none")))
    outputs = script.tell(e.ResponseFailed(script.last(e.ResponseCreated).response.id, "engine_error", "gone"))
    assert names(outputs) == ["ResponseDone"]
