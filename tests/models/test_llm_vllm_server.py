"""vLLM's process: started, watched, started again, ended, and never left behind. A stand-in plays vLLM."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import queue
import select
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import models.llm.vllm_server as supervision
from models.base import ChatMessage, ChatRequest, EngineError, TextDelta, ToolSpec, WeightsError
from models.catalog import BUNDLED
from models.llm.vllm import VllmChat
from models.llm.vllm_environment import REQUIREMENT

TINY = BUNDLED / "llm" / "tiny"
HELLO = ChatRequest([ChatMessage("user", "Hello")])
WAIT = ChatRequest([ChatMessage("user", "wait")])
ROOT = Path(supervision.__file__).parents[2]


@dataclass
class StandIn:
    """An interpreter whose vLLM is the stand-in. ups, restarts: what was logged of starts, and of starts again."""

    home: Path
    ups: queue.SimpleQueue[dict[str, Any]]
    restarts: queue.SimpleQueue[dict[str, Any]]

    @property
    def python(self) -> Path:
        return self.home / "python"

    def orders(self, **orders: Any) -> None:
        (self.home / "orders").write_text(json.dumps(orders))

    def health(self, status: int) -> None:
        """Status of what asks for its health from now on; 0 for no answer."""
        (self.home / "health.new").write_text(str(status))
        (self.home / "health.new").rename(self.home / "health")

    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads((self.home / "facts").read_text())
        return facts

    def load(self, folder: Path = TINY, **options: Any) -> VllmChat:
        chat = VllmChat.load(folder, name="chat", python=self.python, **options)
        assert self.ups.get(timeout=60)
        return chat

    async def again_up(self) -> None:
        assert await asyncio.to_thread(self.ups.get, timeout=60)


class Listening(logging.Handler):
    """Puts the fields of all records with one message into a queue."""

    def __init__(self, message: str, into: queue.SimpleQueue[dict[str, Any]]) -> None:
        super().__init__()
        self._message = message
        self._into = into

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() == self._message:
            self._into.put(vars(record))


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    module = tmp_path / "packages" / "vllm" / "entrypoints" / "openai"
    module.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("vllm_stand_in.py"), module / "api_server.py")
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\nSTAND_IN="{tmp_path}/orders" PYTHONPATH="{tmp_path}/packages" exec "{sys.executable}" "$@"\n'
    )
    python.chmod(0o755)
    monkeypatch.setattr(supervision, "_FIRST_DELAY_S", 0.01)
    monkeypatch.setattr(supervision, "_HEALTH_S", 0.05)
    monkeypatch.setattr(supervision, "_HEALTH_LIMIT_S", 1.0)
    found = StandIn(tmp_path, queue.SimpleQueue(), queue.SimpleQueue())
    found.orders()
    listeners = [Listening("vllm is up", found.ups), Listening("vllm is started again", found.restarts)]
    monkeypatch.setattr(supervision._log, "handlers", listeners)
    level = supervision._log.level
    supervision._log.setLevel(logging.INFO)  # which also forgets what the logger has kept of an earlier level
    yield found
    supervision._log.setLevel(level)
    if (tmp_path / "facts").exists():
        assert_gone(found.facts()["pids"])


def assert_gone(pids: list[int]) -> None:
    """Wait for processes that are not our children to end."""
    for pid in pids:
        try:
            watched = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            assert select.select([watched], [], [], 60)[0], f"process {pid} was left behind"
        finally:
            os.close(watched)


async def words(chat: VllmChat, request: ChatRequest = HELLO) -> str:
    return "".join([delta.text async for delta in chat.stream(request) if isinstance(delta, TextDelta)])


async def down(chat: VllmChat) -> EngineError:
    """Ask until that fails, as it does from when the server is down until it is up again."""
    while True:
        try:
            await words(chat)
        except EngineError as error:
            return error


async def test_a_loaded_model_answers_and_leaves_nothing_behind(stand_in: StandIn):
    chat = stand_in.load()
    pids = stand_in.facts()["pids"]
    assert await words(chat) == f"I am number {pids[0]}"
    assert chat.context == json.loads((TINY / "config.json").read_text())["max_position_embeddings"]
    folder = chat._server.socket.parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700, "nobody else may ask it"
    await chat.close()
    assert_gone(pids)
    assert not folder.exists()
    with pytest.raises(EngineError, match="closed"):
        await words(chat)
    with pytest.raises(EngineError, match="closed"):
        await chat.warm(HELLO)
    await chat.close()


async def test_the_server_gets_its_flags_and_an_environment_of_its_own(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
):
    for name in ("PYTHONPATH", "VIRTUAL_ENV", "KAMMERTON_SERVER__API_KEY"):
        monkeypatch.setenv(name, "ours")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    template = {"enable_thinking": False}
    chat = stand_in.load(
        context=2048,
        template=template,
        sequences=8,
        queue=4,
        batched_tokens=512,
        gpu_memory=0.5,
        kv_gib=2,
        arguments=["--quantization", "fp8"],
    )
    await chat.close()
    assert chat.context == 2048
    facts = stand_in.facts()
    line = " ".join(facts["arguments"])
    for flags in (
        f"--model {TINY} --served-model-name chat",
        "--enable-prefix-caching",
        "--scheduling-policy priority",
        "--max-num-batched-tokens 512",
        "--max-num-seqs 8",
        "--max-num-queued-reqs 12",
        "--enable-auto-tool-choice --tool-call-parser hermes",
        "--max-model-len 2048",
        '--default-chat-template-kwargs {"enable_thinking": false}',
        "--gpu-memory-utilization 0.5",
        "--quantization fp8 --uds",
    ):
        assert flags in line
    assert "--port" not in line
    environment = facts["environment"]
    assert not {"VIRTUAL_ENV", "KAMMERTON_SERVER__API_KEY"} & environment.keys()
    assert "ours" not in environment["PYTHONPATH"]
    given = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    given |= {"CUDA_VISIBLE_DEVICES": "1", "VLLM_CPU_KVCACHE_SPACE": "2"}
    assert given.items() <= environment.items()
    assert facts["folder"] == environment["TMPDIR"] != str(ROOT)


@pytest.mark.parametrize(
    "said",
    [
        "(EngineCore pid=1) ERROR 01-01 00:00:00 [core.py:1] ValueError: no memory\nRuntimeError: see above",
        "Traceback (most recent call last):\n  File ...\nValueError: no memory",
        "ValueError: no memory",
    ],
)
def test_a_start_that_fails_says_why_and_leaves_nothing_behind(stand_in: StandIn, said: str):
    stand_in.orders(fail=said)
    with pytest.raises(EngineError, match=r"^vLLM has ended: ValueError: no memory$") as failed:
        stand_in.load()
    assert failed.value.engine == "chat"
    assert_gone(stand_in.facts()["pids"])


def test_a_start_without_a_word_on_why_quotes_the_last_line(stand_in: StandIn):
    stand_in.orders(fail="usage: api_server [-h]")
    with pytest.raises(EngineError, match=r"has ended: usage: api_server"):
        stand_in.load()


def test_a_start_that_takes_too_long_is_given_up(stand_in: StandIn):
    stand_in.orders(silent=True)
    with pytest.raises(EngineError, match=r"did not come up within 3 s; the last it said: INFO .* starting"):
        stand_in.load(start_s=3.0)


def test_how_far_a_start_is_can_be_read_in_the_log(
    stand_in: StandIn, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(supervision, "_PROGRESS_S", 0.1)
    stand_in.orders(silent=True)
    with caplog.at_level(logging.INFO), pytest.raises(EngineError):
        stand_in.load(start_s=3.0)
    told = [record for record in caplog.records if record.message == "vllm is loading"]
    assert told
    assert "starting" in vars(told[-1])["last_line"]


def test_what_the_server_says_is_logged_at_its_level(stand_in: StandIn, caplog: pytest.LogCaptureFixture):
    stand_in.orders(fail="(APIServer pid=1) ERROR 01-01 00:00:00 [x.py:1] KeyError: 'INFO'\n\nWARNING 01-01 old flag")
    with caplog.at_level(logging.DEBUG), pytest.raises(EngineError):
        stand_in.load()
    said = [(vars(record)["line"], record.levelname) for record in caplog.records if record.message == "vllm says"]
    assert [level for line, level in said if "KeyError" in line] == ["ERROR"]
    assert [level for line, level in said if line.endswith("old flag")] == ["INFO"]
    assert [level for line, level in said if line.endswith("] starting")] == ["DEBUG"]


async def test_what_it_complains_of_when_it_is_told_to_end_is_no_error(
    stand_in: StandIn, caplog: pytest.LogCaptureFixture
):
    stand_in.orders(last_words="(APIServer pid=1) ERROR 01-01 00:00:00 [x.py:1] EngineDeadError: oh")
    with caplog.at_level(logging.DEBUG):
        chat = stand_in.load()
        await chat.close()
    said = [record.levelname for record in caplog.records if "EngineDeadError" in vars(record).get("line", "")]
    assert said == ["DEBUG"]


@pytest.mark.parametrize("victim", ["server", "guard", "whole group"])
async def test_a_server_that_dies_is_started_again_and_says_so_meanwhile(stand_in: StandIn, victim: str):
    chat = stand_in.load()
    pids = stand_in.facts()["pids"]
    waiting = chat.stream(WAIT)
    await anext(waiting)
    guard = chat._server.pid
    assert guard
    if victim == "whole group":
        os.killpg(guard, signal.SIGKILL)
    else:
        os.kill(guard if victim == "guard" else pids[0], signal.SIGKILL)
    with pytest.raises(EngineError) as cut:
        await anext(waiting)
    assert cut.value.retryable
    assert_gone(pids)
    await stand_in.again_up()
    number = stand_in.facts()["pids"][0]
    assert number not in pids
    assert await words(chat) == f"I am number {number}"
    await chat.close()


async def test_while_the_server_is_away_requests_fail_at_once_and_may_be_tried_again(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(supervision, "_FIRST_DELAY_S", 1000.0)
    monkeypatch.setattr(supervision, "_LONGEST_DELAY_S", 1000.0)
    chat = stand_in.load()
    os.kill(stand_in.facts()["pids"][0], signal.SIGKILL)
    while chat._server.up:
        assert (await down(chat)).retryable
    for ask in (words(chat), chat.warm(HELLO)):
        with pytest.raises(EngineError, match="being started again") as refused:
            await ask
        assert refused.value.retryable
    await chat.close()  # which does not wait for the delay


async def test_restarts_that_fail_go_on_with_growing_delays(stand_in: StandIn):
    chat = stand_in.load()
    stand_in.orders(fail="OSError: no GPU")
    os.kill(stand_in.facts()["pids"][0], signal.SIGKILL)
    restarts = [await asyncio.to_thread(stand_in.restarts.get, timeout=60) for _ in range(4)]
    stand_in.orders()
    await stand_in.again_up()
    assert await words(chat)
    await chat.close()
    delays = [restart["delay_s"] for restart in restarts]
    assert delays == sorted(set(delays))
    assert all("no GPU" in restart["reason"] for restart in restarts[1:])


@pytest.mark.parametrize("status", [503, 500, 0])
async def test_a_server_that_is_not_healthy_is_replaced(stand_in: StandIn, status: int):
    chat = stand_in.load()
    first = stand_in.facts()["pids"]
    stand_in.health(status)
    assert_gone(first)
    stand_in.health(200)
    await stand_in.again_up()
    assert await words(chat) == f"I am number {stand_in.facts()['pids'][0]}"
    await chat.close()


async def test_one_bad_look_is_no_illness(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch):
    looks: list[int | None] = []
    enough = threading.Event()
    real = supervision._health

    def health(path: Path) -> int | None:
        looks.append(500 if len(looks) % 3 else real(path))
        if len(looks) == 12:
            enough.set()
        return looks[-1]

    chat = stand_in.load()
    monkeypatch.setattr(supervision, "_health", health)
    number = stand_in.facts()["pids"][0]
    assert await asyncio.to_thread(enough.wait, 60)
    assert await words(chat) == f"I am number {number}"
    await chat.close()


async def test_a_server_that_does_not_end_is_killed(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(supervision, "_GRACE_S", 0.2)
    stand_in.orders(stubborn=True)
    chat = stand_in.load()
    pids = stand_in.facts()["pids"]
    await chat.close()
    assert_gone(pids)


@pytest.mark.parametrize("moment", ["loading", "up"])
def test_the_server_ends_with_this_process_even_if_that_is_killed(stand_in: StandIn, moment: str):
    stand_in.orders(silent=moment == "loading")
    program = (
        "import sys, time; from pathlib import Path; from models.llm.vllm import VllmChat\n"
        "VllmChat.load(Path(sys.argv[1]), name='chat', python=sys.argv[2]); print('up', flush=True); time.sleep(1000)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(TINY), str(stand_in.python)], cwd=ROOT, stdout=subprocess.PIPE
    ) as killed:
        assert killed.stdout
        if moment == "up":
            assert killed.stdout.readline() == b"up\n"
        while not (stand_in.home / "facts").exists():
            time.sleep(0.01)
        killed.kill()
    assert_gone(stand_in.facts()["pids"])


def test_a_missing_interpreter_and_one_without_vllm_name_the_command_that_installs_it(tmp_path: Path):
    with pytest.raises(EngineError, match=r"python3 -m venv .*pip install 'vllm>="):
        VllmChat.load(TINY, name="chat", python=tmp_path / "python")
    without = tmp_path / "without"
    without.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -I "$@"\n')
    without.chmod(0o755)
    with pytest.raises(EngineError, match=r"without has no vLLM; .*without -m pip install 'vllm>=") as refused:
        VllmChat.load(TINY, name="chat", python=without)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("given", ["./python", "python"])
async def test_an_interpreter_may_be_named_from_here_or_from_the_path(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, given: str
):
    monkeypatch.chdir(stand_in.home)
    monkeypatch.setenv("PATH", str(stand_in.home), prepend=os.pathsep)
    chat = VllmChat.load(TINY, name="chat", python=given)
    assert await words(chat)
    await chat.close()


def test_the_vllm_to_install_is_the_one_of_the_projects_extra():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["optional-dependencies"]["vllm"] == [REQUIREMENT]


async def test_without_an_interpreter_given_the_one_beside_the_command_is_taken(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
):
    command = stand_in.home / "vllm"
    command.write_text("#!/bin/sh\nexit 1\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(stand_in.home), prepend=os.pathsep)
    chat = VllmChat.load(TINY, name="chat")
    assert await words(chat)
    await chat.close()


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "chat_template.jinja", "tokenizer.json"])
def test_a_folder_that_lacks_something_is_refused_before_anything_starts(stand_in: StandIn, tmp_path: Path, file: str):
    folder = tmp_path / "model"
    shutil.copytree(TINY, folder, ignore=shutil.ignore_patterns("ctranslate2", file))
    with pytest.raises(WeightsError) as refused:
        stand_in.load(folder)
    assert str(folder) in str(refused.value)
    assert not (stand_in.home / "facts").exists()


@pytest.mark.parametrize(
    ("model_type", "template", "parser"),
    [
        ("qwen3", "<tool_call> {{ tools }}", "hermes"),
        ("qwen2", "<tool_call> {{ tools }}", "hermes"),
        ("llama", "<tool_call> {{ tools }}", "hermes"),
        ("qwen3_moe", "<tool_call> <function=f> {{ tools }}", "qwen3_xml"),
        ("llama", "<|python_tag|> {{ tools }}", "llama3_json"),
        ("mistral3", "[TOOL_CALLS] {{ tools }}", "mistral"),
        ("gpt_oss", "<|channel|> {{ tools }}", "openai"),
        ("novel", "{{ tools }}", None),
        ("llama", "no place for them", None),
    ],
)
async def test_the_tool_parser_is_that_of_the_models_family(
    stand_in: StandIn, tmp_path: Path, model_type: str, template: str, parser: str | None
):
    folder = tmp_path / "model"
    shutil.copytree(TINY, folder, ignore=shutil.ignore_patterns("ctranslate2"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": model_type}))
    (folder / "chat_template.jinja").write_text(template)
    chat = stand_in.load(folder)
    arguments = stand_in.facts()["arguments"]
    given = arguments[arguments.index("--tool-call-parser") + 1] if "--tool-call-parser" in arguments else None
    assert given == parser
    assert chat.supports_tools == (parser is not None)
    request = ChatRequest(HELLO.messages, [ToolSpec("f", "", {})])
    if parser is None:
        with pytest.raises(EngineError, match="tools"):
            await words(chat, request)
        assert await words(chat, ChatRequest(HELLO.messages, request.tools, "none"))
    else:
        assert await words(chat, request)
    await chat.close()
