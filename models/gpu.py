"""Whether a profile's models fit on this machine's GPU: asked before gigabytes are read."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.base import CatalogError
from models.entries import Profile, profiles

_log = logging.getLogger(__name__)

_ASK = ("nvidia-smi", "--query-gpu=memory.total,memory.free,name", "--format=csv,noheader,nounits")
_ASK_S = 30.0
_DEVICES = (Path("/dev/nvidiactl"), Path("/dev/dxg"))
"""What a driver's GPU shows up as, on Linux and in WSL."""
_MB_PER_MIB = 1.048576


@dataclass(frozen=True)
class Gpu:
    """One GPU as its driver describes it; memory in MB (10^6 bytes)."""

    name: str
    total_mb: float
    free_mb: float


def find_gpus() -> Sequence[Gpu] | None:
    """The machine's NVIDIA GPUs; None when there is something that may be one, and nobody who can describe it."""
    try:
        said = subprocess.run(_ASK, capture_output=True, text=True, timeout=_ASK_S, check=True).stdout
        return [_read(line) for line in said.splitlines() if line.strip()]
    except (OSError, subprocess.SubprocessError, ValueError):
        return None if any(device.exists() for device in _DEVICES) else ()


def check_fits(profile: Profile) -> None:
    """Raises CatalogError, with what would fit, when no GPU has as much memory free as the profile's models take."""
    if not profile.gpu_mb:
        return
    gpus = find_gpus()
    if gpus is None:
        _log.warning("nvidia-smi does not say how much memory the GPU has", extra={"needed_mb": profile.gpu_mb})
        return
    best = max(gpus, key=lambda gpu: gpu.free_mb, default=None)
    if best is not None and best.free_mb >= profile.gpu_mb:
        return
    parts = ", ".join(f"{entry.name} {entry.gpu_mb:,.0f}" for entry in profile.entries.values() if entry.gpu_mb)
    needs = f"profile {profile.name} needs {profile.gpu_mb:,.0f} MB of GPU memory ({parts})"
    has = (
        f"{best.name} has {best.free_mb:,.0f} of {best.total_mb:,.0f} MB free"
        if best
        else "there is no NVIDIA GPU here"
    )
    room = best.free_mb if best else 0
    fitting = ", ".join(name for name, other in profiles().items() if other.gpu_mb <= room)
    raise CatalogError(f"{needs}, and {has}; what would fit: {fitting or 'none'}")


def _read(line: str) -> Gpu:
    """Raises ValueError for memory that is no number, as of a GPU that is divided up (MIG)."""
    total, free, name = (field.strip() for field in line.split(",", 2))
    return Gpu(name, float(total) * _MB_PER_MIB, float(free) * _MB_PER_MIB)
