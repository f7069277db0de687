"""A server whose sessions are served by another one, which plays the provider."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import pytest

from tests.cloud.provider import PUBLIC, TOKEN, CutLine, sent_to
from tests.cloud.stand_in import Provider, providing
from tests.server_process import ROOT, Server, start, stop


@pytest.fixture(scope="session")
def line(server: Server) -> Iterator[CutLine]:
    """To the provider."""
    port = urlsplit(server.base_url).port
    assert port is not None
    between = CutLine(port)
    yield between
    between.close()


@pytest.fixture(scope="session")
def front(line: CutLine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server that clients and Twilio's calls come to; it has the reception of the examples for an agent."""
    folder = tmp_path_factory.mktemp("agents")
    for path in (ROOT / "examples" / "reception").iterdir():
        if path.suffix in (".toml", ".py"):
            shutil.copy(path, folder)
    running = start(
        KAMMERTON_AGENTS__FOLDER=str(folder),
        KAMMERTON_STORE__URL=f"sqlite:///{folder}/store.db",
        KAMMERTON_TWILIO__AUTH_TOKEN=TOKEN,
        KAMMERTON_PHONE__PUBLIC_URL=PUBLIC,
        KAMMERTON_PHONE__GREETING="Hello.",
        **sent_to(f"ws://127.0.0.1:{line.port}/v1"),
    )
    yield running
    stop(running)


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """One that says what a test has it say."""
    async with providing() as running:
        yield running
