"""What a call costs is said where it is known, and left out where it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.prices import FILE, PriceError, read
from benchmarks.results import Tokens

TABLE = """
date = "2026-01-01"
currency = "USD"
[models.m]
input_text = 4.0
input_audio = 32.0
cached_audio = 0.4
output_text = 16.0
output_audio = 64.0
[models.timed]
minute = 0.06
[models.unknown]
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "prices.toml"
    path.write_text(TABLE)
    return path


def test_cached_tokens_are_charged_once_at_their_own_price(table: Path) -> None:
    tokens = Tokens(input_text=1000, input_audio=5000, cached_audio=2000, output_audio=1000)
    expected = (1000 * 4.0 + 3000 * 32.0 + 2000 * 0.4 + 1000 * 64.0) / 1e6
    assert read(table).cost("m", tokens, 1.0) == pytest.approx(expected)


def test_time_is_charged_by_the_minute(table: Path) -> None:
    assert read(table).cost("timed", None, 2.5) == pytest.approx(0.15)
    assert read(table).cost("timed", Tokens(input_text=10), 1.0) == pytest.approx(0.06)


def test_a_price_that_is_not_known_makes_no_cost(table: Path) -> None:
    prices = read(table)
    assert prices.cost("m", Tokens(cached_text=5, input_text=5), 1.0) is None
    assert prices.cost("unknown", Tokens(input_text=5), 1.0) is None
    assert prices.cost("nobody", Tokens(), 1.0) is None


def test_the_table_that_comes_with_the_benchmark_can_be_read_and_a_wrong_one_is_named(table: Path) -> None:
    assert read(FILE).models
    table.write_text(TABLE.replace("input_text = 4.0", 'input_text = "four"'))
    with pytest.raises(PriceError, match=r"prices\.toml: models\.m\.input_text: "):
        read(table)
