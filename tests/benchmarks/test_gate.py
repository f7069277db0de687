"""The gate lets the true build through, stops a slowed one, and says when there is nothing to compare with."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.gate.__main__ import ROOT, main, run, table
from benchmarks.gate.builds import NoBaselineError, baseline_tree, python_for
from benchmarks.gate.margins import LOST_MS, Call, Margin, Margins, Measured, judge, measured, read

_PLAN = read(ROOT / "benchmarks" / "baseline.json")
_BASE = Measured(beyond_hold_p95_ms=30, tokens_a_call=240, cpu_s_a_call=0.1, tool_accuracy=0.9, word_error_rate=0.07)
_MARGINS = Margins(Margin(1.5, 50), Margin(1.1), Margin(1.25), Margin(1.1), Margin(1.2, 0.02))


def worse(here: Measured, base: Measured = _BASE) -> list[str]:
    return [verdict.measure for verdict in judge(base, here, _MARGINS) if not verdict.passed]


def test_the_same_numbers_pass() -> None:
    assert worse(_BASE) == []


@pytest.mark.parametrize(
    ("measure", "just_within", "just_over"),
    [
        ("beyond_hold_p95_ms", 69.9, 70.1),
        ("tokens_a_call", 263.9, 264.1),
        ("cpu_s_a_call", 0.1249, 0.1251),
        ("tool_accuracy", 0.819, 0.817),
        ("word_error_rate", 0.0879, 0.0881),
    ],
)
def test_each_measure_has_its_margin(measure: str, just_within: float, just_over: float) -> None:
    assert worse(replace(_BASE, **{measure: just_within})) == []
    assert worse(replace(_BASE, **{measure: just_over})) == [measure]


def test_what_is_better_passes() -> None:
    assert worse(Measured(1, 10, 0.01, 1.0, 0.0)) == []


def test_tools_that_are_never_right_fail_and_a_baseline_of_none_passes() -> None:
    assert worse(replace(_BASE, tool_accuracy=0.0)) == ["tool_accuracy"]
    never = replace(_BASE, tool_accuracy=0.0)
    assert worse(never, never) == []


def test_answers_that_never_come_are_late_ones() -> None:
    heard = Call(beyond_hold_ms=20, tokens=100, tools_right=None, word_errors=1, words=10)
    lost = replace(heard, beyond_hold_ms=None, tokens=0, tools_right=False)
    whole = measured([replace(heard, tools_right=True), *[heard] * 8, lost], cpu_s=2.0)
    assert whole == Measured(pytest.approx(20 + 0.55 * (LOST_MS - 20)), 90, 0.2, 0.5, 0.1)


def test_a_baseline_file_that_is_wrong_is_named(tmp_path: Path) -> None:
    content = json.loads((ROOT / "benchmarks" / "baseline.json").read_text())
    content["margins"]["tokens_a_call"]["ratio"] = "much"
    (tmp_path / "odd.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"odd\.json: margins\.tokens_a_call\.ratio"):
        read(tmp_path / "odd.json")


def test_the_baseline_is_checked_out_beside_the_tree_and_leaves_nothing(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        command = ["git", "-c", "user.name=n", "-c", "user.email=e", *arguments]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["numpy>=2"]')
    git("add", ".")
    git("commit", "-qm", "one")
    commit = git("rev-parse", "HEAD")
    (tmp_path / "pyproject.toml").write_text("changed since")
    with baseline_tree(tmp_path, commit) as tree, python_for(tree) as python:
        assert (tree / "pyproject.toml").read_text().startswith("[project]")
        assert python == sys.executable
    assert not tree.exists()
    assert len(git("worktree", "list").splitlines()) == 1
    with pytest.raises(NoBaselineError, match="not in this clone"), baseline_tree(tmp_path, "0" * 40):
        pass


def test_without_the_baselines_commit_the_gate_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = json.loads((ROOT / "benchmarks" / "baseline.json").read_text()) | {"commit": "0" * 40}
    (tmp_path / "baseline.json").write_text(json.dumps(content))
    monkeypatch.setattr(sys, "argv", ["bench-gate", "--baseline", str(tmp_path / "baseline.json")])
    assert main() == 0
    assert "not compared: " in capsys.readouterr().out


def test_a_slowed_build_is_stopped(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "server", tmp_path / "server", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "models").symlink_to(ROOT / "models")
    with (tmp_path / "server" / "runtime" / "cascade.py").open("a") as cascade:
        cascade.write(
            "\n_at_once = Cascade._think\n"
            "async def _slowly(self, work):\n    await asyncio.sleep(2.0)\n    await _at_once(self, work)\n"
            "Cascade._think = _slowly\n"
        )
    verdicts, rounds = run(ROOT, sys.executable, tmp_path, replace(_PLAN, rounds=1, most_rounds=1))
    assert rounds == 1
    by_measure = {verdict.measure: verdict for verdict in verdicts}
    assert not by_measure["beyond_hold_p95_ms"].passed
    assert by_measure["beyond_hold_p95_ms"].here > by_measure["beyond_hold_p95_ms"].baseline + 1000
    assert by_measure["tool_accuracy"].passed
    assert by_measure["word_error_rate"].passed
    assert "| worse |" in table(verdicts, "true")
