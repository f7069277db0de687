"""Agents of a folder: cast for a session, handed over, read again."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from server.agents.agent import Surroundings
from server.agents.library import Agents, Role
from server.agents.mcp_tools import McpServer
from server.agents.models import ChatModels
from server.core.events import SessionConfig, ToolLimits
from server.errors import SettingsError
from server.policy.egress import Egress
from server.policy.vault import Vault
from server.runtime.tools import McpConnector, MemoryLedger, MemoryState, ToolCall, ToolContext
from server.store.sql import SqlStore
from tests.agents.calls import context, pieces, run
from tests.agents.mcp_process import PEER

ROUTER = """
instructions = "You route."
greeting.en = "Salon Bella."
disclosure.en = "I am a machine."
voices.en = "en_US"
hands_to = ["booking"]
"""
BOOKING = """
instructions = "You book."
description = "Books appointments."
hands_to = ["router"]
limits.tool_calls_a_turn = 2
[accepts]
service = { type = "string" }
[[tools]]
python = "tools.py"
timeout_s = 3
"""
TOOLS = '''
from server.agents.python_tools import tool

@tool(safe=True)
async def get_price(service: str) -> int:
    """Price of a service."""
    return 25
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "router.toml").write_text(ROUTER)
    (tmp_path / "booking.toml").write_text(BOOKING)
    (tmp_path / "tools.py").write_text(TOOLS)
    return tmp_path


def library(
    folder: Path, models: ChatModels | None = None, mcp: McpConnector | None = None, store: SqlStore | None = None
) -> Agents:
    egress = Egress()
    around = Surroundings(
        egress.check,
        lambda headers: egress.client(headers=headers),
        Vault(folder / "secrets.toml").fill,
        ("en_US", "de_DE"),
        ("human",),
        models.of if models else lambda wanted: None,
    )
    if store is not None:
        return Agents(folder, around, store, store.state, mcp)
    return Agents(folder, around, MemoryLedger(), lambda session_id, agent: MemoryState(), mcp)


ENGINES: Any = SimpleNamespace(
    vad=None, stt=SimpleNamespace(name="s", languages=()), llm=SimpleNamespace(name="m", context=None), tts=None
)
BASE = SessionConfig(instructions="none", voice="x")


def cast(agents: Agents, name: str) -> Role:
    role = agents.cast(name, BASE, ENGINES, "sess_1")
    assert role is not None
    return role


def offered(config: SessionConfig) -> list[str]:
    return [tool.tool.name for tool in config.server_tools]


async def test_a_session_starts_with_what_its_agents_file_says(folder: Path) -> None:
    agents = library(folder)
    assert agents.names() == ("booking", "router")
    router, booking = cast(agents, "router"), cast(agents, "booking")
    assert router.opening == "I am a machine. Salon Bella."
    assert (router.config.instructions, router.config.voice, router.config.language) == ("You route.", "en_US", "en")
    assert offered(router.config) == ["hand_over_to_booking"]
    assert (agents.language("router"), agents.language("nobody")) == ("en", None)
    assert booking.config.voice == "x"
    assert booking.config.tool_limits == ToolLimits(2, 200)
    assert offered(booking.config) == ["get_price", "hand_over_to_router"]
    policy = booking.config.server_tools[0].policy
    assert (policy.safe, policy.timeout_s) == (True, 3)
    assert agents.cast("nobody", BASE, ENGINES, "sess_1") is None


async def test_a_call_is_handed_over_with_typed_facts_and_back_without_losing_them(folder: Path) -> None:
    agents = library(folder)
    toolbox = cast(agents, "router").toolbox
    assert set(toolbox.of("router")) == {"hand_over_to_booking"}
    assert set(toolbox.of("booking")) == {"hand_over_to_router", "get_price"}
    there, back = toolbox.of("router")["hand_over_to_booking"], toolbox.of("booking")["hand_over_to_router"]
    assert there.spec.description == "Hand the call over to booking. Books appointments."
    assert there.spec.parameters["properties"] == {"service": {"type": "string"}}
    around = context()
    [result] = await pieces(there, around, service="haircut")
    assert result.changes["instructions"].startswith("You book.")
    assert '{"service":"haircut"}' in result.changes["instructions"]
    assert [tool.tool.name for tool in result.changes["server_tools"]] == ["get_price", "hand_over_to_router"]
    await around.state.set("day", "friday")
    [result] = await pieces(back, around)
    assert result.changes["instructions"] == 'You route.\nKnown so far: {"service":"haircut","day":"friday"}'


def _edit(path: Path, text: str) -> None:
    path.write_text(text)
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 1))


async def test_a_changed_file_is_in_force_for_the_next_session(folder: Path) -> None:
    agents = library(folder)
    before = cast(agents, "router")
    _edit(folder / "router.toml", ROUTER.replace("You route.", "You point."))
    _edit(folder / "tools.py", TOOLS.replace("return 25", "return 30"))
    assert cast(agents, "router").config.instructions == "You point."
    assert before.config.instructions == "You route."
    price = cast(agents, "booking").toolbox.of("booking")["get_price"]
    call = ToolCall("c", "get_price", {"service": "x"}, "k", "r")
    around = ToolContext("s", "s", "booking", None, MemoryState())
    assert [piece async for piece in price.run(call, around)][-1].value == 30  # type: ignore[union-attr]


async def test_an_edit_of_tools_in_a_folder_of_their_own_is_seen_too(folder: Path) -> None:
    (folder / "shared").mkdir()
    (folder / "shared" / "prices.py").write_text(TOOLS)
    _edit(folder / "booking.toml", BOOKING.replace("tools.py", "shared/prices.py"))
    agents = library(folder)
    _edit(folder / "shared" / "prices.py", TOOLS.replace("return 25", "return 30"))
    assert await run(cast(agents, "booking").toolbox.of("booking")["get_price"], service="haircut") == 30


async def test_agents_that_name_the_same_file_of_tools_share_what_it_holds(folder: Path) -> None:
    counting = TOOLS.replace("@tool", "asked = []\n\n@tool").replace(
        "return 25", "asked.append(1)\n    return len(asked)"
    )
    (folder / "tools.py").write_text(counting)
    _edit(folder / "router.toml", ROUTER + '[[tools]]\npython = "tools.py:get_price"\n')
    toolbox = cast(library(folder), "router").toolbox
    asked = [await run(toolbox.of(agent)["get_price"], service="haircut") for agent in ("router", "booking")]
    assert asked == [1, 2]


async def test_a_file_that_is_broken_later_changes_nothing(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    agents = library(folder)
    _edit(folder / "router.toml", "instructions = 5")
    assert cast(agents, "router").config.instructions == "You route."
    assert "router.toml:1: instructions" in str(caplog.records[-1].__dict__["error"])


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"tools.py"', '"gone.py"', "booking.toml:8: tools.0: "),
        ('python = "tools.py"', 'name = "x"\ndescription = "X."\nhttp.url = "https://crm.example/"', "egress.hosts"),
        ('python = "tools.py"', 'name = "x"\nmcp.url = "https://crm.example/"', "crm.example:443 is not among"),
        (
            'python = "tools.py"',
            'name = "x"\ndescription = "X."\nhttp = { url = "http://localhost/", headers.A = "${crm}" }',
            "secrets in",
        ),
        ('["router"]', '["router", "router"]', "booking.toml:4: hands_to.1: this agent has a tool hand_over_to_router"),
        ("[accepts]", 'voices.en = "en_GB"\n[accepts]', "booking.toml:6: voices.en: there is no voice 'en_GB'"),
        (
            "timeout_s = 3",
            '[[tools]]\npython = "tools.py"',
            "booking.toml:10: tools.1: this agent has a tool get_price",
        ),
    ],
)
async def test_what_a_file_names_must_be_there(folder: Path, old: str, new: str, told: str) -> None:
    assert old in BOOKING
    _edit(folder / "booking.toml", BOOKING.replace(old, new))
    with pytest.raises(SettingsError) as caught:
        library(folder)
    assert told in str(caught.value)


async def test_two_agents_may_have_a_tool_of_the_same_name_each_and_run_their_own(folder: Path) -> None:
    _edit(folder / "router.toml", ROUTER + '[[tools]]\npython = "other.py"\n')
    (folder / "other.py").write_text(TOOLS.replace("return 25", "return 7"))
    toolbox = cast(library(folder), "router").toolbox
    found = [await run(toolbox.of(agent)["get_price"], service="haircut") for agent in ("router", "booking")]
    assert found == [7, 25]


async def test_only_what_an_agent_accepts_becomes_a_fact(folder: Path) -> None:
    hand_over = cast(library(folder), "router").toolbox.of("router")["hand_over_to_booking"]
    around = context()
    await pieces(hand_over, around, service="haircut", price="free of charge")
    assert await around.state.all() == {"service": "haircut"}


async def test_facts_that_do_not_fit_are_left_out_whole_the_oldest_first_and_told_by_name(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hand_over = cast(library(folder), "router").toolbox.of("router")["hand_over_to_booking"]
    around = context()
    for name, size in {"old": 900, "mid": 900, "small": 10, "new": 900}.items():
        await around.state.set(name, "x" * size)
    await around.state.set("mid", "y" * 900)
    [result] = await pieces(hand_over, around, service="haircut")
    known = json.loads(result.changes["instructions"].partition("Known so far: ")[2])
    assert list(known) == ["small", "new", "mid", "service"]
    assert known["mid"] == "y" * 900
    assert caplog.records[-1].__dict__["left_out"] == "old"
    assert await around.state.get("old") == "x" * 900


async def test_a_fact_that_is_longer_than_all_may_be_leaves_room_for_the_others(folder: Path) -> None:
    hand_over = cast(library(folder), "router").toolbox.of("router")["hand_over_to_booking"]
    around = context()
    await around.state.set("day", "friday")
    [result] = await pieces(hand_over, around, service="x" * 3_000)
    assert result.changes["instructions"] == 'You book.\nKnown so far: {"day":"friday"}'


async def test_tools_of_an_mcp_server_join_when_it_answers(folder: Path) -> None:
    entry = f'[[tools]]\nname = "weather"\nsafe = true\nmcp.command = {json.dumps([sys.executable, str(PEER)])}\n'
    _edit(folder / "router.toml", ROUTER + entry + 'mcp.only = ["say", "get_weather"]\n')
    agents = library(folder)
    await agents.connect()
    role = cast(agents, "router")
    assert offered(role.config) == ["hand_over_to_booking", "get_weather", "say"]
    assert role.toolbox.of("router")["say"].policy.safe
    # Also in the first call after an edit, before the server has been asked again.
    _edit(folder / "booking.toml", BOOKING + "# edited\n")
    assert offered(cast(agents, "router").config) == ["hand_over_to_booking", "get_weather", "say"]
    await agents.close()


async def test_a_call_that_began_before_its_mcp_server_answered_has_its_tools_once_it_does(folder: Path) -> None:
    entry = f'[[tools]]\nname = "weather"\nmcp.command = {json.dumps([sys.executable, str(PEER)])}\n'
    _edit(folder / "booking.toml", BOOKING + entry)
    agents = library(folder)
    toolbox = cast(agents, "router").toolbox
    await agents.connect()
    [result] = await pieces(toolbox.of("router")["hand_over_to_booking"], service="haircut")
    promised = {tool.tool.name for tool in result.changes["server_tools"]}
    assert "get_weather" in promised
    assert promised <= set(toolbox.of("booking"))
    await agents.close()


def _weather(*more: str) -> str:
    command = json.dumps([sys.executable, str(PEER)])
    return "\n".join(["[[tools]]", 'name = "weather"', f"mcp.command = {command}", *more, ""])


async def test_an_mcp_server_that_no_agent_names_any_more_stops_with_the_last_session_that_knew_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: asyncio.Queue[str] = asyncio.Queue()
    close = McpServer.close

    async def noted(server: McpServer) -> None:
        await close(server)
        stopped.put_nowait(server.name)

    monkeypatch.setattr(McpServer, "close", noted)
    _edit(folder / "router.toml", ROUTER + _weather())
    agents = library(folder)
    await agents.connect()
    first, second = (cast(agents, "router").toolbox for _ in range(2))
    _edit(folder / "router.toml", ROUTER)
    after = cast(agents, "router")
    assert offered(after.config) == ["hand_over_to_booking"]
    first.over()
    first.over()
    after.toolbox.over()
    assert "hello" in str(await run(second.of("router")["say"], text="hello"))
    assert stopped.empty()
    second.over()
    assert await stopped.get() == "weather"
    await agents.close()
    assert stopped.empty()


async def test_an_mcp_server_that_no_session_knows_stops_when_the_files_are_read_again(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    _edit(folder / "router.toml", ROUTER + _weather())
    agents = library(folder)
    await agents.connect()
    _edit(folder / "router.toml", ROUTER + _weather("timeout_s = 5"))
    agents.names()
    assert "no agent names any more" not in caplog.text
    _edit(folder / "router.toml", ROUTER)
    agents.names()
    assert "no agent names any more" in caplog.text
    await agents.close()


async def test_two_entries_may_take_other_tools_of_the_same_mcp_server_each(folder: Path) -> None:
    some = _weather('mcp.only = ["say"]', "timeout_s = 5"), _weather('mcp.only = ["get_weather"]', "timeout_s = 6")
    _edit(folder / "router.toml", ROUTER + "".join(some))
    agents = library(folder)
    await agents.connect()
    tools = cast(agents, "router").toolbox.of("router")
    assert [tools[name].policy.timeout_s for name in ("say", "get_weather")] == [5, 6]
    await agents.close()


async def test_without_its_mcp_server_an_agent_answers_all_the_same(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _edit(folder / "router.toml", ROUTER + '[[tools]]\nname = "w"\nmcp.url = "http://127.0.0.1:9/mcp"\n')
    agents = library(folder)
    await agents.connect()
    assert offered(cast(agents, "router").config) == ["hand_over_to_booking"]
    assert "an agent has to do without tools" in caplog.text
    await agents.close()


def _secrets(folder: Path, text: str, mode: int = 0o600) -> Callable[[str], str]:
    path = folder / "vault.toml"
    path.write_text(text)
    path.chmod(mode)
    return Vault(path).fill


def test_secrets_are_filled_in_by_name(tmp_path: Path) -> None:
    assert _secrets(tmp_path, 'crm = "abc"')("Bearer ${crm}!") == "Bearer abc!"
    assert _secrets(tmp_path, "")("no secret {x}") == "no secret {x}"


@pytest.mark.parametrize(
    ("text", "mode", "told"),
    [
        ('other = "hidden"', 0o600, "there is no secret crm"),
        ('crm = "hidden"', 0o644, "others can read"),
        ("crm = hidden", 0o600, "not valid TOML"),
        ('crm = ["hidden"]', 0o600, "every line"),
    ],
)
def test_a_file_of_secrets_that_cannot_be_used_is_told_without_a_secret(
    tmp_path: Path, text: str, mode: int, told: str
) -> None:
    with pytest.raises(SettingsError, match=told) as caught:
        _secrets(tmp_path, text, mode)("${crm}")
    assert "hidden" not in str(caught.value)
