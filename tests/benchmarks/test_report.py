"""The page and the Markdown made of result files: complete, equal, and deaf to what servers would have them do."""

from __future__ import annotations

import re
from argparse import Namespace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from benchmarks.report import html, markdown
from benchmarks.report.command import main, report
from benchmarks.report.document import Table
from benchmarks.results import (
    Call,
    Density,
    Interruption,
    Level,
    Machine,
    Percentiles,
    ResultError,
    Results,
    Server,
    Tokens,
    ToolCall,
    ToolScore,
    Turn,
    write,
)
from tests.e2e.browser import chromium

_HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=document.title='taken'>"
_MARKUP = "| a | [b](javascript:c) `d` *e*\n# f \u202e g \x1b[31m https://example.org & ünïcode"


def turn(number: int, wait: float | None, **more: object) -> Turn:
    made = Turn("hours", 0, number, "clean", "en", "what time do you open", voice_to_voice_ms=wait, hold_ms=500)
    for name, value in more.items():
        setattr(made, name, value)
    return made


def results(name: str = "ours", text: str = "plain") -> Results:
    """A run with something in every field; ``text`` stands wherever a server's words go."""
    machine = Machine(f"EPYC {text}", 2, 23.5, "Linux", "3.11", 0.5, True)
    server = Server(name, "openai", f"ws://127.0.0.1/{text}", text, 500, text, {"voice": text}, {"server": text})
    turns = [
        turn(0, 510.0, stages={"stt_final": 100.0, "tts_first_audio": 140.0, text: 502.0}, transcript=text, words=5),
        turn(1, 530.0, condition="phone", word_errors=2, words=5, answer=text, errors=[text]),
        turn(2, 590.0, expected=[ToolCall(text)], tools=ToolScore(True, 1, 1, True), answer_ms=900.0),
        turn(3, None, condition=text, tools=ToolScore(False, 0, 1, False)),
        turn(4, 610.0, interruption=Interruption("speech", True, True, 210.0, heard_words=4, history_words=5)),
        turn(5, None, wants_answer=False, interruption=Interruption("cough", False, True)),
    ]
    level = Level(1, 6, 0, 0, True, Percentiles(6, 510, 600, 610), Percentiles(6, 10, 100, 110), {}, 0.25, bound=text)
    calls = [Call(text, 0, "clean", 30.0, True, 2, Tokens(700, 0, 500, 0, 80), 0.02, None, text, [text])]
    return Results(
        *(name, "2026-11-21T09:10:00+00:00", f"python -m benchmarks run --name '{name}'", machine, server, "abc1234"),
        *(turns, calls, Density(800, 1, text, None, [level]), {"hours": text}, text, [text]),
    )


class Page(HTMLParser):
    """What a browser would see: tags, attributes, text, and the cells of the tables."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[tuple[str, str | None]] = set()
        self.cells: list[str] = []
        self.text = ""
        self._open = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= set(attrs)
        self._open = tag
        if tag in ("th", "td"):
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._open in ("th", "td"):
            self.cells[-1] += data


def markdown_cells(text: str) -> list[str]:
    """The cells of all tables, as a reader sees them."""
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| ---")]
    cells = [cell.strip() for row in rows for cell in re.split(r"(?<!\\)\|", row.strip("|"))]
    plain = [re.sub(r"\\([\\`*_\[\]|#~!])", r"\1", cell.replace("&#8203;", "")) for cell in cells]
    return [cell.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") for cell in plain]


@pytest.mark.parametrize("text", ["plain", _HOSTILE, _MARKUP])
def test_page_and_markdown_hold_the_same_cells(text: str) -> None:
    made = report([results("ours", text), results("theirs")])
    cells = Page(html.render(made)).cells
    assert cells == markdown_cells(markdown.render(made))
    assert cells == [
        cell
        for section in made.sections
        for block in section.blocks
        if isinstance(block, Table)
        for row in (block.head, *block.rows)
        for cell in row
    ]


def test_the_hold_stands_beside_every_latency() -> None:
    page = Page(html.render(report([results("ours"), results("theirs")])))
    for number in (
        *("560, 607, 609 (of 4)", "60, 107, 109 (of 4)", "900, 900, 900 (of 1)", "210, 210, 210 (of 1)"),
        *("20.0 % (2 of 10)", "50.0 % (1 of 2)", "80.0 % (4 of 5)", "100.0 % (1 of 1)", "500 ms"),
    ):
        assert page.cells.count(number) >= 2, number
    assert "ours, hold 500 ms: 1 callers at once within 800 ms" in page.text
    assert "ours: hold 500 ms; voice to voice p50 560 ms, p95 607 ms; beyond the hold p50 60 ms" in page.text


@pytest.mark.parametrize("text", [_HOSTILE, _MARKUP])
def test_a_servers_words_are_shown_and_do_nothing(text: str) -> None:
    page = Page(html.render(report([results(text, text)])))
    assert not page.tags & {"script", "img", "iframe", "object", "base", "form", "link"}
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in ("src", "xlink:href")]
    assert all(value and value.startswith("#") for name, value in page.attributes if name == "href")
    assert text.split("\n")[0][:40] in page.text
    assert not re.search("[\u202e\x1b]", page.text)
    shown = markdown.render(report([results("ours", text)]))
    assert "<" not in re.sub("```.*?```", "", shown, flags=re.DOTALL)
    assert "](" not in shown.replace("\\](", "").replace("\\[", "")


async def test_a_browser_opens_the_page_from_a_file(tmp_path: Path) -> None:
    write(results("ours", _HOSTILE), tmp_path / "ours.json")
    write(results("theirs"), tmp_path / "theirs.json")
    files = [tmp_path / "ours.json", tmp_path / "theirs.json"]
    assert main(Namespace(results=files, out=tmp_path / "report.html")) == 0
    async with chromium(tmp_path) as page:
        for width in (1280, 400):
            await page.look(width=width, dark=width == 400)
            await page.open((tmp_path / "report.html").as_uri())
            assert await page.evaluate("document.title") == "Voice servers measured, 2026-11-21"
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
            assert await page.evaluate("document.querySelectorAll('svg').length") >= 5
        assert not page.errors
        assert {url.partition(":")[0] for url in page.requests} == {"file"}


def test_a_run_and_a_ramp_of_one_server_are_one_column() -> None:
    run, ramp, again, same = results(), results(), results(), results()
    run.density, ramp.turns, ramp.calls = None, [], []
    run.name, again.name, same.name = "before", "after", "after"
    assert "|  | ours |" in markdown.render(report([run, ramp]))
    made = markdown.render(report([run, ramp, again, same]))
    assert "|  | ours (before) | ours (after) | ours (after) (2) |" in made


def test_calls_that_broke_off_are_told_and_are_no_part_of_a_better_run() -> None:
    good, crashed = results(), results()
    good.calls = [Call("hours", number, "clean", 30.0) for number in range(2)]
    crashed.turns, crashed.density, crashed.name = [], None, "crashed"
    crashed.calls = [Call("hours", number, "clean", 0.0, errors=["no connection: refused"]) for number in range(3)]
    page = Page(html.render(report([good, crashed])))
    assert {"ours (ours)", "ours (crashed)", "0.0 % (0 of 2)", "100.0 % (3 of 3)"} <= set(page.cells)
    at = page.cells.index("no connection: refused")
    assert page.cells[at - 1 : at + 2] == ["ours (crashed)", "no connection: refused", "3"]


def test_an_error_that_ended_a_turn_and_its_call_is_counted_once() -> None:
    run = results()
    run.turns = [turn(0, None, errors=["it hung up"]), turn(1, 500.0, errors=["odd"])]
    run.calls = [Call("hours", 0, "clean", 1.0, errors=["it hung up"])]
    cells = Page(html.render(report([run]))).cells
    assert [cells[cells.index(error) + 1] for error in ("it hung up", "odd")] == ["1", "1"]


@pytest.mark.parametrize(("load", "told"), [(0.6, False), (3.0, True)])
def test_columns_that_cannot_be_compared_say_so(load: float, told: bool) -> None:
    other = results("theirs")
    other.machine.load = load
    assert ("cannot be compared" in Page(html.render(report([results(), other]))).text) == told


def test_a_cough_is_no_turn_whose_stages_are_told() -> None:
    run = results()
    run.turns = [turn(0, 510.0, stages={"stt_final": 100.0}), turn(1, None, wants_answer=False, stages={"llm": 900.0})]
    run.density = None
    cells = Page(html.render(report([run]))).cells
    assert "transcript" in cells
    assert "llm" not in cells
    run.turns = [turn(0, None, wants_answer=False, stages={"llm": float("nan")})]
    assert "Stages of a turn" not in Page(html.render(report([run]))).text


def test_the_page_does_not_write_over_its_markdown(tmp_path: Path) -> None:
    write(results(), tmp_path / "ours.json")
    main(Namespace(results=[tmp_path / "ours.json"], out=tmp_path / "report.md"))
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
    assert (tmp_path / "report.md").read_text().startswith("# Voice servers measured")


def test_a_server_that_answered_nothing_has_a_page() -> None:
    silent = results()
    silent.turns, silent.calls, silent.density = [turn(0, None)], [], None
    page = Page(html.render(report([silent])))
    assert "0.0 % (0 of 1)" in page.cells
    assert "Callers at once" not in page.text


def test_numbers_that_are_none_leave_no_trace() -> None:
    broken = results()
    broken.turns = [turn(0, float("nan")), turn(1, float("inf")), turn(2, 520.0, stages={"stt_final": float("nan")})]
    page = Page(html.render(report([broken])))
    assert "nan" not in page.text
    assert "520, 520, 520 (of 1)" in page.cells


def test_a_file_that_is_no_result_is_named(tmp_path: Path) -> None:
    (tmp_path / "odd.json").write_text('{"version": 1, "name": 3}')
    for name, complaint in (("odd", r"odd\.json: \w+"), ("none", r"none\.json: No such file")):
        with pytest.raises(ResultError, match=complaint):
            main(Namespace(results=[tmp_path / f"{name}.json"], out=tmp_path / "report.html"))
    assert not (tmp_path / "report.html").exists()
