"""What tests in several rooms need: a running server."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from models.offline import send_no_reports
from tests.server_process import Server, start, stop

# Before a test imports a library that would.
send_no_reports()

# How long an example takes is the machine's doing. Where a change is judged, it is by the same examples each time.
settings.register_profile(
    "everywhere",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
    database=None if "CI" in os.environ else settings.default.database,
)
settings.load_profile("everywhere")


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
