"""The `kammerton` command as a user types it: exit codes, and one clear line for what can be mended."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from models.audio import read_wav, write_wav
from models.lock import sha256
from tests.cli.realtime_peer import STAGES, Peer, serving, tone

ROOT = Path(__file__).resolve().parents[2]


def command(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("KAMMERTON_")}
    return subprocess.run(
        [sys.executable, "-m", "server", *map(str, arguments)],
        cwd=ROOT,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


async def command_async(*arguments: object) -> tuple[int, str, str]:
    """Like ``command``, while the test's own server answers."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server", *map(str, arguments)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


def refused(done: subprocess.CompletedProcess[str], *hints: str) -> None:
    """Exit code 2, nothing on standard output, one line on standard error that holds the hints."""
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    [line] = done.stderr.splitlines()
    assert line.startswith("kammerton: ")
    assert all(hint in line for hint in hints), line


@pytest.fixture
def question(tmp_path: Path) -> Path:
    path = tmp_path / "question.wav"
    write_wav(path, tone(150, 16_000), 16_000)
    return path


def test_version_is_the_one_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert command("version").stdout.strip() == project["version"]


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core has one thread anyway")
def test_matrix_products_take_one_thread() -> None:
    def threads(start: str) -> int:
        script = (
            "import os, sys\n"
            f"sys.argv = ['kammerton', 'version']\n{start}\n"
            "try: main()\n"
            "except SystemExit: assert 'numpy' in sys.modules; print(len(os.listdir('/proc/self/task')))\n"
        )
        environment = {name: value for name, value in os.environ.items() if "NUM_THREADS" not in name}
        done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True)
        return int(done.stdout.split()[-1])

    script = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["kammerton"]
    assert threads("from {} import {}".format(*script.split(":"))) == 1
    assert threads("from server.cli import main") > 1, "numpy would have taken more"


def test_serve_refuses_an_unknown_profile() -> None:
    refused(command("serve", "--profile", "giant"), "giant", "tiny")


def test_serve_refuses_a_bad_setting() -> None:
    refused(command("serve", "--port", "http"), "server.port", "http")
    refused(command("serve", KAMMERTON_SERVER__PROT="1"), "KAMMERTON_SERVER__PROT", "KAMMERTON_SERVER__PORT")
    refused(command("serve", "--config", "nowhere.toml"), "nowhere.toml")


def test_serve_refuses_a_port_in_use() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused(command("serve", "--profile", "tiny", "--port", port), f"port {port}", "in use", "--port")


def test_serve_refuses_an_address_of_another_machine() -> None:
    refused(command("serve", "--profile", "tiny", "--host", "192.0.2.1"), "192.0.2.1", "--host")


def test_talk_without_a_server_says_how_to_start_one(question: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{unused.getsockname()[1]}/v1/realtime"
    refused(command("talk", question, "--url", url), url, "kammerton serve")


def test_talk_refuses_what_it_cannot_use(question: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.wav"
    text.write_text("no sound at all")
    refused(command("talk", tmp_path / "missing.wav"), "missing.wav", "No such file")
    refused(command("talk", text), "text.wav")
    refused(command("talk", question, "--format", "opus"), "opus", "ulaw")
    refused(command("talk", question, "--url", "http://127.0.0.1"), "http://127.0.0.1", "ws://")
    refused(command("talk", question, "--tools", tmp_path / "missing.json"), "missing.json")
    refused(command("talk", question, "--tool-result", "hours"), "--tool-result", "name=json")


async def test_talk_prints_words_and_times_and_writes_what_it_heard(question: Path, tmp_path: Path) -> None:
    out = tmp_path / "answer.wav"
    async with serving(Peer(details={"kammerton": {"timings_ms": STAGES}})) as peer:
        code, shown, errors = await command_async("talk", question, "--out", out, "--url", peer.url)
    assert (code, errors) == (0, "")
    assert "caller  question 0" in shown
    assert "answer  answer 0" in shown
    assert "first token" in shown
    assert "voice to voice beyond the hold" in shown
    heard, rate = read_wav(out)
    assert rate == 24_000
    assert np.array_equal(heard, np.concatenate(peer.spoken))


async def test_talk_prints_one_json_object_a_turn(question: Path) -> None:
    async with serving(Peer()) as peer:
        code, shown, _ = await command_async("talk", question, question, "--json", "--url", peer.url)
    turns = [json.loads(line) for line in shown.splitlines()]
    assert code == 0
    assert [(turn["user"], turn["assistant"]) for turn in turns] == [
        ("question 0", "answer 0"),
        ("question 1", "answer 1"),
    ]
    assert list(turns[0]) == ["user", "assistant", "tool_calls", "timings_ms"]
    times = ["hold", "stt_final", "llm_first_token", "first_segment", "tts_first_audio", "voice_to_voice"]
    assert list(turns[0]["timings_ms"]) == times


async def test_talk_shows_a_call_that_nobody_answers(question: Path, tmp_path: Path) -> None:
    tools = tmp_path / "tools.json"
    tools.write_text('[{"type": "function", "function": {"name": "opening_hours"}}]')
    async with serving(Peer()) as peer:
        code, shown, _ = await command_async("talk", question, "--tools", tools, "--url", peer.url)
    assert code == 0
    assert 'opening_hours {"day": "friday"}' in shown
    assert "--tool-result" in shown


async def test_talk_ends_with_1_when_the_conversation_breaks_off(question: Path) -> None:
    async with serving(Peer(hang_up=True)) as peer:
        code, _, errors = await command_async("talk", question, "--url", peer.url)
    assert code == 1
    assert errors.startswith("kammerton: the server closed the connection (1011")


async def test_talk_ends_with_1_when_an_answer_failed(question: Path) -> None:
    failed = {"status": "failed", "status_details": {"type": "failed", "error": {"message": "no speech today"}}}
    async with serving(Peer(fault={"type": "response.done", "response": failed})) as peer:
        code, shown, _ = await command_async("talk", question, "--json", "--url", peer.url)
    assert code == 1
    assert json.loads(shown)["error"] == "no speech today"


def test_check_shows_settings_models_and_what_leaves(tmp_path: Path) -> None:
    config = tmp_path / "kammerton.toml"
    config.write_text("[server]\nmax_sessions = 7\n")
    done = command("check", "--config", config, "--profile", "tiny", KAMMERTON_TURNS__SOFT_END_MS="128")
    assert done.returncode == 0, done.stderr
    lines = {tuple(line.split()) for line in done.stdout.splitlines()}
    assert ("profile", "tiny", "command", "line") in lines
    assert ("server.max_sessions", "7", "file", str(config)) in lines
    assert ("turns.soft_end_ms", "128", "environment") in lines
    assert ("server.port", "8080", "default") in lines
    assert "MIT" in done.stdout
    assert "Nothing leaves this machine" in done.stdout


def agents(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.toml").write_text(text)
    return folder


def test_check_shows_the_agents(tmp_path: Path) -> None:
    lines = 'language = "de"\nvoices.de = "de_DE"\nmodel = { name = "qwen3:8b", url = "http://localhost:11434/v1" }\n'
    tools = '[[tools]]\nname = "weather"\nmcp.command = ["python", "weather.py"]\n'
    folder = agents(
        tmp_path, front='instructions = "A."\nhands_to = ["back"]\n', back=f'instructions = "B."\n{lines}{tools}'
    )
    done = command("check", "--profile", "tiny", "--agents", folder)
    assert done.returncode == 0, done.stderr
    rows = {tuple(line.split()) for line in done.stdout.splitlines()}
    assert ("front", "en", "receptionist-tiny", "-", "hand_over_to_back", "back") in rows
    assert ("back", "de", "qwen3:8b", "de_DE", "weather", "(MCP)", "-") in rows


def test_a_fault_of_an_agent_is_told_by_check_and_before_the_server_loads_anything(tmp_path: Path) -> None:
    folder = agents(tmp_path, front='instructions = "A."\nvoices.en = "en_GB"\n', back="instructions = 5\n")
    for name in ("check", "serve"):
        refused(command(name, "--profile", "tiny", "--agents", folder), f"{folder}/back.toml:1: instructions: ")
    agents(tmp_path, back='instructions = "B."\n[[tools]]\npython = "gone.py"\n')
    for name in ("check", "serve"):
        done = command(name, "--profile", "tiny", "--agents", folder, KAMMERTON_LOG__FORMAT="json")
        assert (done.returncode, done.stdout) == (2, "")
        first, second = done.stderr.splitlines()
        assert first.startswith(f"kammerton: {folder}/back.toml:2: tools.0: ")
        assert second.startswith(f"kammerton: {folder}/front.toml:2: voices.en: there is no voice 'en_GB'")


def test_check_refuses_an_unknown_profile() -> None:
    refused(command("check", "--profile", "giant"), "giant", "tiny")


def test_models_list_names_every_profile_and_what_is_on_disk(tmp_path: Path) -> None:
    done = command("models", "list", "--weights-dir", tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(f"{profile}: " in done.stdout for profile in ("tiny", "cpu", "gpu"))
    states = {line.split()[1]: "not on disk" not in line for line in done.stdout.splitlines() if " MB " in line}
    assert states["whisper-tiny"] is True
    assert states["whisper-small"] is False


def test_models_fetch_has_nothing_to_do_for_the_bundled_profile(tmp_path: Path) -> None:
    done = command("models", "fetch", "tiny", "--weights-dir", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "nothing to fetch" in done.stdout


def test_models_fetch_names_the_hub_that_cannot_be_reached(tmp_path: Path) -> None:
    done = command("models", "fetch", "cpu", "--weights-dir", tmp_path, "--endpoint", "http://127.0.0.1:9")
    assert done.returncode == 2
    assert "could not fetch" in done.stderr
    refused(command("models", "fetch", "giant", "--weights-dir", tmp_path), "giant", "tiny")


def test_models_go_to_another_machine_in_one_file_and_every_damaged_one_is_named_there(tmp_path: Path) -> None:
    bundle, weights = tmp_path / "tiny.tar", tmp_path / "weights"
    exported = command("models", "export", bundle, "--profile", "tiny")
    assert exported.returncode == 0, exported.stderr
    assert exported.stdout == f"profile tiny is in {bundle}, SHA-256 {sha256(bundle)}\n"
    imported = command("models", "import", bundle, "--weights-dir", weights)
    assert imported.returncode == 0, imported.stderr
    assert "kammerton serve --profile tiny" in imported.stdout
    assert "every file of" in command("models", "verify", "tiny", "--weights-dir", weights).stdout

    def state() -> str:
        listed = command("models", "list", "--weights-dir", weights).stdout.splitlines()
        return next(line for line in listed if "voices-tiny" in line)

    assert " on disk" in state()
    voice, words, vad = weights / "tts/en_US.onnx", weights / "stt/tiny/model.bin", weights / "vad/silero_vad.onnx"
    voice.write_bytes(voice.read_bytes()[:-1])
    assert "not complete" in state()
    voice.write_bytes(voice.read_bytes() + b"?")
    words.write_bytes(b"")
    vad.unlink()
    verified = command("models", "verify", "tiny", "--weights-dir", weights)
    assert (verified.returncode, verified.stdout) == (2, "")
    assert len(verified.stderr.splitlines()) == 3
    for path, says in ((voice, "was altered"), (words, "is cut short"), (vad, "is missing")):
        assert any(str(path) in line and says in line for line in verified.stderr.splitlines())
    refused(
        command("serve", "--profile", "tiny", "--port", "0", "--weights-dir", weights), "silero_vad.onnx is missing"
    )


def test_what_is_no_bundle_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_text("x")
    refused(command("models", "import", tmp_path / "x.tar", "--weights-dir", tmp_path / "w"), "no bundle of Kammerton")
    refused(command("models", "verify", "giant"), "giant", "tiny")


def test_a_folder_of_agents_with_a_fault_stops_the_start_with_file_line_and_field(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('instructions = "x"\ngreting = "Hello."\n')
    store = f"sqlite:///{tmp_path}/store.db"
    done = command("serve", "--profile", "tiny", "--port", 0, "--agents", tmp_path, KAMMERTON_STORE__URL=store)
    refused(done, "a.toml:2: greting: extra inputs are not permitted")
