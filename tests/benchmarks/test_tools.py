"""What a caller hears is counted from when it can be played, not from when it comes."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from benchmarks.speech import RATE
from benchmarks.tools import Wait, row


def sound(seconds: float, silence: float = 0.0) -> dict[str, str]:
    pcm = np.concatenate([np.zeros(int(silence * RATE)), np.full(int(seconds * RATE), 1000)]).astype("<i2")
    return {"delta": base64.b64encode(pcm.tobytes()).decode()}


def test_an_answer_that_comes_early_is_heard_behind_the_filler():
    wait = Wait()
    wait.hear(10.5, sound(2.0), 10.0, first=False)
    wait.hear(11.0, sound(1.0, silence=0.1), 10.0, first=True)
    assert wait.filler == pytest.approx(500)
    assert wait.result == pytest.approx(2600)
    assert wait.plays_until == pytest.approx(13.6)


def test_an_answer_that_comes_late_is_heard_when_it_comes():
    wait = Wait()
    wait.hear(10.5, sound(1.0), 10.0, first=False)
    wait.hear(14.0, sound(1.0), 10.0, first=True)
    assert wait.result == pytest.approx(4000)


def test_questions_without_a_call_are_no_measurement():
    heard, silent = Wait(filler=500, result=900, calls=1), Wait(filler=500)
    assert row("x", 0.2, [heard, silent]) == "| x | 200 | 1 of 2 | 500 | 900 |"
