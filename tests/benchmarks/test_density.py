"""How many callers fit is found by trying, and what gave out is named, be it the benchmark itself."""

from __future__ import annotations

import argparse
from typing import Any

import pytest

from benchmarks import crowd, density, results
from benchmarks.results import Level, Percentiles
from benchmarks.search import most_that


@pytest.mark.parametrize(
    ("fit", "step", "expected"), [(10, 0, 10), (100, 0, range(89, 101)), (10, 3, 10), (0, 0, 0), (0, 2, 0)]
)
async def test_the_largest_number_that_fits_is_found(fit: int, step: int, expected: int | range) -> None:
    tried = []

    async def holds(callers: int) -> bool:
        tried.append(callers)
        return callers <= fit

    found = await most_that(holds, 1, 500, step)
    assert found in (expected if isinstance(expected, range) else (expected,))
    assert len(tried) == len(set(tried)) < 20


async def test_all_of_them_fit() -> None:
    async def holds(callers: int) -> bool:
        return True

    assert await most_that(holds, 3, 50, 10) == 50
    assert 45 <= await most_that(holds, 3, 50) <= 50


def level(**changes: Any) -> Level:
    fields: dict[str, Any] = {"callers": 8, "turns": 30, "lost": 0, "underruns": 0, "held": False, "client_cores": 0.2}
    return Level(**{**fields, "beyond_hold_ms": Percentiles(30, 500, 900, 950), "machine_busy": 0.5, **changes})


@pytest.mark.parametrize(
    ("found", "parts", "told"),
    [
        (level(), {}, "p95 900 ms; neither processor nor GPU was at its end"),
        (level(stages_p95_ms={"stt_final": 700.0}), {}, "the stages' p95 in ms: stt_final 700"),
        (level(lost=2, underruns=3), {}, "2 questions without an answer, 3 gaps in the sound, p95 900 ms; "),
        (level(client_cores=0.98, machine_busy=0.99), {}, "the clients were at their end, so the server may be"),
        (level(microphone_late_ms=35.0), {}, "the clients sent their audio late"),
        (level(gpu=0.97), {}, "the GPU was at its end"),
        (level(), {"event loop": 0.95, "models": 1.0}, "the server's event loop took a whole core"),
        (level(machine_busy=0.97, server_cores=1.6), {}, "all cores of the machine were busy, 1.6 cores of it the"),
        (level(machine_busy=0.97, server_cores=0.4), {}, "other work took 1.3 cores of the machine (0.4 cores of it"),
        (level(machine_busy=0.97, lost=1, errors=["no answer", "no connection: 503"]), {}, "said: no connection: 503"),
    ],
)
def test_what_bound_is_named(found: Level, parts: dict[str, float], told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert told in density.bound(found, parts, 800)


def test_an_answer_that_failed_is_none_however_quick_its_apology_was() -> None:
    said = [results.Turn("density", 0, number, "clean", "en", "Are you open?", hold_ms=500) for number in range(3)]
    said[0].voice_to_voice_ms = said[1].voice_to_voice_ms = 520.0
    said[1].errors = ["the engine died"]
    found = density._level(1, 3, crowd.Taken(said))
    assert (found.turns, found.lost, found.errors) == (1, 2, ["the engine died"])


async def test_the_ramp_reports_what_bound_first_and_the_levels_as_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    async def measure(server: object, callers: int, arguments: object, pool: object) -> Level:
        held = callers <= 6
        return level(callers=callers, held=held, bound="" if held else "p95 900 ms; the CPU")

    monkeypatch.setattr(density, "measure", measure)
    server: Any = None
    found = await density.ramp(server, argparse.Namespace(limit_ms=800, start=2, most=64, step=0))
    assert found.most == 6
    assert [each.callers for each in found.levels] == [2, 4, 7, 5, 6]
    assert found.bound == "With 7: p95 900 ms; the CPU."


def test_callers_ask_different_questions() -> None:
    questions = crowd.all_questions()
    asked = [crowd.conversation_of(number, 2, questions) for number in range(6)]
    firsts = [scenario.turns[0].say for scenario in asked]
    assert len(set(firsts)) == len(firsts)
