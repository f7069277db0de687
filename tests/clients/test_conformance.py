"""Each client sends and receives what the conformance page says of it; ``--record`` makes that page's data anew."""

from __future__ import annotations

import json

import pytest

from tests.clients.conftest import Report
from tests.clients.test_calls import CALLERS
from tests.clients.test_edges import EDGES
from tests.clients.test_transcription import LISTENERS
from tests.server_process import ROOT

_RECORD = ROOT / "docs" / "conformance.json"


@pytest.mark.parametrize("client", [*CALLERS, *LISTENERS, EDGES])
def test_the_client_sends_and_receives_all_that_it_is_listed_with(
    client: str, report: Report, request: pytest.FixtureRequest
):
    listed = json.loads(_RECORD.read_text())
    if request.config.getoption("--record", default=False):
        now = {"sent": sorted(report.events.sent), "received": sorted(report.events.delivered)}
        listed[client] = {"name": report.client, "version": report.version, **now}
        _RECORD.write_text(json.dumps(dict(sorted(listed.items())), indent=2) + "\n")
    assert set(listed[client]["sent"]) <= report.events.sent
    assert set(listed[client]["received"]) <= report.events.delivered
