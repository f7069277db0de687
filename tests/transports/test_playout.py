"""Speech on its way to a phone, and where the caller's sound belongs."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.transports.playout import Piece, Playout
from server.transports.timeline import Timeline

FRAME = 160


class Clock:
    """Time that passes only when the playout sleeps; see ``patched``."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        clock.now += seconds
        await real(0)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return clock


def playout(clock: Clock, *, lead_ms: int = 300) -> Playout:
    return Playout(frame=FRAME, width=1, silence=b"\xff" * FRAME, lead_ms=lead_ms, piece_ms=100, clock=clock)


async def test_speech_goes_out_a_little_ahead_of_the_ear_and_not_at_once(clock: Clock):
    speech = playout(clock)
    speech.add("item", b"a" * FRAME * 100, 0)
    sent_ms = 0.0
    begun = clock.now
    for _ in range(20):
        piece = await speech.next()
        sent_ms += len(piece.audio) / 8
        played_ms = (clock.now - begun) * 1000
        assert 0 < sent_ms - played_ms < 301
    assert (sent_ms, speech.empty) == (2000, True)


async def test_pieces_are_whole_frames_and_only_the_last_is_filled_up(clock: Clock):
    speech = playout(clock)
    speech.add("item", b"a" * 250, 0)
    first = await speech.next()
    speech.add("item", b"b" * 100, 250)
    second = await speech.next()
    speech.complete("item")
    third = await speech.next()
    assert first == Piece("item", b"a" * 160, 160, 0)
    assert second == Piece("item", b"a" * 90 + b"b" * 70, 320, 0)
    assert third == Piece("item", b"b" * 30 + b"\xff" * 130, 350, 0)


async def test_the_end_of_an_item_is_sent_when_another_begins(clock: Clock):
    speech = playout(clock)
    speech.add("one", b"a" * 10, 0)
    speech.add("two", b"b" * 160, 0)
    pieces = [await speech.next(), await speech.next()]
    assert [(piece.item_id, piece.end) for piece in pieces] == [("one", 10), ("two", 160)]


async def test_what_was_thrown_away_is_not_sent_and_a_piece_in_hand_is_known_to_be_stale(clock: Clock):
    speech = playout(clock)
    speech.add("item", b"a" * FRAME * 100, 0)
    piece = await speech.next()
    speech.clear()
    assert speech.empty
    assert speech.plays_until == clock.now
    assert piece.epoch != speech.epoch
    speech.add("next", b"c" * FRAME, 0)
    assert (await speech.next()).item_id == "next"


@pytest.mark.parametrize("late_ms", [0, 7, 120])
async def test_a_pause_loses_nothing_and_says_little_twice(clock: Clock, late_ms: int):
    """late_ms: from when the caller has heard something until the carrier's word of it is here."""
    speech, said = playout(clock), bytes(range(1, 201)) * 80
    speech.add("item", said, 0)
    marks: list[tuple[float, Piece]] = []
    for _ in range(7):
        piece = await speech.next()
        marks.append((speech.plays_until + late_ms / 1000, piece))
        for at, played in [mark for mark in marks if mark[0] <= clock.now]:
            # The word comes when it comes; the clock stands still meanwhile.
            now, clock.now = clock.now, at
            speech.played(played.item_id, played.end)
            clock.now = now
            marks.remove((at, played))
    clock.now += 0.033
    heard = round((700 - (speech.plays_until - clock.now) * 1000) * 8)
    speech.pause(thrown_away=True)
    assert speech.plays_until == clock.now
    speech.resume()
    again = await speech.next()
    begins = again.end - len(again.audio)
    assert begins <= heard
    assert heard - begins <= FRAME + late_ms * 8
    rest = again.audio + b"".join([(await speech.next()).audio for _ in range(4)])
    assert rest == said[begins : begins + len(rest)]


async def test_a_pause_holds_back_the_end_of_an_item_and_the_one_behind_it(clock: Clock):
    speech = playout(clock)
    speech.add("one", b"a" * 250, 0)
    speech.complete("one")
    speech.add("two", b"b" * 160, 0)
    for _ in range(3):
        await speech.next()
    speech.pause(thrown_away=True)
    waiting = asyncio.create_task(speech.next())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    speech.add("two", b"c" * 160, 160)
    speech.resume()
    assert await waiting == Piece("one", b"a" * 160, 160, 1)
    assert await speech.next() == Piece("one", b"a" * 90 + b"\xff" * 70, 250, 1)
    assert await speech.next() == Piece("two", b"b" * 160 + b"c" * 160, 320, 1)


async def test_what_is_thrown_away_in_a_pause_is_not_said_afterwards(clock: Clock):
    speech = playout(clock)
    speech.add("item", b"a" * FRAME * 10, 0)
    await speech.next()
    speech.pause(thrown_away=True)
    speech.clear()
    speech.resume()
    assert speech.empty
    speech.add("next", b"c" * FRAME, 0)
    assert (await speech.next()).item_id == "next"


async def test_a_carrier_that_throws_nothing_away_is_given_nothing_twice(clock: Clock):
    speech = playout(clock)
    speech.add("item", b"a" * FRAME * 10, 0)
    first = await speech.next()
    speech.pause(thrown_away=False)
    speech.resume()
    assert (await speech.next()).end == first.end + 800


async def test_nothing_is_given_out_while_nobody_is_there(clock: Clock):
    speech = playout(clock)
    speech.hold(True)
    speech.add("item", b"a" * FRAME, 0)
    waiting = asyncio.create_task(speech.next())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    speech.hold(False)
    assert (await waiting).item_id == "item"


def test_a_lost_frame_leaves_silence_of_its_length():
    timeline = Timeline()
    assert [timeline.missing_ms(at, 20) for at in (0, 20, 60, 80, 140)] == [0, 0, 20, 0, 40]


def test_time_stamps_that_are_a_little_off_are_no_gaps():
    timeline = Timeline()
    assert [timeline.missing_ms(at, 20) for at in (0, 32, 39, 71, 80, 101)] == [0] * 6


def test_a_jump_of_the_carriers_clock_is_no_hour_of_silence():
    timeline = Timeline()
    assert timeline.missing_ms(0, 20) == 0
    assert timeline.missing_ms(3_600_000, 20) == 5_000
    assert timeline.missing_ms(3_600_020, 20) == 0


def test_a_carrier_that_does_not_say_has_no_gaps():
    timeline = Timeline()
    assert [timeline.missing_ms(None, 20) for _ in range(3)] == [0, 0, 0]


@given(st.sets(st.integers(0, 200)), st.lists(st.integers(-9, 9), min_size=201, max_size=201))
def test_whatever_is_lost_the_callers_clock_stays_true(lost: set[int], jitter: list[int]):
    timeline = Timeline()
    heard = 0
    for number in range(201):
        if number not in lost:
            before = timeline.missing_ms(max(0, number * 20 + jitter[number]), 20)
            heard += before + 20
            # A gap longer than all that is filled is cut; these are shorter.
            assert abs(heard - (number + 1) * 20) < 40
