"""What a call and a minute of conversation cost, beside how much of it was right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.report.columns import Column, total
from benchmarks.report.document import clean, number, share
from benchmarks.results import Call


@dataclass(frozen=True, slots=True)
class Quality:
    """good: share, 0 to 1. price: of a minute, the provider's and the own GPU's together; None where it is unknown."""

    good: float
    price: float | None
    currency: str


def _a_minute(calls: Sequence[Call], price: str) -> float | None:
    """Mean over the calls whose price is known, weighted by their length."""
    known = [(cost, call.duration_s) for call in calls if (cost := getattr(call, price)) is not None]
    seconds = sum(duration for _, duration in known)
    return 60 * sum(cost for cost, _ in known) / seconds if seconds > 0 else None


def _currency(column: Column) -> str:
    return next((clean(call.currency, 10) for call in column.calls if call.currency), "")


def _priced(column: Column, price: str) -> str:
    value = _a_minute(column.calls, price)
    return "–" if value is None else f"{value:.4f} {_currency(column)}".strip()


def _a_call(column: Column) -> str:
    """By the price table; a dash where that does not know it."""
    known = [call.cost for call in column.calls if call.cost is not None]
    return f"{sum(known) / len(known):.4f} {_currency(column)}".strip() if known else "–"


def cost_a_minute(column: Column) -> str:
    """By the price table, or of the own GPU; a dash where neither is known."""
    provider, own = _priced(column, "cost"), _priced(column, "gpu_cost")
    return provider if provider != "–" else "–" if own == "–" else f"{own} (own GPU)"


def quality(column: Column) -> Quality | None:
    """None where nothing could be right or wrong."""
    counted = total(column, lambda one: one.tools)
    tasks = [bool(call.completed) for call in column.calls if call.completed is not None]
    if not counted.of and not tasks:
        return None
    good = counted.part / counted.of if counted.of else sum(tasks) / len(tasks)
    known = [price for name in ("cost", "gpu_cost") if (price := _a_minute(column.calls, name)) is not None]
    return Quality(good, sum(known) if known else None, _currency(column))


def cost_rows(columns: Sequence[Column]) -> list[list[str]]:
    """Server, quality, price of a call and of a minute, own GPU, date of the prices, tokens in and out; without servers
    that tell none of it."""
    rows = []
    for column in columns:
        counted = [call.tokens for call in column.calls if call.tokens is not None]
        prices = next((run.prices_of for run in column.runs if run.prices_of), "")
        paid = [_priced(column, name) for name in ("cost", "gpu_cost")]
        if not counted and paid == ["–", "–"]:
            continue
        taken = sum(one.input_text + one.input_audio for one in counted)
        cached = sum(one.cached_text + one.cached_audio for one in counted)
        given = sum(one.output_text + one.output_audio for one in counted)
        calls = max(len(counted), 1)
        tokens = [f"{taken / calls:.0f} ({cached / calls:.0f})", number(given / calls, 0)] if counted else ["–", "–"]
        right = total(column, lambda one: one.tools)
        tasks = [bool(call.completed) for call in column.calls if call.completed is not None]
        good = share(right.part, right.of) if right.of else share(sum(tasks), len(tasks))
        rows.append([column.name, good, _a_call(column), *paid, clean(prices, 40) or "–", *tokens])
    return rows
