"""What only a telephone does to a Session: words of the door, keys, a line that is lost."""

from __future__ import annotations

from server.core import events as e
from server.core.turns import TurnPolicy
from tests.core.script import Script, names


def greet(script: Script, *, protected: bool = True) -> str:
    """The door's greeting; its response is told as made, and its item is returned."""
    script.tell(e.Say("Good day, you speak with a machine.", protected))
    response = script.last(e.ResponseCreated).response.id
    script.says(response, "Good day, you speak with a machine.")
    script.finished(response)
    return script.last(e.OutputItemDone).item.id


def test_words_of_the_door_are_spoken_as_they_are_and_stay_in_the_conversation():
    script = Script(instructions="Be brief.")
    script.tell(e.Say("Good day."))
    generation = script.last(e.StartResponse).generation
    assert generation.script == "Good day."
    script.says(generation.response_id, "Good day.")
    script.finished(generation.response_id)
    script.frames(100, 0.01)
    script.question()
    messages = script.last(e.AdoptResponse) and script.last(e.PrepareResponse).generation.messages
    assert [(m.role, m.text) for m in messages][:2] == [("system", "Be brief."), ("assistant", "Good day.")]


def test_words_of_the_door_wait_for_the_answer_under_way():
    script = Script()
    response = script.question()
    assert script.tell(e.Say("One minute is left.")) == []
    outputs = script.finished(response)
    assert names(outputs)[-2:] == ["ResponseCreated", "StartResponse"]
    assert script.last(e.StartResponse).generation.script == "One minute is left."


def test_what_must_be_heard_comes_behind_an_answer_that_the_caller_stops():
    script = Script(TurnPolicy(interrupt_ms=96, pauses=True))
    response = script.question()
    script.says(response, "We are open from nine to five, and on Saturdays from ten.", samples=96_000)
    script.tell(e.Say("Are you there?"), e.Say("One minute is left.", protected=True))
    script.tell(e.KeyPressed("1"))
    assert script.last(e.StartResponse).generation.script == "One minute is left."
    response = script.last(e.ResponseCreated).response.id
    script.says(response, "One minute is left.")
    assert "ClearPlayout" not in names(script.speech(320))
    script.finished(response)
    assert script.last(e.ResponseCreated).response.id == response


def test_a_protected_greeting_is_not_interrupted_and_what_was_said_over_it_is_answered():
    script = Script(marks=True)
    greeting = greet(script)
    response = script.question("are you a real person")
    assert not script.all(e.ClearPlayout)
    assert script.last(e.ResponseCreated).response.id == response
    assert script.session.conversation[greeting].status is e.ItemStatus.COMPLETED


def test_a_greeting_that_was_heard_to_its_end_protects_nothing_any_more():
    script = Script(marks=True)
    script.tell(e.Played(greet(script), 24_000))
    response = script.question()
    script.says(response, "We are open.")
    script.speech()
    assert [clear.item_id for clear in script.all(e.ClearPlayout)] == [script.last(e.OutputItemDone).item.id]


def test_a_mark_that_never_comes_does_not_protect_for_ever():
    script = Script(marks=True)
    item = greet(script)
    script.frames(300, 0.01)
    script.speech()
    assert [clear.item_id for clear in script.all(e.ClearPlayout)] == [item]


def test_a_key_stops_the_answer_and_typed_keys_are_a_turn():
    script = Script(marks=True)
    response = script.question()
    script.says(response, "Please type your number.")
    outputs = script.tell(e.KeyPressed("4"))
    assert "StopResponse" in names(outputs)
    assert "ClearPlayout" in names(outputs)
    script.tell(e.KeysTyped("4711"))
    messages = script.last(e.StartResponse).generation.messages
    assert (messages[-1].role, messages[-1].text) == ("user", "Keypad: 4711")


def test_keys_typed_over_a_protected_greeting_are_answered_after_it():
    script = Script(marks=True)
    script.tell(e.Say("Good day.", protected=True))
    greeting = script.last(e.StartResponse).generation.response_id
    script.says(greeting, "Good day.")
    assert script.tell(e.KeyPressed("1")) == []
    script.tell(e.KeysTyped("1"))
    outputs = script.finished(greeting)
    assert names(outputs)[-2:] == ["ResponseCreated", "StartResponse"]
    assert script.last(e.StartResponse).generation.messages[-1].text == "Keypad: 1"


def test_a_lost_line_ends_even_a_protected_greeting_and_keeps_what_was_heard():
    script = Script(marks=True)
    script.tell(e.Say("Good day, you speak with a machine.", protected=True))
    response = script.last(e.ResponseCreated).response.id
    script.says(response, "Good day, you speak with a machine.")
    item = script.last(e.OutputAudioDelta).item_id
    script.tell(e.Played(item, 24_000 * 2 // 7))
    outputs = script.tell(e.LineLost())
    assert names(outputs)[:2] == ["ClearPlayout", "StopResponse"]
    script.question()
    heard = [m.text for m in script.last(e.PrepareResponse).generation.messages if m.role == "assistant"]
    assert heard == ["Good day,"]
