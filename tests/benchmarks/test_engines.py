"""The benchmarks that look inside still fit the engines they measure."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks import append, shapes
from benchmarks.engines import cost, simulated, stt, tts, vad
from models.catalog import BUNDLED, load, resolve
from server.core.events import AudioFormat
from tests.models.speech import speak


@pytest.fixture
def rows(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What the tables say, filled in by ``taken``."""
    monkeypatch.setattr(cost, "rounds", lambda count, what: range(count))
    for module in (stt, tts, vad):
        monkeypatch.setattr(module, "rounds", cost.rounds)
    written: list[list[str]] = []
    for module in (cost, stt, tts, vad):
        monkeypatch.setattr(module, "row", lambda *cells: written.append([str(cell) for cell in cells]))
    return written


async def test_voice_activity_is_measured_in_batches_and_alone(rows: list[list[str]]) -> None:
    await vad.report(BUNDLED / "vad" / "silero_vad.onnx", ticks=20)
    assert [(row[0], row[1], row[2]) for row in rows[:5]] == [
        ("8000", "1", "1"),
        ("8000", "16", "16"),
        ("8000", "16", "1"),
        ("8000", "128", "64"),
        ("8000", "128", "1"),
    ]
    assert all(float(row[3].split()[0]) > 0 for row in rows)


async def test_the_transcriber_is_measured_in_each_window_with_what_it_gets_wrong(rows: list[list[str]]) -> None:
    resolved = resolve("tiny", Path("nowhere")).models["stt"]
    await stt.report(resolved.path, dict(resolved.entry.options), 1, trained=True)
    assert [row[0] for row in rows] == ["10 s", "30 s", "10 or 15 or 20 or 30 s"]
    assert all(float(row[5].rstrip("%")) < 30 for row in rows)


async def test_a_divided_voice_and_a_whole_one_are_measured_at_three_lengths(
    rows: list[list[str]], tmp_path: Path
) -> None:
    await tts.report(shapes.voices_folder("small", tmp_path), 1)
    lengths = [f"{seconds}.0 s" for seconds in (1, 3, 6) for _ in range(2)]
    assert [row[:2] for row in rows[:6]] == [
        [each, way] for each, way in zip(lengths, ["divided", "whole"] * 3, strict=True)
    ]
    assert all(re.fullmatch(r"\d+ characters", row[0]) for row in rows[6:])


async def test_simulated_callers_are_heard_answered_and_spoken_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulated, "PERIOD_S", 1.5)
    monkeypatch.setattr(simulated, "_SPEAKS_S", 0.8)
    loaded = load(resolve("tiny", Path("nowhere")))
    engines = simulated.Engines(loaded.vad, loaded.stt, loaded.llm, loaded.tts, context=200)
    try:
        turns = await simulated.load(engines, 2, 3.0, speak("What time do you open on Friday?"))
    finally:
        for engine in (loaded.vad, loaded.stt, loaded.llm, loaded.tts):
            await engine.close()
    assert turns.failed == 0, turns.errors
    assert len(turns.sound) >= 2
    stages = zip(turns.transcript, turns.first_token, turns.clause, turns.sound, strict=True)
    assert all(list(moments) == sorted(moments) for moments in stages)


async def test_an_append_is_measured_from_the_frame_to_the_ring_buffer() -> None:
    for wire in AudioFormat:
        costs = await append.append_cost(wire, 2, patient=False)
        assert len(costs) == 2
        assert np.all(np.array(costs) > 0)
