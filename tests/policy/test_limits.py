"""What the holders of a key may use at once and in a day."""

from __future__ import annotations

import pytest

from server.errors import CapacityError
from server.policy.limits import Meter

DAY = 86_400


class Clock:
    def __init__(self) -> None:
        self.now = 10 * DAY + 100.0

    def __call__(self) -> float:
        return self.now


def test_a_place_is_free_again_however_its_session_ended() -> None:
    meter = Meter(max_sessions=2)
    with meter.session():
        with pytest.raises(CapacityError, match="All 2 sessions"), meter.session(), meter.session():
            pass
        with pytest.raises(ZeroDivisionError), meter.session():
            raise ZeroDivisionError
        with meter.session():
            pass


def test_what_is_heard_and_spoken_counts_together() -> None:
    meter = Meter(audio_minutes_a_day=1)
    meter.heard(30.0)
    meter.spoken(30.0)
    with pytest.raises(CapacityError, match="1 minutes of audio"):
        meter.heard(0.02)


def test_an_answer_is_not_cut_but_nothing_comes_after_it() -> None:
    meter = Meter(audio_minutes_a_day=0.5)
    meter.spoken(45.0)
    with pytest.raises(CapacityError, match=r"0\.5 minutes"):
        meter.heard(0.0)
    with pytest.raises(CapacityError), meter.session():
        pass


def test_what_is_left_falls_and_comes_back_at_midnight() -> None:
    clock = Clock()
    meter = Meter(audio_minutes_a_day=1, clock=clock)
    assert Meter().audio_left is None
    meter.spoken(45.0)
    assert meter.audio_left == (60.0, 15.0, DAY - 100.0)
    meter.spoken(45.0)
    assert meter.audio_left == (60.0, 0.0, DAY - 100.0)
    clock.now += DAY
    assert meter.audio_left == (60.0, 60.0, DAY - 100.0)


def test_the_next_day_begins_at_nothing() -> None:
    clock = Clock()
    meter = Meter(audio_minutes_a_day=1, clock=clock)
    meter.spoken(100.0)
    clock.now = 11 * DAY - 1.0
    with pytest.raises(CapacityError):
        meter.heard(0.0)
    clock.now = 11 * DAY
    meter.heard(59.0)
    with meter.session():
        pass


def test_without_limits_everything_goes() -> None:
    meter = Meter()
    meter.heard(1e9)
    with meter.session(), meter.session():
        pass
