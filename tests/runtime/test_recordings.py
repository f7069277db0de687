"""Samples of items: kept, cut, dropped, and never more than there is room for."""

from __future__ import annotations

from server.runtime.recordings import Recordings


def test_an_item_grows_and_is_cut_at_a_sample():
    recordings = Recordings()
    recordings.add("i", b"abcd", 2)
    recordings.add("i", b"efgh", 2)
    assert recordings.get("i") == b"abcdefgh"
    recordings.cut("i", 3)
    assert recordings.get("i") == b"abcdef"
    recordings.add("j", b"abcdef", 1)
    recordings.cut("j", 3)
    assert recordings.get("j") == b"abc"


def test_what_is_dropped_is_gone():
    recordings = Recordings()
    recordings.add("i", b"ab", 2)
    recordings.drop("i")
    recordings.drop("never there")
    recordings.cut("i", 0)
    assert recordings.get("i") is None


def test_the_oldest_goes_when_there_is_no_room():
    recordings = Recordings(room=10, longest=10)
    for name in ("i", "j", "k"):
        recordings.add(name, b"abcd", 2)
    assert [recordings.get(name) for name in ("i", "j", "k")] == [None, b"abcd", b"abcd"]
    recordings.add("i", b"ef", 2)
    assert recordings.get("i") is None


def test_room_that_is_made_is_used_again():
    recordings = Recordings(room=10, longest=10)
    for _ in range(100):
        recordings.add("i", b"abcdefgh", 2)
        recordings.cut("i", 1)
        recordings.drop("i")
    recordings.add("j", b"abcdefgh", 2)
    assert recordings.get("j") == b"abcdefgh"


def test_an_item_too_long_to_be_asked_for_is_not_kept():
    recordings = Recordings(room=100, longest=6)
    recordings.add("i", b"abcd", 2)
    recordings.add("i", b"efgh", 2)
    recordings.add("i", b"ij", 2)
    assert recordings.get("i") is None
    recordings.add("j", b"ab" * 3, 2)
    assert recordings.get("j") == b"ababab"
