"""How many callers fit is found by trying."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from benchmarks.engines.simulated import Turns
from benchmarks.gpu import ramp as module
from benchmarks.gpu.ramp import late, ramp


def crowd(monkeypatch: pytest.MonkeyPatch, ms_each: float, failing_from: int = 10_000) -> list[int]:
    """Every caller more makes everybody slower; from so many on, some get no answer. What was tried, in order."""
    tried: list[int] = []

    async def load(engines: object, callers: int, seconds: float, speech: object) -> Turns:
        tried.append(callers)
        return Turns(sound=[callers * ms_each] * 18, failed=2 if callers >= failing_from else 0)

    monkeypatch.setattr(module, "load", load)
    return tried


async def most(**limits: Any) -> int:
    engines: Any = None
    return await ramp(engines, np.zeros(1, np.int16), limit_ms=600, seconds=1, **limits)


async def test_the_largest_number_within_the_limit_is_found_within_an_eighth(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = crowd(monkeypatch, ms_each=6)
    found = await most(start=16, most=1000)
    assert 100 * 8 / 9 <= found <= 100
    assert max(tried) < 160
    assert len(tried) < 12


async def test_turns_without_an_answer_count_as_late(monkeypatch: pytest.MonkeyPatch) -> None:
    crowd(monkeypatch, ms_each=1, failing_from=40)
    assert 35 <= await most(start=8, most=500) < 40


@pytest.mark.parametrize(("ms_each", "expected"), [(1, 20), (700, 0)])
async def test_all_fit_or_none_does(monkeypatch: pytest.MonkeyPatch, ms_each: float, expected: int) -> None:
    crowd(monkeypatch, ms_each)
    assert await most(start=16, most=20) == expected


def test_the_95th_percentile_counts_failures_and_nothing_heard_is_never() -> None:
    assert late(Turns(sound=[float(n) for n in range(1, 21)])) == 19
    assert late(Turns(sound=[1.0] * 18, failed=2)) == math.inf
    assert late(Turns()) == math.inf
