"""Silero VAD for torch.hub, out of its package, as hubconf.py of its repository offers it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch


def silero_vad() -> tuple[Any, tuple[()]]:
    """The model, and none of the functions that come with it."""
    spec = find_spec("silero_vad")
    assert spec is not None
    assert spec.origin is not None
    weights = Path(spec.origin).parent / "data" / "silero_vad.jit"
    return torch.jit.load(weights, map_location="cpu").eval(), ()  # type: ignore[no-untyped-call]
