"""Agents on a running server: the reception of the examples, by voice and by text."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import AsyncOpenAI

from tests import server_process
from tests.e2e.call import Caller
from tests.server_process import ROOT, Server

GREETING = "This is the AI assistant of Salon Bella. How can I help you?"


@pytest.fixture(scope="module")
def reception(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example: its database is made beside it."""
    folder = tmp_path_factory.mktemp("agents")
    for path in (ROOT / "examples" / "reception").iterdir():
        if path.suffix in (".toml", ".py"):
            shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="module")
def server(reception: Path) -> Iterator[Server]:
    server = server_process.start(
        KAMMERTON_AGENTS__FOLDER=str(reception), KAMMERTON_STORE__URL=f"sqlite:///{reception}/store.db"
    )
    yield server
    assert server_process.stop(server) in (0, -signal.SIGTERM)


def caller(server: Server, agent: str) -> Caller:
    return Caller(server.base_url, {}, model=agent)


async def test_an_agent_greets_its_caller_first(server: Server) -> None:
    async with caller(server, "reception") as connected:
        done = await connected.until("response.done")
        [item] = done.response.output
        assert item.content[0].transcript == GREETING
        assert connected.of("response.output_audio.delta")
    async with caller(server, "empfang") as connected:
        done = await connected.until("response.done")
        assert done.response.output[0].content[0].transcript.endswith("Wie kann ich Ihnen helfen?")


async def test_an_agent_is_a_model_and_a_parameter_and_one_that_does_not_exist_is_told(server: Server) -> None:
    listed = json.loads(server.get("/v1/models")[1])["data"]
    assert [model["id"] for model in listed][:3] == ["kammerton", "empfang", "reception"]
    client = AsyncOpenAI(base_url=f"{server.base_url}/v1", api_key="none", max_retries=0)
    async with client.realtime.connect(model="kammerton", extra_query={"agent": "reception"}) as connection:
        created = await connection.recv()
        assert created.type == "session.created"
        assert "Anna" in created.session.instructions
    async with client.realtime.connect(model="kammerton", extra_query={"agent": "nobody"}) as connection:
        told = await connection.recv()
        assert told.type == "error"
        assert "empfang, reception" in told.error.message
    await client.close()


async def test_a_client_that_leads_is_not_greeted(server: Server) -> None:
    client = AsyncOpenAI(base_url=f"{server.base_url}/v1", api_key="none", max_retries=0)
    async with client.realtime.connect(model="reception") as connection:
        await connection.conversation.item.create(
            item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello."}]}
        )
        await connection.response.create(response={"output_modalities": ["text"]})
        said = ""
        async for event in connection:
            if event.type == "response.output_text.delta":
                said += event.delta
            if event.type == "response.done":
                break
        assert said
        assert said != GREETING
    await client.close()
