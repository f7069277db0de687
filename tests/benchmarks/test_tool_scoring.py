"""What counts as the right tool call, and as a word misheard."""

from __future__ import annotations

import pytest

from benchmarks.tool_scoring import ANYTHING, CallScore, ToolCall, score, word_errors

HOURS = ToolCall("get_opening_hours", {"day": "friday"})
PRICE = ToolCall("get_price", {"service": "haircut"})
BOOKING = ToolCall("book_appointment", {"day": "friday", "time": "10:00"})


@pytest.mark.parametrize(
    ("expected", "got", "told"),
    [
        ([HOURS], [HOURS], CallScore(True, 1, 1, True)),
        ([HOURS], [ToolCall("get_opening_hours", {"day": " Friday"})], CallScore(True, 1, 1, True)),
        ([HOURS], [ToolCall("get_opening_hours", {"day": "sunday"})], CallScore(True, 0, 1, False)),
        ([HOURS], [ToolCall("get_opening_hours", {"day": "friday", "time": "10:00"})], CallScore(True, 1, 1, False)),
        ([HOURS], [PRICE], CallScore(False, 0, 1, False)),
        ([HOURS], [], CallScore(False, 0, 1, False)),
        ([], [], CallScore(True, 0, 0, True)),
        ([], [HOURS], CallScore(False, 0, 0, False)),
        ([BOOKING], [ToolCall("book_appointment", {"day": "friday", "time": "22:00"})], CallScore(True, 1, 2, False)),
        ([HOURS, PRICE], [PRICE, HOURS], CallScore(True, 2, 2, True)),
        ([HOURS, PRICE], [PRICE], CallScore(False, 1, 2, False)),
        ([HOURS], [HOURS, HOURS], CallScore(False, 1, 1, False)),
        ([HOURS, ToolCall(HOURS.name, {"day": "sunday"})], [HOURS, HOURS], CallScore(True, 1, 2, False)),
    ],
)
def test_calls_are_compared_by_tool_and_by_argument(
    expected: list[ToolCall], got: list[ToolCall], told: CallScore
) -> None:
    assert score(expected, got) == told


def test_an_argument_whose_value_does_not_matter_must_still_be_there() -> None:
    expected = [ToolCall("transfer_to_human", {"reason": ANYTHING})]
    assert score(expected, [ToolCall("transfer_to_human", {"reason": "complaint"})]).whole
    assert not score(expected, [ToolCall("transfer_to_human")]).whole


def test_calls_are_read_from_the_wire_and_broken_arguments_are_wrong() -> None:
    assert ToolCall.read("get_price", '{"service": "haircut"}') == PRICE
    assert ToolCall.read("get_directions", "") == ToolCall("get_directions")
    for broken in ('{"service": ', '["haircut"]'):
        assert not score([PRICE], [ToolCall.read("get_price", broken)]).whole
        assert not score([ToolCall("get_directions")], [ToolCall.read("get_directions", broken)]).whole


def test_words_that_are_wrong_are_counted() -> None:
    assert word_errors("What time, do you open?", "what time do you open") == (0, 5)
    assert word_errors("one two three", "one three") == (1, 3)
    assert word_errors("one two", "one too two") == (1, 2)
    assert word_errors("one two", "one too") == (1, 2)
    assert word_errors("one two", "") == (2, 2)
