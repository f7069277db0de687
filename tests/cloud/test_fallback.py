"""Calls that cannot be served here go where the operator allows it, and nowhere else."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from server.policy.audit import Row, rows
from tests.cloud.house import House, fail, typed
from tests.cloud.provider import CutLine
from tests.e2e.call import Caller
from tests.e2e.test_airgapped import CUT_OFF
from tests.models.speech import speak
from tests.server_process import ROOT

NOTICE = "Another service answers you now."


@pytest.fixture
def house(line: CutLine, tmp_path: Path) -> Iterator[Callable[..., House]]:
    """Makes a house whose fallback is the provider of these tests."""
    made: list[House] = []

    def make(**environment: str) -> House:
        permit = {"provider": "openai", "host": f"127.0.0.1:{line.port}", "region": "here", "purpose": "fallback"}
        audit = {"KAMMERTON_AUDIT__FILE": str(tmp_path / "audit"), "KAMMERTON_RESIDENCY__NOTICE": NOTICE}
        made.append(House(f"ws://127.0.0.1:{line.port}/v1", [permit], **audit, **environment))
        return made[-1]

    yield make
    for one in made:
        one.close()


def audited(folder: Path) -> list[Row]:
    return list(rows(folder / "audit"))


async def test_when_an_engine_is_killed_the_next_call_is_served_elsewhere_and_written_down(
    house: Callable[..., House], line: CutLine, tmp_path: Path
) -> None:
    home = house()
    before = len(line.heads)
    async with home.server.caller(output_modalities=["text"]) as caller:
        assert (await typed(caller)).status == "completed"
        assert audited(tmp_path) == []
        home.kill_model()
        await fail(home.server)
        # A session that is under way stays where it is.
        assert (await typed(caller)).status == "failed"
        assert len(line.heads) == before
    assert not await home.ready()
    async with home.server.caller() as caller:
        told = await caller.until("response.created")
        assert not caller.of("input_audio_buffer.speech_started")
        await caller.until("response.done")
        turn = await caller.ask(speak("Are you a real person?"))
        assert turn.done.status == "completed"
        assert turn.done.id != told.response.id
        assert turn.pcm.any()
        [began] = audited(tmp_path)
        assert began.fields["reason"] == "ill"
        assert home.metric('kammerton_cloud_sessions_total{provider="openai",reason="ill"}') == 1
    home.close()
    began, ended = audited(tmp_path)
    assert (began.action, ended.action) == ("cloud.session_began", "cloud.session_ended")
    assert began.object == ended.object != ""
    where = {"provider": "openai", "host": f"127.0.0.1:{line.port}", "region": "here"}
    assert where.items() <= began.fields.items() & ended.fields.items()
    assert ended.fields["seconds"] > 1


def agents(folder: Path) -> str:
    for name, cloud in {"stays": "allow = false", "goes": f'say = "{NOTICE}"'}.items():
        text = f'instructions = "You are a phone assistant."\ngreeting = "Hello."\n[cloud]\n{cloud}\n'
        (folder / f"{name}.toml").write_text(text)
    return str(folder)


async def test_when_all_places_are_taken_only_agents_that_may_leave_are_served_elsewhere(
    house: Callable[..., House], line: CutLine, tmp_path: Path
) -> None:
    folder = tmp_path / "agents"
    folder.mkdir()
    home = house(KAMMERTON_SERVER__MAX_SESSIONS="1", KAMMERTON_AGENTS__FOLDER=agents(folder))
    before = len(line.heads)

    def caller(agent: str) -> Caller:
        return Caller(home.server.base_url, {"output_modalities": ["text"]}, query={"agent": agent})

    async with caller("stays") as first:
        assert (await typed(first)).status == "completed"
        refused: Any = caller("stays")
        refused.connection = await refused._manager.__aenter__()
        error = await refused.connection.recv()
        assert (error.type, error.error.code) == ("error", "rate_limit_exceeded")
        assert "stays here" in error.error.message
        await refused._manager.__aexit__(None, None, None)
        assert (audited(tmp_path), len(line.heads)) == ([], before)
        async with caller("goes") as second:
            assert (await typed(second)).status == "completed"
    assert [row.fields["reason"] for row in audited(tmp_path) if row.action == "cloud.session_began"] == ["full"]
    assert [row.fields["agent"] for row in audited(tmp_path) if row.action == "cloud.session_began"] == ["goes"]


async def test_what_cannot_be_written_down_does_not_leave(
    house: Callable[..., House], line: CutLine, tmp_path: Path
) -> None:
    home = house(KAMMERTON_SERVER__MAX_SESSIONS="1")
    _, most = resource.prlimit(home.server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(home.server.process.pid, resource.RLIMIT_FSIZE, (0, most))
    before = len(line.heads)
    async with home.server.caller(output_modalities=["text"]) as first:
        assert (await typed(first)).status == "completed"
        second: Any = Caller(home.server.base_url, {})
        second.connection = await second._manager.__aenter__()
        assert (await second.connection.recv()).type == "session.created"
        error = (await second.connection.recv()).error
        assert "audit cannot be written" in error.message
        await second._manager.__aexit__(None, None, None)
    assert len(line.heads) == before


@pytest.fixture(scope="module")
def seen() -> dict[str, dict[str, int]]:
    """What the kernel counted while an engine was dead and a call came: with the fallback allowed, and without."""
    program = [*CUT_OFF, sys.executable, "-m", "tests.cloud.dead_engine"]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0 and "unshare" in done.stderr:
        pytest.skip(f"this machine lets nobody have a network of their own: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    counted: dict[str, dict[str, int]] = json.loads(done.stdout)
    return counted


def test_without_the_operators_word_not_a_packet_leaves(seen: dict[str, dict[str, int]]) -> None:
    assert set(seen["forbidden"].values()) == {0}


def test_with_it_the_attempt_is_seen(seen: dict[str, dict[str, int]]) -> None:
    assert seen["allowed"]["Ip.OutNoRoutes"] > 0
