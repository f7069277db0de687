"""When an answer that was spoken over fell silent for good."""

from __future__ import annotations

import pytest

from scripts.phone_line.measure import Stop, stop_of

ANSWER = [(800, "one:1"), (1600, "one:2")]


@pytest.mark.parametrize(
    ("cleared", "later", "stop"),
    [
        ([2000], [], Stop(2000, 0)),
        ([2000], [(6000, "two:9"), (6800, "two:10")], Stop(2000, 0)),
        ([2000], [(3200, "one:3")], Stop(None, 1)),
        ([2000, 3000], [(2600, "one:3")], Stop(3000, 1)),
        ([2000, 2400], [], Stop(2000, 0)),
        ([500], [(3200, "one:3")], Stop(None, 0)),
        ([], [(3200, "one:3")], Stop(None, 0)),
    ],
)
def test_an_answer_has_stopped_when_nothing_more_of_it_is_heard(
    cleared: list[int], later: list[tuple[int, str]], stop: Stop
):
    assert stop_of(cleared, ANSWER + later, 1700) == stop
