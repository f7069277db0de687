"""The command, against the real server: one scenario with a tool, from the command line to the file."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import results, scenario
from benchmarks.dialects import DIALECTS
from benchmarks.dialects.base import Setup, Target
from benchmarks.peer import Peer, without_secrets
from benchmarks.results import read
from benchmarks.run import one_call
from tests.cloud.gemini_server import KEY, GeminiServer
from tests.cloud.gemini_turns import Call, Scene
from tests.server_process import start, stop

SCENARIO = """
title = "Hours"
language = "en"
voice = "en-us"
instructions = "You are the receptionist of a hair salon."
tools_file = "{tools}"
tools = ["get_opening_hours"]
results.get_opening_hours = {{ day = "friday", open = "09:00", close = "18:00" }}

[[turns]]
say = "What time do you open on Friday?"
pause_s = 0
expect = [{{ name = "get_opening_hours", arguments = {{ day = "friday" }} }}]
"""
OVER = """
[[turns]]
say = "Stop please."
over_s = 0.6
"""
TOOLS = Path(__file__).parents[2] / "models" / "bundled" / "llm" / "tiny" / "tools.json"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
    return command.main()


def test_a_run_measures_the_real_server_and_writes_what_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "hours.toml", tmp_path / "results" / "ours.json"
    path.write_text(SCENARIO.format(tools=TOOLS))
    server = start()
    try:
        url = f"{server.base_url.replace('http', 'ws')}/v1/realtime?api-key=secret"
        arguments = ["run", "--url", url, "--hold-ms", "300", "--pid", str(server.process.pid)]
        assert run(monkeypatch, *arguments, "--scenarios", str(path), "--out", str(out)) == 0
    finally:
        assert stop(server) == 0
    found = read(out)
    [turn], [call] = found.turns, found.calls
    assert turn.transcript == "What time do you open on Friday?"
    assert (turn.word_errors, turn.words) == (0, 7)
    assert turn.tools is not None
    assert turn.tools.whole
    assert turn.voice_to_voice_ms is not None
    assert turn.answer_ms is not None
    assert turn.hold_ms == found.server.hold_ms == 300
    assert 250 < turn.voice_to_voice_ms < turn.answer_ms
    assert "stt_final" in turn.stages
    assert turn.answer_s > 1
    assert not turn.errors + call.errors
    assert call.tokens is not None
    assert call.tokens.output_text > 0
    assert found.machine.server_is_here
    assert "secret" not in out.read_text()
    assert found.command.startswith("python -m benchmarks run --url")
    printed = capsys.readouterr().out
    assert "server_vad 300 ms, hold 300 ms" in printed
    assert "| hours | clean | 1 | 0 |" in printed


async def test_the_same_scenario_is_played_to_gemini_live(tmp_path: Path) -> None:
    """A stand-in made from what is known of it, in binary frames: a tool, and words over its answer."""
    path = tmp_path / "hours.toml"
    path.write_text(SCENARIO.format(tools=TOOLS) + OVER)
    opening = Call("get_opening_hours", {"day": "friday"})
    told = "We open at {open} in the morning, and on all other days of the week at eight."
    scenes = [Scene(told, "What time do you open on Friday?", (opening,)), Scene("Goodbye.", "Stop please.")]
    async with GeminiServer(scenes) as server:
        record = results.Server("gemini", "gemini", server.url)
        target = Target(server.url, KEY, "gemini-3.8-live")
        peer = Peer(target, DIALECTS["gemini"], record, None, Setup(hold_ms=300))
        turns, call = await one_call(peer, scenario.read(path), "phone", 0)
    asked, over = turns
    assert not asked.errors + over.errors + call.errors
    assert (record.hold_ms, record.vad) == (300, "automatic 300 ms")
    assert asked.tools is not None
    assert asked.tools.whole
    assert asked.answer.startswith("We open at 09:00")
    assert asked.transcript == "What time do you open on Friday?"
    assert asked.voice_to_voice_ms is not None
    assert asked.voice_to_voice_ms > 200
    assert over.interruption is not None
    assert over.interruption.stopped
    assert over.interruption.stop_ms is not None
    assert over.interruption.answer_heard_s < over.interruption.answer_s
    assert over.answer == "Goodbye."
    assert call.tokens is not None
    assert call.tokens.input_text == 80


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--url", "http://x", "--scenarios", "question"], "'http://x' does not begin with ws:// or wss://"),
        (["--url", "ws://x", "--key-env", "NO_SUCH_KEY", "--scenarios", "question"], "no variable NO_SUCH_KEY"),
        (["--scenarios", "nothing"], "there is no scenario 'nothing'"),
        (["--set", "X", "--scenarios", "question"], "'X' is not NAME=VALUE"),
        (["--scenarios", "question", "--prices", "none.toml"], "none.toml: No such file"),
    ],
)
def test_a_wrong_command_is_told_in_one_line(
    arguments: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "run", *arguments, "--out", str(tmp_path / "x.json")) == 2
    printed = capsys.readouterr().err.strip()
    assert told in printed
    assert "\n" not in printed


def test_a_server_that_is_not_there_is_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "x.json"
    assert run(monkeypatch, "run", "--url", "ws://127.0.0.1:1", "--scenarios", "question", "--out", str(out)) == 1
    [call] = read(out).calls
    assert call.errors[0].startswith("no connection: ")


@pytest.mark.parametrize(
    ("typed", "written"),
    [
        ("wss://me:secret@host.example/v1?api-key=secret", "wss://host.example/v1"),
        ("--url=wss://me:secret@host.example/v1?api-key=secret", "--url=wss://host.example/v1"),
        ("KAMMERTON_CLOUD__OPENAI__KEY=secret", "KAMMERTON_CLOUD__OPENAI__KEY=***"),
        ("KAMMERTON_STORE__URL=postgresql://me:secret@db/calls", "KAMMERTON_STORE__URL=postgresql://db/calls"),
        ("KAMMERTON_TURNS__PREPARE=false", "KAMMERTON_TURNS__PREPARE=false"),
        ("--key-env=MY_KEY", "--key-env=MY_KEY"),
    ],
)
def test_the_command_is_written_down_without_what_is_secret(typed: str, written: str) -> None:
    assert without_secrets(typed) == written
