"""A gap is silence inside one answer, and nothing else."""

from __future__ import annotations

import pytest

from scripts.phone_line.gaps import Gaps


def play(steps: str) -> int:
    """One letter a frame: "x" sound, "." nothing to play. "1", "2": a mark of that item is reached. "c": clear."""
    gaps = Gaps()
    for number, step in enumerate(steps):
        match step:
            case "x" | ".":
                gaps.frame(step == "x")
            case "c":
                gaps.clear()
            case _:
                gaps.mark(f"item_{step}:{number}")
    return gaps.count


@pytest.mark.parametrize(
    ("steps", "count"),
    [
        ("...xx1xx1xx1....", 0),
        ("xx1.xx1", 1),
        ("xx1" + "." * 200 + "xx1", 1),
        ("xx1..xx1x1.x1", 2),
        ("xx1...xx2xx2", 0),
        ("xx1" + "." * 10 + "xx2.xx2", 1),
        ("xx1..cxx1xx1", 0),
        ("x.1", 0),
        ("xx.xx", 1),
        ("xx" + "." * 30 + "xx", 0),
    ],
)
def test_only_silence_between_two_pieces_of_one_item_counts(steps: str, count: int):
    assert play(steps) == count
