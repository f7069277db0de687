"""What a call costs is said where it is known, and left out where it is not."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from benchmarks import summary
from benchmarks.prices import FILE, PriceError, read
from benchmarks.report.command import report
from benchmarks.report.document import Table
from benchmarks.results import Call, Machine, Results, Server, Tokens, Turn

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


def test_each_price_that_comes_with_the_benchmark_says_which_page_it_is_of() -> None:
    table = read(FILE)
    assert date.fromisoformat(table.date)
    priced = [model for model in table.models.values() if model.model_dump(exclude={"source"}, exclude_none=True)]
    assert priced
    assert all(model.source for model in priced)


def test_what_a_call_has_cost_is_reported_with_the_date_of_the_prices() -> None:
    machine = Machine("EPYC", 2, 8.0, "Linux", "3.11", 0.5, True)
    server = Server("hosted", "openai", "wss://api.openai.com/v1", "gpt-realtime-1.5", 500, "", {}, {})
    call = Call("question", 0, "clean", 30.0, True, 1, Tokens(input_text=1000, cached_text=500, output_audio=1000))
    turn = Turn("question", 0, 0, "clean", "en", "are you open", voice_to_voice_ms=700.0, hold_ms=500)
    found = Results("hosted", "2026-11-21T09:10:00+00:00", "", machine, server, "abc1234", [turn], [call])
    table = read(FILE)
    table.price(found)
    assert call.cost == pytest.approx((500 * 4.0 + 500 * 0.4 + 1000 * 64.0) / 1e6)
    told = f"Cost of a call: {call.cost:.4f} USD ({table.date})."
    assert told in summary.markdown(found)
    made = report([found])
    [costs] = [
        block
        for section in made.sections
        for block in section.blocks
        if isinstance(block, Table) and "price a call" in block.head
    ]
    cells = dict(zip(costs.head, costs.rows[0], strict=True))
    assert cells["price a call"] == f"{call.cost:.4f} USD"
    assert cells["prices of"] == table.date


def test_the_table_that_comes_with_the_benchmark_can_be_read_and_a_wrong_one_is_named(table: Path) -> None:
    assert read(FILE).models
    table.write_text(TABLE.replace("input_text = 4.0", 'input_text = "four"'))
    with pytest.raises(PriceError, match=r"prices\.toml: models\.m\.input_text: "):
        read(table)
