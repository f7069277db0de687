"""Who may import what, beyond the layers that import-linter checks."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted([*ROOT.glob("server/**/*.py"), *ROOT.glob("models/**/*.py")])

IMPURE = {
    *("asyncio", "concurrent", "datetime", "io", "logging", "multiprocessing", "os", "pathlib", "queue", "random"),
    *("secrets", "socket", "ssl", "subprocess", "sys", "threading", "time", "uuid"),
}
"""Parts of the standard library that a pure core does without: I/O, clocks, tasks, chance."""

HEAVY = {
    "av": {"server/transports/media.py"},
    "ctranslate2": {"models/llm/ctranslate2.py", "models/stt/faster_whisper.py"},
    "faster_whisper": {f"models/stt/{part}.py" for part in ("decoding", "faster_whisper", "features", "text")},
    "huggingface_hub": {"models/fetch.py"},
    "onnx": {"models/tts/voice_graph.py"},
    "onnxruntime": {"models/tts/voice_graph.py", "models/vad/silero.py"},
    "piper": {"models/tts/piper_worker.py"},
    "torch": set[str](),
    "transformers": set[str](),
    "vllm": set[str](),
}
"""Each heavy library and the only files that may import it."""

ENVIRONMENT = {"server/settings.py", "models/llm/vllm_environment.py", "models/tts/worker_process.py"}
ENVIRONMENT |= {"server/__main__.py", "models/offline.py"}
"""Files that may touch the environment: the settings, those that hand it on to a child process, and those that set in
it what libraries read as they are imported."""


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(path)}: imports are absolute"
            yield node.module or ""


def test_there_is_something_to_check() -> None:
    names = {name(path) for path in SOURCES}
    assert {"server/app.py", "server/core/session.py", "models/base.py", *ENVIRONMENT} <= names
    assert set().union(*HEAVY.values()) <= names


@pytest.mark.parametrize("path", [path for path in SOURCES if name(path).startswith("server/core/")], ids=name)
def test_the_core_imports_only_what_is_pure(path: Path) -> None:
    outside = {module for module in imported(path) if not module.startswith("server.core")}
    tops = {module.partition(".")[0] for module in outside}
    assert tops <= sys.stdlib_module_names
    assert not tops & IMPURE


@pytest.mark.parametrize("library", HEAVY)
def test_a_heavy_library_is_imported_by_its_engine_only(library: str) -> None:
    users = {name(path) for path in SOURCES if library in {module.partition(".")[0] for module in imported(path)}}
    assert users <= HEAVY[library]


def test_the_environment_is_read_by_the_settings_alone() -> None:
    readers = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            named = node.attr if isinstance(node, ast.Attribute) else node.name if isinstance(node, ast.alias) else ""
            if named in ("environ", "environb", "getenv", "getenvb", "putenv"):
                readers.add(name(path))
    assert readers <= ENVIRONMENT


def test_files_stay_readable() -> None:
    """events.py and base.py are lists of facts; every other file has one subject."""
    lists = {"server/core/events.py"}
    long = {name(path): len(path.read_text().splitlines()) for path in SOURCES if name(path) not in lists}
    assert {path: lines for path, lines in long.items() if lines > 400} == {}


@pytest.mark.parametrize("module", ["server", "server.cli", "server.app", "server.talk.console", "models.catalog"])
def test_importing_loads_no_heavy_library(module: str) -> None:
    """A process of its own, as this one may have loaded anything."""
    unwanted = ("torch", "vllm", "piper", "transformers", "onnx")
    script = f"import sys, {module}; print(*[name for name in {unwanted} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
