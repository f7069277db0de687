"""What a call costs, by a dated table of public prices (``prices.toml``), or by the hour of an own machine."""

from __future__ import annotations

import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmarks.results import Results, Tokens

FILE = Path(__file__).parent / "prices.toml"
_Price = Annotated[float, Field(ge=0)]


class PriceError(ValueError):
    """The price table is wrong."""


class _Prices(BaseModel):
    """Of one model, per million tokens, or per minute of a call. source: the page that says so, and its date."""

    model_config = ConfigDict(extra="forbid")

    source: str = ""
    input_text: _Price | None = None
    input_audio: _Price | None = None
    cached_text: _Price | None = None
    cached_audio: _Price | None = None
    output_text: _Price | None = None
    output_audio: _Price | None = None
    minute: _Price | None = None


class PriceTable(BaseModel):
    """date: when the prices were looked up, empty for a table without prices."""

    model_config = ConfigDict(extra="forbid")

    date: str
    currency: str
    models: dict[str, _Prices]

    def cost(self, model: str, tokens: Tokens | None, minutes: float) -> float | None:
        """Of one call. None when a price that it needs is not in the table: nothing is guessed."""
        prices = self.models.get(model)
        if prices is None:
            return None
        by_time = None if prices.minute is None else prices.minute * minutes
        if tokens is None:
            return by_time
        counts = asdict(tokens)
        for kind in ("text", "audio"):
            counts[f"input_{kind}"] -= counts[f"cached_{kind}"]
        known = prices.model_dump(exclude={"source"})
        used = {name: count for name, count in counts.items() if count}
        if any(known[name] is None for name in used):
            return by_time
        return float(sum(count * known[name] for name, count in used.items()) / 1e6 + (by_time or 0.0))

    def price(self, found: Results, gpu_an_hour: float | None = None) -> None:
        """Write into the results what each call has cost. gpu_an_hour: what an hour of the own machine costs."""
        for call in found.calls:
            call.currency = self.currency
            call.cost = self.cost(found.server.model, call.tokens, call.duration_s / 60)
            if gpu_an_hour is not None:
                call.gpu_cost = call.duration_s / 3600 * gpu_an_hour
        found.prices_of = self.date


def read(path: Path = FILE) -> PriceTable:
    """Raises PriceError."""
    try:
        return PriceTable.model_validate(tomllib.loads(path.read_text()))
    except OSError as error:
        raise PriceError(f"{path}: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise PriceError(f"{path}: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise PriceError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
