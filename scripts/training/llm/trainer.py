"""Training: loss on the assistant's tokens, Muon for the matrices and Adam for the rest, checkpoints, a clock."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from scripts.training import loop
from scripts.training.llm.corpus import Batch, Corpus
from scripts.training.llm.network import ChatNetwork
from scripts.training.llm.render import Renderer


@dataclass(frozen=True)
class Plan:
    """tokens: how many are shown at most. seconds: how long it may take at most, earlier runs of the same training
    included. matrix_rate: of Muon (Jordan 2024, "Muon: an optimizer for hidden layers"). other_rate: of Adam. warm_up:
    share in which drills prevail."""

    tokens: int
    seconds: float
    matrix_rate: float
    other_rate: float
    batch_tokens: int
    warm_up: float
    seed: int
    save_every_s: float = 60.0


@dataclass(frozen=True)
class State:
    """What the progress display shows."""

    progress: float
    tokens: int
    step: int
    loss: float
    per_second: float

    def __str__(self) -> str:
        return (
            f"{self.progress:.1%} step {self.step} loss {self.loss:.4f} {self.tokens / 1e6:.2f}M tokens "
            f"{self.per_second:.0f}/s"
        )


class Trainer:
    """checkpoint: the file that training goes on from when it is there."""

    def __init__(self, network: ChatNetwork, renderer: Renderer, plan: Plan, checkpoint: Path) -> None:
        self.network = network
        self.plan = plan
        self._checkpoint = checkpoint
        self._rng = random.Random(plan.seed)
        self._corpus = Corpus(renderer, self._rng, batch_tokens=plan.batch_tokens, warm_up=plan.warm_up)
        self._optimizers = _optimizers(network, plan)
        self._tokens = self._step = 0
        self._spent = 0.0

    def resume(self) -> bool:
        """Take up the checkpoint, if there is one. The stream of dialogues goes on from where it was drawn."""
        if not self._checkpoint.is_file():
            return False
        saved = torch.load(self._checkpoint, weights_only=False)
        self.network.load_state_dict(saved["network"])
        for optimizer, state in zip(self._optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self._rng.setstate(saved["rng"])
        self._tokens, self._step, self._spent = saved["tokens"], saved["step"], saved["spent"]
        return True

    def run(self, report: Callable[[State], None]) -> None:
        """Until the plan's tokens or seconds are used up. report is called after every step."""
        started = saved = time.monotonic()
        before, fresh, average = self._spent, 0, 0.0
        self.network.train()
        for batch in self._corpus.batches():
            self._spent = before + time.monotonic() - started
            progress = min(1.0, max(self._tokens / self.plan.tokens, self._spent / self.plan.seconds))
            self._corpus.progress = progress
            if progress >= 1.0:
                break
            loss = self._learn(batch, progress)
            self._tokens += batch.tokens
            self._step += 1
            fresh += batch.tokens
            average = loss if not average else 0.98 * average + 0.02 * loss
            elapsed = time.monotonic() - started
            report(State(progress, self._tokens, self._step, average, fresh / elapsed))
            if time.monotonic() - saved > self.plan.save_every_s:
                self._save()
                saved = time.monotonic()
        self._save()

    def _learn(self, batch: Batch, progress: float) -> float:
        rate = min(1.0, (self._step + 1) / 50) * (1.0 - progress)
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["full_rate"] * rate
        ids = torch.tensor(batch.ids)
        places, targets = _wanted(ids, torch.tensor(batch.marks))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = self.network(ids, places)
        loss = functional.cross_entropy(logits.float(), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        for optimizer in self._optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())

    def _save(self) -> None:
        state: dict[str, Any] = {
            "network": self.network.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            "rng": self._rng.getstate(),
            "tokens": self._tokens,
            "step": self._step,
            "spent": self._spent,
        }
        loop.write(self._checkpoint, state)


def _wanted(ids: Tensor, marks: Tensor) -> tuple[Tensor, Tensor]:
    """(places, in the flattened batch, before the tokens wanted; those tokens), filled up with ignored ones to a round
    number, for the sake of few shapes."""
    places = marks[:, 1:].flatten().nonzero()[:, 0]
    width = ids.shape[1]
    places = places // (width - 1) * width + places % (width - 1)
    targets = ids.flatten()[places + 1]
    missing = -len(places) % 256
    return functional.pad(places, (0, missing)), functional.pad(targets, (0, missing), value=-100)


def _optimizers(network: ChatNetwork, plan: Plan) -> list[torch.optim.Optimizer]:
    """Muon for the layers' matrices; Adam for the embedding and, four times as fast, for the norms, which limit how
    sharp attention can be and would grow slowly."""
    matrices = [p for name, p in network.named_parameters() if p.dim() == 2 and "embed" not in name]
    norms = [p for p in network.parameters() if p.dim() == 1]
    muon = torch.optim.Muon(matrices, lr=plan.matrix_rate, momentum=0.95, weight_decay=0.05, ns_steps=5)
    adam = torch.optim.Adam(
        [
            {"params": [network.model.embed_tokens.weight], "lr": plan.other_rate},
            {"params": norms, "lr": 4 * plan.other_rate},
        ],
        betas=(0.9, 0.95),
    )
    for optimizer in (muon, adam):
        for group in optimizer.param_groups:
            group["full_rate"] = group["lr"]
    return [muon, adam]
