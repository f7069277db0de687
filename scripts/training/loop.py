"""What training loops share: how far a training is, and its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

_KEPT = 0.98
"""Share of the running mean in the new one."""


@dataclass(slots=True)
class Progress:
    """Where a training stands; part of the checkpoint. losses: running means. held_out: (step, losses) now and then."""

    step: int = 0
    seconds: float = 0.0
    losses: dict[str, float] = field(default_factory=dict)
    held_out: list[tuple[int, dict[str, float]]] = field(default_factory=list)

    def share(self, steps: int, minutes: float) -> float:
        """0 at the start, 1 at the end, which comes with the steps or the minutes, whichever are used up first."""
        return min(1.0, max(self.step / steps, self.seconds / 60 / minutes))

    def stepped(self, seconds: float, losses: Mapping[str, float]) -> None:
        """One more step is done. seconds: how long it took."""
        self.step += 1
        self.seconds += seconds
        for name, loss in losses.items():
            self.losses[name] = _KEPT * self.losses.get(name, loss) + (1 - _KEPT) * loss


def write(path: Path, state: Mapping[str, Any]) -> None:
    """Written beside and renamed: a checkpoint is whole or the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    torch.save(dict(state), partial)
    partial.replace(path)


def save(
    path: Path,
    size: Mapping[str, Any],
    network: nn.Module,
    optimisers: Sequence[torch.optim.Optimizer],
    progress: Progress,
) -> None:
    """Write a checkpoint that ``resume`` takes up. size: what the network was made with."""
    state = {
        "size": size,
        "network": network.state_dict(),
        "optimisers": [optimiser.state_dict() for optimiser in optimisers],
        "progress": asdict(progress),
    }
    write(path, state)


def resume(
    path: Path, size: Mapping[str, Any], network: nn.Module, optimisers: Sequence[torch.optim.Optimizer]
) -> Progress:
    """Take up a checkpoint, if there is one. Raises ValueError for one of another network."""
    if not path.is_file():
        return Progress()
    state = torch.load(path, weights_only=True)
    if state["size"] != size:
        raise ValueError(f"{path} is of another size: {state['size']}")
    network.load_state_dict(state["network"])
    for optimiser, saved in zip(optimisers, state["optimisers"], strict=True):
        optimiser.load_state_dict(saved)
    return Progress(**state["progress"])
