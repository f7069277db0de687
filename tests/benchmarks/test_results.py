"""What a run found is in its file, all of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.results import (
    Density,
    Interruption,
    Level,
    Machine,
    Percentiles,
    ResultError,
    Results,
    Server,
    Tokens,
    ToolCall,
    Turn,
    read,
    write,
)


def example() -> Results:
    turn = Turn("hours", 0, 0, "clean", "en", "What time?", voice_to_voice_ms=620.5, hold_ms=500)
    turn.got = [ToolCall("get_opening_hours", {"day": "friday"})]
    turn.interruption = Interruption("cough", meant=False, stopped=True, stop_ms=210)
    turn.tokens = Tokens(input_audio=40) + Tokens(input_audio=2, output_text=7)
    level = Level(4, 16, 1, 0, held=False, beyond_hold_ms=Percentiles(15, 100.0, 900.0, 950.0), bound="server CPU")
    machine = Machine("a CPU", 2, 7.8, "Linux", "3.11", 0.4, server_is_here=True)
    server = Server("kammerton", "openai", "ws://127.0.0.1/v1/realtime", hold_ms=500)
    return Results("ours", "2026-11-21T09:00:00+00:00", "python -m benchmarks run", machine, server, turns=[turn],
                   density=Density(800, 2, "server CPU", levels=[level]))  # fmt: skip


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "ours.json"
    write(example(), path)
    assert read(path) == example()


def test_derived_figures_follow_from_the_measured_ones() -> None:
    turn = example().turns[0]
    assert turn.beyond_hold_ms == 120.5
    assert turn.tokens == Tokens(input_audio=42, output_text=7)
    assert turn.interruption is not None
    assert turn.interruption.false_alarm
    assert not turn.interruption.missed
    assert not turn.lost
    assert Turn("hours", 0, 1, "clean", "en", "What?").lost
    assert not Turn("hours", 0, 1, "clean", "en", "mm hm", wants_answer=False).lost


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"version": 99}, "version 99 of the result format"),
        ({"turns": [{"scenario": "x"}]}, r"turns.0.call: Field required"),
        ({"machine": 3}, "machine"),
    ],
)
def test_a_file_that_cannot_be_read_says_which_and_why(change: dict[str, object], told: str, tmp_path: Path) -> None:
    path = tmp_path / "ours.json"
    write(example(), path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ResultError, match=told) as error:
        read(path)
    assert str(path) in str(error.value)


def test_some_other_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_text("[1]")
    with pytest.raises(ResultError, match="no result file"):
        read(path)
