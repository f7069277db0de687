"""Pages that are made from code say what the code says, and what the others name is there."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from server.cli import app
from server.settings import field_names

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
TABLES = {name.split(".")[0] for name in field_names() if "." in name}

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def test_the_turn_diagram_is_the_table():
    subprocess.run([sys.executable, ROOT / "scripts" / "docs.py", "--check"], check=True, timeout=240)


@pages
def test_links_between_pages_lead_somewhere(page: Path):
    links = re.findall(r"\]\((?!https?://|mailto:)([^)#]*)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if link and not (page.parent / link).exists()] == []


def test_every_page_can_be_found_from_the_readme():
    readme = (ROOT / "README.md").read_text()
    assert [page.name for page in PAGES[2:] if f"(docs/{page.name})" not in readme] == []


@pages
def test_scripts_and_modules_that_a_page_names_are_there(page: Path):
    text = page.read_text()
    scripts = [name.rstrip(".") for name in re.findall(r"(?<![\w./])scripts/[\w./-]+", text) if "*" not in name]
    modules = re.findall(r"python -m ((?:benchmarks|scripts)[\w.]*\w)", text)
    missing = [name for name in scripts if not (ROOT / name).exists()]
    assert missing + [name for name in modules if importlib.util.find_spec(name) is None] == []


def code(page: Path) -> list[str]:
    """The lines of a page's code blocks, and its spans of code."""
    outside: list[str] = []
    blocks: list[str] = []
    for index, part in enumerate(re.split(r"^ *```.*$", page.read_text(), flags=re.MULTILINE)):
        (blocks if index % 2 else outside).append(part)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [*lines, *re.findall(r"`([^`\n]+)`", "".join(outside))]


@pages
def test_settings_that_a_page_names_are_there(page: Path):
    known = {*field_names(), *(name.rpartition(".")[0] for name in field_names()), "config"}
    variables = [name.lower().replace("__", ".") for name in re.findall(r"KAMMERTON_([A-Z0-9_]+)", page.read_text())]
    dotted = [span for span in code(page) if re.fullmatch(r"[a-z]+(\.[a-z_]+)+", span) and span.split(".")[0] in TABLES]
    settings = [name for name in dotted if not (ROOT / name.replace(".", "/")).with_suffix(".py").exists()]
    assert [name for name in [*variables, *settings] if name not in known] == []


@pages
def test_commands_and_options_that_a_page_names_are_there(page: Path):
    root, wrong = get_command(app), []
    for line in code(page):
        called = re.match(r"\s*(?:[A-Z_]+=\S+ +)*(?:\.venv/bin/)?kammerton +([^#]+)", line)
        command, words = root, called[1].split() if called else []
        while words and (below := getattr(command, "commands", None)) is not None:
            word = words.pop(0)
            if word not in below:
                wrong.append(line)
                break
            command = below[word]
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        wrong += [line for word in words if word.startswith("--") and word not in known]
    assert wrong == []
