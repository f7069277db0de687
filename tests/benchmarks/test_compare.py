"""Servers side by side get the same calls, in turns."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks import compare, results, run, scenario
from benchmarks.peer import Peer, UsageError
from benchmarks.peers.pipecat import process as pipecat
from benchmarks.peers.speech_to_speech import process as speech_to_speech


def arguments(*typed: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    compare.add_arguments(parser)
    return parser.parse_args(["--out", "results", *typed])


async def test_every_server_gets_every_call_and_each_is_first_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str, str, str]] = []

    async def call(server: Any, played: scenario.Scenario, condition: str, number: int) -> Any:
        made.append((server.name, played.name, condition))
        turns = [results.Turn(played.name, number, 0, condition, "en", "") for _ in played.turns]
        return turns, results.Call(played.name, number, condition, 1.0)

    monkeypatch.setattr(run, "one_call", call)
    servers = [SimpleNamespace(name=name) for name in ("a", "b", "c")]
    found = [SimpleNamespace(turns=[], calls=[]) for _ in servers]
    played = scenario.find(["question", "tools"])
    await compare.in_turns(
        cast(list[results.Results], found),
        cast(list[Peer], servers),
        played,
        arguments("--conditions", "clean", "phone", "--calls", "2"),
    )
    warming, calls = made[:3], made[3:]
    assert [name for name, _, _ in warming] == ["a", "b", "c"]
    assert [name for name, _, _ in calls[::3]] == ["a", "b", "c", "a", "b", "c", "a", "b"]
    whole = [(each.name, condition) for _ in range(2) for condition in ("clean", "phone") for each in played]
    for server, mine in zip(servers, found, strict=True):
        assert [(name, condition) for who, name, condition in calls if who == server.name] == whole
        assert len(mine.calls) == 8
        assert len(mine.turns) == 4 * sum(len(each.turns) for each in played)


def test_a_peer_that_is_unknown_is_named() -> None:
    with pytest.raises(UsageError, match=r"--peers: 'piepcat' is none of pipecat, pipecat-tuned"):
        compare.main(arguments("--peers", "pipecat,piepcat"))


@pytest.mark.parametrize(("name", "program"), [("pipecat", pipecat), ("speech-to-speech", speech_to_speech)])
def test_a_peer_that_is_not_installed_says_how(name: str, program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "PYTHON", Path("nowhere") / "bin" / "python")
    with pytest.raises(UsageError, match=r"scripts/peer-env"):
        compare.main(arguments("--peers", name))
