"""What the chat model reads of a conversation with tool calls: everything in the order in which it was known."""

from __future__ import annotations

from server.core.conversation import context
from server.core.items import ContentPart, Item, ItemKind

CALLER = Item("question", ItemKind.MESSAGE, role="user", content=(ContentPart("input_text", "When do you open?"),))


def says(name: str, text: str) -> Item:
    return Item(name, ItemKind.MESSAGE, role="assistant", content=(ContentPart("output_text", text),))


def calls(call: str) -> Item:
    return Item(f"item_{call}", ItemKind.FUNCTION_CALL, call_id=call, name="look_up", arguments="{}")


def result(call: str, output: str = "nine") -> Item:
    return Item(f"output_{call}", ItemKind.FUNCTION_CALL_OUTPUT, call_id=call, output=output)


def again(name: str) -> Item:
    return Item(name, ItemKind.MESSAGE, role="user", content=(ContentPart("input_text", "And then?"),))


def read(*items: Item) -> list[tuple[str, str, tuple[str, ...]]]:
    return [
        (message.role, message.text, tuple(call.call_id for call in message.calls)) for message in context(items, "")
    ]


ASKED = [("user", "When do you open?", ()), ("assistant", "One moment.", ("a",)), ("tool", "nine", ())]


def test_what_is_said_of_a_result_stands_behind_it_in_later_turns() -> None:
    told = read(CALLER, says("m1", "One moment."), calls("a"), result("a"), says("m2", "At nine."), again("q2"))
    assert told == [*ASKED, ("assistant", "At nine.", ()), ("user", "And then?", ())]


def test_a_later_turn_begins_with_what_was_read_for_the_one_before() -> None:
    before = read(CALLER, says("m1", "One moment."), calls("a"), result("a"))
    after = read(CALLER, says("m1", "One moment."), calls("a"), result("a"), says("m2", "At nine."), again("q2"))
    assert before == ASKED
    assert after[: len(before)] == before


def test_a_second_call_follows_the_words_that_went_before_it() -> None:
    told = read(
        *(CALLER, says("m1", "One moment."), calls("a"), result("a"), says("m2", "At nine. I book it.")),
        *(calls("b"), result("b", "booked")),
    )
    assert told == [*ASKED, ("assistant", "At nine. I book it.", ("b",)), ("tool", "booked", ())]


def test_a_result_that_is_still_to_be_told_is_read_last() -> None:
    told = read(CALLER, says("m1", "One moment."), calls("a"), result("a"), says("m2", "Still looking."))
    assert told == [ASKED[0], ("assistant", "One moment. Still looking.", ("a",)), ASKED[2]]


def test_words_between_two_results_join_the_calls() -> None:
    told = read(CALLER, calls("a"), calls("b"), result("a"), says("m1", "The first."), result("b"), again("q2"))
    assert told == [
        ASKED[0],
        ("assistant", "The first.", ("a", "b")),
        *(("tool", "nine", ()), ("tool", "nine", ())),
        ("user", "And then?", ()),
    ]
