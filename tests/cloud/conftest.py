"""One server that plays the provider, and one whose sessions are served there."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.cloud.provider import CutLine, sent_to
from tests.server_process import Server, start, stop


@pytest.fixture(scope="session")
def provider() -> Iterator[Server]:
    """Hears, thinks and speaks."""
    server = start()
    yield server
    assert stop(server) == 0


@pytest.fixture(scope="session")
def line(provider: Server) -> Iterator[CutLine]:
    """From the one server to the other."""
    port = urlsplit(provider.base_url).port
    assert port is not None
    between = CutLine(port)
    yield between
    between.close()


@pytest.fixture(scope="session")
def front(line: CutLine) -> Iterator[Server]:
    """The server that clients talk to."""
    server = start(**sent_to(f"ws://127.0.0.1:{line.port}/v1"))
    yield server
    assert stop(server) == 0
