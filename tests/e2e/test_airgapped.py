"""A machine without a network: weights come in one file, and a call is answered with the network cut off."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from models.audio import write_wav
from models.catalog import BUNDLED
from models.offline import SWITCHES
from tests.models.speech import speak
from tests.server_process import ROOT

CUT_OFF = ["unshare", "-n", "-m"] if os.geteuid() == 0 else ["unshare", "-r", "-n", "-m"]


def command(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "server", *map(str, arguments)], cwd=ROOT, check=True, capture_output=True)


@pytest.fixture(scope="module")
def cut_off() -> list[str]:
    """What runs a command with no network and mounts of its own."""
    tried = subprocess.run([*CUT_OFF, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, text=True)
    if tried.returncode != 0:
        pytest.skip(f"this machine lets nobody have a network of their own: {tried.stderr.strip()}")
    return CUT_OFF


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, cut_off: list[str]) -> dict[str, Any]:
    """What airgapped.py saw."""
    folder = tmp_path_factory.mktemp("airgapped")
    bundle, weights, question = folder / "tiny.tar", folder / "weights", folder / "question.wav"
    command("models", "export", bundle, "--profile", "tiny")
    command("models", "import", bundle, "--weights-dir", weights)
    write_wav(question, speak("Are you a real person?"), 16_000)
    done = subprocess.run(
        [*cut_off, sys.executable, "-m", "tests.e2e.airgapped", weights, question],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def test_a_spoken_question_is_answered_from_imported_weights_without_a_network(told: dict[str, Any]):
    [turn] = told["heard"]
    assert turn["user"].lower().startswith("are you a real person")
    assert "AI" in turn["assistant"]
    assert told["exit_code"] == 0


def test_the_server_opened_no_connection_and_asked_no_name_server(told: dict[str, Any]):
    # One connection was opened: the caller's, to the server.
    none = dict.fromkeys(told["counted"], 0)
    assert told["counted"] == none | {"Tcp.ActiveOpens": 1}


def test_an_attempt_would_have_been_seen(told: dict[str, Any]):
    assert not told["reached"]
    assert told["counted_then"]["Ip.OutNoRoutes"] == 1


def test_the_hubs_are_switched_off_whatever_the_environment_says(told: dict[str, Any]):
    assert told["environments"]
    for environment in told["environments"]:
        assert SWITCHES.items() <= environment.items()


@pytest.mark.parametrize(("first", "leaves"), [("", True), ("import models", False)])
def test_no_identifier_of_the_machine_is_made_for_reports(tmp_path: Path, cut_off: list[str], first: str, leaves: bool):
    if leaves and Version(version("onnxruntime")) < Version("1.29"):
        pytest.skip("this version makes no reports")
    script = f"{first}\nimport sys, onnxruntime\nonnxruntime.InferenceSession(sys.argv[1])"
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", *SWITCHES)}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    run = [sys.executable, "-c", script, str(BUNDLED / "vad/silero_vad.onnx")]
    subprocess.run([*cut_off, *run], cwd=ROOT, env=environment, check=True, capture_output=True)
    assert any(path.is_file() for path in tmp_path.rglob("*")) == leaves
