"""What cannot be run is one line on standard error and exit code 2, and nothing is left running."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from models.catalog import BUNDLED
from models.lock import LockedEntry, measure, write_lock

ROOT = Path(__file__).resolve().parents[2]
START = """
import sys
from pathlib import Path
from models import entries
entries._CATALOG = Path(sys.argv.pop(1))
from server.__main__ import main
main()
"""
GIVEN = (ROOT / "models" / "catalog.toml").read_text()
PROFILE = """
[profiles.test]
about = "Models of a test."
vad = "silero-v6"
stt = "whisper-tiny"
llm = "chat"
tts = "voices"

[entries.chat]
kind = "llm"
engine = "ctranslate2.CTranslate2Chat"
hub = "acme/chat"
revision = "main"
files = ["*"]
licence = "Apache-2.0"
languages = ["en"]
size_mb = 1.3
about = "A chat model."

[entries.voices]
kind = "tts"
engine = "piper.Piper"
hub = "acme/voices"
revision = "0123456789012345678901234567890123456789"
files = ["*"]
licence = "MIT"
languages = ["en"]
size_mb = 1.3
about = "Voices."
"""


class Machine:
    """catalog: its text. weights: a folder with the models ``chat`` and ``voices``."""

    def __init__(self, folder: Path) -> None:
        self.catalog = GIVEN + PROFILE
        self.weights = folder / "weights"
        self.folder = folder
        shutil.copytree(BUNDLED / "llm/tiny/ctranslate2", self.weights / "chat")
        shutil.copytree(BUNDLED / "tts", self.weights / "voices")

    def refused(self, *hints: str, command: str = "serve") -> None:
        """Everything on disk is what the lock says; the command is refused all the same."""
        locked = {}
        for name in ("chat", "voices"):
            files = [path for path in (self.weights / name).rglob("*") if path.is_file()]
            locked[name] = LockedEntry(None, measure(self.weights, [str(f.relative_to(self.weights)) for f in files]))
        write_lock(self.weights, locked)
        (self.folder / "catalog.toml").write_text(self.catalog)
        port = ["--port", "0"] if command == "serve" else []
        done = subprocess.run(
            [sys.executable, "-c", START, self.folder / "catalog.toml", command, "--profile", "test", *port],
            cwd=ROOT,
            env={**os.environ, "KAMMERTON_WEIGHTS_DIR": str(self.weights), "PATH": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        [line] = [line for line in done.stderr.splitlines() if line.startswith("kammerton: ")]
        assert "Traceback" not in done.stderr
        assert all(hint in line for hint in hints), line


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize(
    ("good", "bad", "says"),
    [
        (
            'licence = "MIT"\nlanguages = ["en"]\nsize_mb = 1.3',
            "size_mb = 1.3",
            "licence is missing; languages is missing",
        ),
        ('licence = "MIT"\nlanguages', 'licence = ""\nlanguages', "licence: String should have at least 1 character"),
        ('revision = "0123456789012345678901234567890123456789"\n', "", "needs the hash of its revision"),
        ('"0123456789012345678901234567890123456789"', '"v1.0"', "revision: String should match pattern"),
        ('hub = "acme/voices"\n', "", "it is either bundled or on a hub"),
        ('about = "Voices."', 'abuot = "Voices."', "about is missing; abuot: Extra inputs are not permitted"),
    ],
)
def test_an_entry_of_the_catalogue_that_lacks_something(machine: Machine, good: str, bad: str, says: str):
    before, found, after = machine.catalog.rpartition(good)
    assert found
    machine.catalog = before + bad + after
    machine.refused("entry voices: ", says, command="check")


def test_a_profile_of_an_entry_that_there_is_not(machine: Machine):
    machine.catalog = machine.catalog.replace('llm = "chat"', 'llm = "voices"')
    machine.refused("profile test: 'voices' is no entry of the kind llm", command="check")


def test_a_chat_model_without_a_place_for_tools(machine: Machine):
    (machine.weights / "chat/chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    machine.refused("chat cannot call functions: its chat template has no place for tools", "tools = false")


def test_a_voice_of_a_rate_that_nobody_can_play(machine: Machine):
    described = machine.weights / "voices/en_US.onnx.json"
    described.write_text(json.dumps(json.loads(described.read_text()) | {"audio": {"sample_rate": 12345}}))
    machine.refused("en_US.onnx.json: a sample rate of 12345 is none of 8000, ", "kammerton models fetch test")


def test_weights_that_are_none(machine: Machine):
    (machine.weights / "chat/model.bin").write_bytes(bytes(1000))
    machine.refused("cannot load", "kammerton models fetch test")


def test_a_gpu_too_small(machine: Machine):
    smi = machine.folder / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 4096, 3000, NVIDIA T400\n")
    smi.chmod(0o755)
    machine.catalog = machine.catalog.replace('about = "A chat model."', 'about = "A chat model."\ngpu_mb = 9000')
    machine.refused("needs 9,000 MB of GPU memory", "NVIDIA T400 has 3,146 of 4,295 MB free", "fit: tiny, cpu")


def test_vllm_that_is_not_installed(machine: Machine):
    shutil.rmtree(machine.weights / "chat")
    shutil.copytree(BUNDLED / "llm/tiny", machine.weights / "chat")
    machine.catalog = machine.catalog.replace(
        'ctranslate2.CTranslate2Chat"\nhub = "acme', 'vllm.VllmChat"\nhub = "acme'
    )
    machine.refused("has no vLLM; to install it: ", "-m pip install 'vllm>=0.32,<0.34'")
