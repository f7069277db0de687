"""The baseline's tree, and a Python that it runs with."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

_GIT_S = 60


class NoBaselineError(Exception):
    """There is nothing to compare with, and this says why."""


@contextmanager
def baseline_tree(root: Path, commit: str) -> Iterator[Path]:
    """The tree of ``commit``, in a folder for as long as the context lasts. Raises NoBaselineError."""
    if _git(root, "rev-parse", "--git-dir") is None:
        raise NoBaselineError("this is no git checkout")
    if not _has(root, commit) and _git(root, "rev-parse", "--is-shallow-repository") == "true":
        _git(root, "fetch", "--quiet", "--depth=1", "origin", commit)
    if not _has(root, commit):
        raise NoBaselineError(f"commit {commit} is not in this clone")
    with tempfile.TemporaryDirectory(prefix="baseline-") as folder:
        tree = Path(folder) / "tree"
        if _git(root, "worktree", "add", "--quiet", "--detach", str(tree), commit) is None:
            raise NoBaselineError(f"git cannot check {commit} out")
        try:
            yield tree
        finally:
            _git(root, "worktree", "remove", "--force", str(tree))


@contextmanager
def python_for(tree: Path) -> Iterator[str]:
    """This Python, if what is installed for it is what ``tree`` asks for; else one with an environment of its own,
    which takes a minute and a package index. Raises NoBaselineError."""
    missing = [one for one in _requirements(tree) if not _satisfied(one)]
    if not missing:
        yield sys.executable
        return
    with tempfile.TemporaryDirectory(prefix="baseline-") as folder:
        python = Path(folder) / "bin" / "python"
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        for command in ([sys.executable, "-m", "venv", folder], [*install, *map(str, _requirements(tree))]):
            made = subprocess.run(command, capture_output=True, text=True)
            if made.returncode != 0:
                names = ", ".join(map(str, missing))
                raise NoBaselineError(
                    f"the baseline asks for {names}, which cannot be installed: {made.stderr[-300:].strip()}"
                )
        yield str(python)


def _requirements(tree: Path) -> list[Requirement]:
    """What the server needs, without extras, on this machine."""
    named = tomllib.loads((tree / "pyproject.toml").read_text())["project"]["dependencies"]
    wanted = [Requirement(name) for name in named]
    return [one for one in wanted if one.marker is None or one.marker.evaluate()]


def _satisfied(wanted: Requirement) -> bool:
    try:
        return wanted.specifier.contains(metadata.version(wanted.name), prereleases=True)
    except metadata.PackageNotFoundError:
        return False


def _has(root: Path, commit: str) -> bool:
    return _git(root, "cat-file", "-e", f"{commit}^{{commit}}") is not None


def _git(root: Path, *arguments: str) -> str | None:
    """What git answers; None when it fails."""
    try:
        done = subprocess.run(
            ["git", "-c", "safe.directory=*", *arguments], cwd=root, capture_output=True, text=True, timeout=_GIT_S
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
