"""What is compared, and how much worse than the baseline it may be. Nothing here measures anything."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

LOST_MS = 10_000.0
"""An answer that never came counts as one that came so late."""


@dataclass(frozen=True, slots=True)
class Margin:
    """The worse of two values by the better one may be up to ``ratio``. slack: is added to both before, in the
    measure's unit, so that a ratio of two tiny numbers means nothing."""

    ratio: float
    slack: float = 0.0


@dataclass(frozen=True, slots=True)
class Margins:
    """By measure; see ``Measured``."""

    beyond_hold_p95_ms: Margin
    tokens_a_call: Margin
    cpu_s_a_call: Margin
    tool_accuracy: Margin
    word_error_rate: Margin


@dataclass(frozen=True, slots=True)
class Baseline:
    """commit: that this tree is compared with. hold_ms: of every call; short, so that what is slow is not hidden by
    the silence that the server waits for. rounds: of five calls to each server, before there is a verdict;
    most_rounds: while the verdict is a failure."""

    commit: str
    hold_ms: int
    rounds: int
    most_rounds: int
    margins: Margins


@dataclass(frozen=True, slots=True)
class Call:
    """One question. beyond_hold_ms: None when no answer was heard. tools_right: None where no tool is expected."""

    beyond_hold_ms: float | None
    tokens: int
    tools_right: bool | None
    word_errors: int
    words: int


@dataclass(frozen=True, slots=True)
class Measured:
    """One server. tool_accuracy, word_error_rate: 0 to 1."""

    beyond_hold_p95_ms: float
    tokens_a_call: float
    cpu_s_a_call: float
    tool_accuracy: float
    word_error_rate: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """One measure. ratio: above 1 where this tree is worse than the baseline."""

    measure: str
    baseline: float
    here: float
    ratio: float
    allowed: float

    @property
    def passed(self) -> bool:
        return self.ratio <= self.allowed


def read(path: Path) -> Baseline:
    """Raises ValueError, naming the file and the first field that is wrong."""
    try:
        return TypeAdapter(Baseline).validate_python(json.loads(path.read_text()))
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def measured(calls: Sequence[Call], cpu_s: float) -> Measured:
    """cpu_s: that the server spent on all of them."""
    waits = [LOST_MS if call.beyond_hold_ms is None else max(call.beyond_hold_ms, 0.0) for call in calls]
    asked = [call.tools_right for call in calls if call.tools_right is not None]
    return Measured(
        float(np.percentile(waits, 95)),
        sum(call.tokens for call in calls) / len(calls),
        cpu_s / len(calls),
        sum(asked) / len(asked),
        sum(call.word_errors for call in calls) / sum(call.words for call in calls),
    )


def judge(baseline: Measured, here: Measured, margins: Margins) -> list[Verdict]:
    """Measure by measure."""
    verdicts = []
    for measure, before in asdict(baseline).items():
        margin: Margin = getattr(margins, measure)
        now: float = getattr(here, measure)
        better, worse = (now, before) if measure == "tool_accuracy" else (before, now)
        ratio = _ratio(worse + margin.slack, better + margin.slack)
        verdicts.append(Verdict(measure, before, now, ratio, margin.ratio))
    return verdicts


def _ratio(worse: float, better: float) -> float:
    if better == worse:
        return 1.0
    return worse / better if better else float("inf")
