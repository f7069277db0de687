"""Batches of fresh dialogues, without end: nothing is shown twice."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from scripts.training.llm import simulator
from scripts.training.llm.call import Dialogue
from scripts.training.llm.render import Renderer

LONGEST = 1024
"""Tokens; longer calls are left out."""
_POOL = 384
_EARLY = {"drill": 0.75, "short": 0.20, "whole": 0.05, "forced": 0.0, "analysis": 0.0}
_LATE = {"drill": 0.24, "short": 0.28, "whole": 0.40, "forced": 0.05, "analysis": 0.03}
_KINDS = {
    "drill": simulator.drill,
    "short": simulator.short,
    "whole": simulator.whole,
    "forced": simulator.forced,
    "analysis": simulator.analysis,
}


Example = tuple[list[int], list[bool]]


@dataclass(frozen=True)
class Batch:
    """ids: rows of equal length, padded with 0 at the end. marks: which ids the assistant must produce."""

    ids: list[list[int]]
    marks: list[list[bool]]

    @property
    def tokens(self) -> int:
        return sum(len(row) for row in self.ids)


class Corpus:
    """warm_up: the share of the training in which short drills prevail. progress, 0 to 1, is set by the trainer."""

    def __init__(self, renderer: Renderer, rng: random.Random, *, batch_tokens: int, warm_up: float) -> None:
        self.progress = 0.0
        self._renderer = renderer
        self._rng = rng
        self._batch_tokens = batch_tokens
        self._warm_up = warm_up

    def draw(self) -> Dialogue:
        """One dialogue of the mix that is due."""
        late = 1.0 if not self._warm_up else min(1.0, self.progress / self._warm_up)
        weights = [_EARLY[kind] * (1 - late) + _LATE[kind] * late for kind in _KINDS]
        kind = self._rng.choices(list(_KINDS), weights)[0]
        return _KINDS[kind](self._rng)

    def batches(self) -> Iterator[Batch]:
        """Rows of similar length share a batch; the order of the batches is random. Lengths are multiples of 16 and the
        number of rows follows from the length: every new shape costs the mathematics library a compilation."""
        waiting: dict[int, list[Example]] = {}
        while True:
            ready: list[Batch] = []
            for _ in range(_POOL):
                ids, marks = self._renderer.example(self.draw())
                length = -(-len(ids) // 16) * 16
                if length > LONGEST or not any(marks):
                    continue
                # Neighbouring lengths wait together where there are few of them.
                length = length if length <= 256 else -(-length // 64) * 64
                rows = waiting.setdefault(length, [])
                rows.append((ids, marks))
                if len(rows) == max(1, self._batch_tokens // length):
                    ready.append(_pad(waiting.pop(length), length))
            self._rng.shuffle(ready)
            yield from ready


def _pad(rows: list[Example], length: int) -> Batch:
    ids = [ids + [0] * (length - len(ids)) for ids, _ in rows]
    return Batch(ids, [marks + [False] * (length - len(marks)) for _, marks in rows])
