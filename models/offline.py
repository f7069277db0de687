"""Switches that keep libraries from reporting home, and from asking a hub. They are read when a library is imported or
used first, and by every process that is started with them."""

from __future__ import annotations

import os
from collections.abc import Mapping

NO_REPORTS: Mapping[str, str] = {
    # ONNX Runtime's wheels, from 1.29 on, send facts about models and an identifier of the machine to their maker.
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}
SWITCHES: Mapping[str, str] = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", **NO_REPORTS}


def send_no_reports() -> None:
    """From now on, in this process and those that it starts."""
    os.environ.update(NO_REPORTS)


def stay_offline() -> None:
    """From now on, in this process and those that it starts: no reports, no hub."""
    os.environ.update(SWITCHES)
