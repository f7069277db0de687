"""What a session holds is bounded, whatever its client and its caller go on doing."""

from __future__ import annotations

from server.core import events as e
from tests.core.script import FRAME, Script, names

_MEGABYTE = "x" * 1024 * 1024


def item(text: str, item_id: str = "") -> e.CreateItem:
    content = (e.ContentPart("input_text", text),)
    return e.CreateItem(None, e.Item(item_id, e.ItemKind.MESSAGE, role="user", content=content), None)


def test_a_conversation_that_outgrows_its_size_loses_its_oldest_items_and_the_client_is_told():
    script = Script()
    for number in range(20):
        script.tell(item(_MEGABYTE, f"i{number}"))
    kept = [entry.id for entry in script.session.conversation]
    gone = [event.item_id for event in script.all(e.ItemDeleted)]
    assert kept == [f"i{number}" for number in range(20 - len(kept), 20)]
    assert gone == [f"i{number}" for number in range(20 - len(kept))]
    assert 4 <= len(kept) <= 8
    assert [event.item_id for event in script.all(e.DropAudio)] == gone


def test_many_small_items_are_bounded_too():
    script = Script()
    for _ in range(40_000):
        script.session.handle(item("x"))
    assert 10_000 < len(script.session.conversation) < 40_000


def test_room_that_is_made_can_be_used_again():
    script = Script()
    for number in range(100):
        script.tell(item(_MEGABYTE, f"i{number}"), e.DeleteItem(None, f"i{number}"))
        assert [event.item_id for event in script.all(e.ItemDeleted)][-1] == f"i{number}"
    script.tell(item("x", "last"))
    assert "last" in script.session.conversation
    assert len(script.all(e.ItemDeleted)) == 100


def test_an_answer_that_loses_its_item_while_it_is_made_still_ends_in_order():
    script = Script(modality="text")
    script.tell(e.CreateResponse(None))
    response = script.last(e.ResponseCreated).response.id
    script.tell(e.ResponseText(response, "Good "))
    for _ in range(9):
        script.tell(item(_MEGABYTE))
    assert script.last(e.OutputItemAdded).item.id in [event.item_id for event in script.all(e.ItemDeleted)]
    script.tell(e.ResponseText(response, "day."))
    script.finished(response)
    assert script.last(e.ResponseDone).response.output[0].content[0].text == "Good day."


def test_a_turn_of_a_quarter_of_an_hour_is_taken_as_it_is():
    script = Script()
    script.speech()
    assert script.frames(14 * 60_000 // 32, 0.95) == []
    ended = names(script.frames(60_000 // 32, 0.95))
    assert ended[:2] == ["SpeechStopped", "AudioCommitted"]
    closed = script.last(e.CloseUtterance)
    assert abs(closed.end - closed.start - 15 * 60 * e.INPUT_RATE) <= FRAME
    assert len(script.all(e.SpeechStarted)) == 2


def test_only_so_many_responses_run_outside_the_conversation():
    script = Script(modality="text")
    beside = e.CreateResponse("mine", e.ResponseOverrides(conversation="none"))
    for _ in range(8):
        assert "StartResponse" in names(script.tell(beside))
    (refused,) = script.tell(beside)
    assert isinstance(refused, e.Error)
    assert (refused.code, refused.type, refused.event_id) == ("rate_limit_exceeded", "rate_limit_error", "mine")
    assert "StartResponse" in names(script.tell(e.CreateResponse(None)))
    script.finished(script.all(e.ResponseCreated)[0].response.id)
    assert "StartResponse" in names(script.tell(beside))


def test_thousands_of_turns_are_cut_to_the_models_context_by_the_newest():
    script = Script(modality="text", context_tokens=1000)
    for number in range(10_000):
        script.session.handle(item(f"question {number}"))
    script.tell(e.CreateResponse(None))
    read = script.last(e.StartResponse).generation.messages
    assert read[-1].text == "question 9999"
    assert 5 < len(read) < 1000
    assert [message.text for message in read] == [f"question {number}" for number in range(10_000 - len(read), 10_000)]
