"""The training loop: cross-entropy on the tokens and, beside it, CTC on characters from the encoder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from tokenizers import Tokenizer
from torch import Tensor, nn

from scripts.training import loop
from scripts.training.stt.batches import Batch, Examples
from scripts.training.stt.network import Size, Whisper
from scripts.training.stt.tokens import NO_SPEECH, token_id, trained_rows

_TASK_TOKENS = 2
"""After the language: what is to be done is always given, never learnt."""


@dataclass(frozen=True, slots=True)
class Settings:
    """steps, minutes: the training ends at whichever comes first. frames: of a batch. windowed: share of batches in
    full windows in the last part, which begins at ``windows_from`` of the way. rates are for matrices and the rest."""

    steps: int = 6000
    minutes: float = 600.0
    frames: int = 12_000
    warm_up: int = 150
    matrix_rate: float = 2e-3
    other_rate: float = 2e-3
    ctc_until: float = 0.7
    ctc_late: float = 0.3
    windows_from: float = 0.65
    windowed: float = 0.4
    seed: int = 7
    save_every: int = 100


def train(
    data: Path,
    folder: Path,
    tokenizer: Tokenizer,
    size: Size,
    settings: Settings,
    report: Callable[[loop.Progress, float], None],
    start: Callable[[Whisper], None] | None = None,
) -> Whisper:
    """Train, or go on where the checkpoint in ``folder`` ends. report: called after each step with the share done."""
    torch.manual_seed(settings.seed)
    network = Whisper(size)
    if start is not None:
        start(network)
    optimisers = _optimisers(network, settings)
    checkpoint = folder / "checkpoint.pt"
    progress = loop.resume(checkpoint, size.as_dict(), network, optimisers)
    examples = Examples(data, tokenizer, settings.seed + progress.step)
    stream = _stream(examples, settings, progress)
    last = time.monotonic()
    while (share := progress.share(settings.steps, settings.minutes)) < 1:
        _set_rates(optimisers, settings, progress.step, share)
        weight = 1.0 if share < settings.ctc_until else settings.ctc_late
        losses = _step(network, optimisers, next(stream), tokenizer, weight)
        now = time.monotonic()
        progress.stepped(now - last, losses)
        last = now
        if progress.step % settings.save_every == 0:
            loop.save(checkpoint, size.as_dict(), network, optimisers, progress)
        report(progress, progress.share(settings.steps, settings.minutes))
    loop.save(checkpoint, size.as_dict(), network, optimisers, progress)
    return network


def losses_of(network: Whisper, batch: Batch, tokenizer: Tokenizer) -> tuple[Tensor, Tensor]:
    """(cross-entropy per token, CTC per character). Half precision where the processor has it."""
    tokens = torch.from_numpy(batch.tokens)
    inputs, wanted = tokens[:, :-1].clamp_min(0), tokens[:, 1:].clone()
    # What follows the start is the language, or that nobody speaks.
    empty = torch.from_numpy(batch.lengths == 0)
    wanted[empty, 0] = token_id(tokenizer, NO_SPEECH)
    wanted[:, 1 : 1 + _TASK_TOKENS] = -1
    with torch.autocast("cpu", torch.bfloat16):
        encoded = network.encode(torch.from_numpy(batch.mel))
        logits = network.decode(inputs, encoded)
        heard = network.characters(encoded)
    # The last row stands for many tokens, each of which takes its share of the probability.
    logits = logits.float()
    logits[..., -1] = logits[..., -1] + _shared_row_bias(tokenizer)
    entropy = F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=-1)
    lengths = torch.from_numpy(batch.lengths)
    frames = torch.full((len(lengths),), heard.shape[1])
    ctc = F.ctc_loss(
        heard.float().log_softmax(-1).transpose(0, 1),
        torch.from_numpy(batch.characters),
        frames,
        lengths,
        reduction="none",
        zero_infinity=True,
    )
    # Where nobody speaks there is no character to divide by; the tokens teach the silence.
    return entropy, ctc[lengths > 0].sum() / max(1, int(lengths.sum()))


def _shared_row_bias(tokenizer: Tokenizer) -> float:
    return float(torch.log(torch.tensor(tokenizer.get_vocab_size() - trained_rows(tokenizer) + 1.0)))


def _step(
    network: Whisper, optimisers: list[torch.optim.Optimizer], batch: Batch, tokenizer: Tokenizer, weight: float
) -> dict[str, float]:
    entropy, ctc = losses_of(network, batch, tokenizer)
    (entropy + weight * ctc).backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    for optimiser in optimisers:
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    return {"tokens": entropy.item(), "characters": ctc.item()}


def _stream(examples: Examples, settings: Settings, progress: loop.Progress) -> Iterator[Batch]:
    while True:
        late = _late(settings, progress)
        for batch in examples.batches(settings.frames, settings.windowed if late else 0.0):
            yield batch
            if not late and _late(settings, progress):
                break


def _late(settings: Settings, progress: loop.Progress) -> bool:
    return progress.share(settings.steps, settings.minutes) >= settings.windows_from


def _optimisers(network: Whisper, settings: Settings) -> list[torch.optim.Optimizer]:
    """Muon (Jordan 2024) for the layers' matrices, Adam for all else."""
    layers = [*network.encoder.parameters(), *network.decoder.parameters()]
    matrices = [one for one in layers if one.ndim == 2]
    chosen = {id(one) for one in matrices}
    others = [one for one in network.parameters() if id(one) not in chosen]
    return [
        torch.optim.Muon(matrices, lr=settings.matrix_rate, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=settings.other_rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
    ]


def _set_rates(optimisers: list[torch.optim.Optimizer], settings: Settings, step: int, share: float) -> None:
    """Warm-up, then a straight line to nothing."""
    scale = min(1.0, (step + 1) / settings.warm_up) * (1 - share)
    for optimiser, rate in zip(optimisers, (settings.matrix_rate, settings.other_rate), strict=True):
        for group in optimiser.param_groups:
            group["lr"] = rate * scale
