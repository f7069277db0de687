"""The training loop: plain regression on the teacher's frames, with the teacher's durations."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from scripts.training import loop
from scripts.training.tts.analysis import APERIODICITY, ENVELOPE
from scripts.training.tts.examples import Batch, Example, batches, statistics
from scripts.training.tts.network import Acoustic, Size

_WEIGHTS = {"envelope": 1.0, "change": 0.3, "aperiodicity": 0.3, "pitch": 0.5, "voicing": 0.5, "duration": 0.5}


@dataclass(frozen=True, slots=True)
class Settings:
    """steps, minutes: the training ends at whichever comes first. rows: sentences of a batch. held_out: examples that
    are not learnt from and tell how well it goes."""

    steps: int = 1800
    minutes: float = 600.0
    rows: int = 16
    rate: float = 2e-3
    last_rate: float = 1e-5
    warm_up: int = 100
    held_out: int = 80
    seed: int = 7
    save_every: int = 100


def train(
    examples: Sequence[Example],
    folder: Path,
    size: Size,
    settings: Settings,
    report: Callable[[loop.Progress, float], None],
) -> tuple[Acoustic, loop.Progress]:
    """Train, or go on where the checkpoint in ``folder`` ends. report: called after each step with the share done."""
    torch.manual_seed(settings.seed)
    network = Acoustic(size)
    kept = min(settings.held_out, len(examples) // 5)
    known, unknown = examples[kept:], examples[:kept]
    mean, deviation = statistics(known)
    network.mean.copy_(torch.from_numpy(mean))
    network.deviation.copy_(torch.from_numpy(deviation))
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.rate, betas=(0.9, 0.98), weight_decay=0.01)
    checkpoint = folder / "checkpoint.pt"
    progress = loop.resume(checkpoint, size.as_dict(), network, [optimiser])
    stream = _stream(known, settings, progress.step)
    last = time.monotonic()
    while (share := progress.share(settings.steps, settings.minutes)) < 1:
        _set_rate(optimiser, settings, progress.step, share)
        losses = _step(network, optimiser, next(stream))
        now = time.monotonic()
        progress.stepped(now - last, losses)
        last = now
        if progress.step % settings.save_every == 0:
            progress.held_out.append((progress.step, measure(network, unknown, settings.rows)))
            loop.save(checkpoint, size.as_dict(), network, [optimiser], progress)
        report(progress, progress.share(settings.steps, settings.minutes))
    progress.held_out.append((progress.step, measure(network, unknown, settings.rows)))
    loop.save(checkpoint, size.as_dict(), network, [optimiser], progress)
    return network.eval(), progress


def losses_of(network: Acoustic, batch: Batch) -> dict[str, Tensor]:
    """Each a mean over what it is about; with the teacher's durations."""
    ids, frames = torch.from_numpy(batch.ids), torch.from_numpy(batch.frames)
    spoken = torch.arange(ids.shape[1])[None] < torch.from_numpy(batch.lengths)[:, None]
    encoded, lengths = network.encode(ids, torch.from_numpy(batch.languages), spoken[:, None].float())
    count = batch.targets.shape[2]
    made = network.decode(encoded, frames, torch.tensor(count))
    wanted = (torch.from_numpy(batch.targets) - network.mean[:, None]) / network.deviation[:, None]
    present = torch.arange(count)[None] < frames.sum(1)[:, None]
    voiced = present & (torch.from_numpy(batch.targets[:, -1]) > 0.5)
    error = (made - wanted).abs()
    change = (made[:, :ENVELOPE].diff(dim=2) - wanted[:, :ENVELOPE].diff(dim=2)).abs().mean(1)
    voicing = F.binary_cross_entropy_with_logits(made[:, -1], wanted[:, -1], reduction="none")
    return {
        "envelope": _mean(error[:, :ENVELOPE].mean(1), present),
        "change": _mean(change, present[:, 1:]),
        "aperiodicity": _mean(error[:, ENVELOPE : ENVELOPE + APERIODICITY].mean(1), voiced),
        "pitch": _mean(error[:, -2], voiced),
        "voicing": _mean(voicing, present),
        "duration": _mean((lengths - torch.log1p(frames.float())).abs(), spoken),
    }


def _mean(values: Tensor, where: Tensor) -> Tensor:
    return (values * where).sum() / where.sum().clamp(min=1)


def measure(network: Acoustic, examples: Sequence[Example], rows: int) -> dict[str, float]:
    """Losses on examples that were not learnt from."""
    sums: dict[str, list[float]] = {name: [] for name in _WEIGHTS}
    network.eval()
    with torch.no_grad():
        for batch in batches(examples, rows, np.random.default_rng(0)):
            for name, loss in losses_of(network, batch).items():
                sums[name].append(float(loss))
    network.train()
    return {name: float(np.mean(values)) for name, values in sums.items() if values}


def _step(network: Acoustic, optimiser: torch.optim.Optimizer, batch: Batch) -> dict[str, float]:
    losses = losses_of(network, batch)
    total = torch.stack([_WEIGHTS[name] * loss for name, loss in losses.items()]).sum()
    total.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return {name: float(loss.detach()) for name, loss in losses.items()}


def _stream(examples: Sequence[Example], settings: Settings, step: int) -> Iterator[Batch]:
    """Without end; it follows from the seed and the step at which it begins."""
    rng = np.random.default_rng((settings.seed, step))
    while True:
        yield from batches(examples, settings.rows, rng)


def _set_rate(optimiser: torch.optim.Optimizer, settings: Settings, step: int, share: float) -> None:
    """Warm-up, then half a cosine."""
    falling = 0.5 + 0.5 * math.cos(math.pi * share)
    rate = settings.last_rate + (settings.rate - settings.last_rate) * falling
    for group in optimiser.param_groups:
        group["lr"] = rate * min(1.0, (step + 1) / settings.warm_up)
