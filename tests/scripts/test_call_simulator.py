"""What the simulator of calls says when there is nobody to call."""

from __future__ import annotations

import subprocess
import sys

from tests.server_process import ROOT
from tests.transports.rest_api import rest_api


def test_a_server_that_takes_no_call_is_told_in_one_line():
    with rest_api() as api:
        api.status = 403
        command = [sys.executable, str(ROOT / "scripts" / "call_simulator.py"), "--url", api.url, "--token", "wrong"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("no call: ")
    assert "403" in done.stderr
    assert "Traceback" not in done.stderr
