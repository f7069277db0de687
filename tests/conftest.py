"""What tests in several rooms need: a running server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from models.offline import send_no_reports
from tests.server_process import Server, start, stop

# Before a test imports a library that would.
send_no_reports()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One server for all tests that do it no harm."""
    running = start()
    yield running
    assert stop(running) == 0


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A server that the test may break."""
    running = start()
    yield running
    stop(running)
