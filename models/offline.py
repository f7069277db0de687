"""Switches that keep libraries from asking a hub, and from reporting home. They are read when a library is imported,
and by every process that is started with them."""

from __future__ import annotations

import os
from collections.abc import Mapping

SWITCHES: Mapping[str, str] = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}


def stay_offline() -> None:
    """From now on, in this process and those that it starts."""
    os.environ.update(SWITCHES)
