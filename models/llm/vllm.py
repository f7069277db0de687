"""Chat model on vLLM: a server process of its own, in its own Python environment, asked over a Unix socket.

vLLM's HTTP protocol is its stable interface; its dependencies and its CPU work stay out of this process. Source of the
flags: ``vllm serve --help`` of 0.32, and the "Optimization and tuning" page of its documentation.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.base import CatalogError, ChatDelta, ChatMessage, ChatRequest, EngineError, WeightsError
from models.llm.chat_template import ChatTemplate
from models.llm.hermes import MARKS
from models.llm.openai_chat import OpenAIChat, Timeouts, loopback_client
from models.llm.openai_wire import Dialect, shown
from models.llm.vllm_environment import environment, find_python
from models.llm.vllm_server import VllmServer

_MODULE = "vllm.entrypoints.openai.api_server"
"""``python -m``, as the ``vllm`` command does not run in its CPU build."""
_PARSERS = (
    # (what the chat template holds, what model_type begins with, vLLM's name of the tool-call parser)
    ("<function=", "", "qwen3_xml"),
    ("<arg_key>", "", "glm47"),
    ("<tool_call>", "", "hermes"),
    ("[TOOL_CALLS]", "", "mistral"),
    ("", "llama4", "llama4_pythonic"),
    ("", "llama", "llama3_json"),
    ("", "mistral", "mistral"),
    ("", "gpt_oss", "openai"),
    ("", "gemma4", "gemma4"),
    ("", "granite", "granite"),
    ("", "olmo3", "olmo3"),
    ("", "phi", "phi4_mini_json"),
    ("", "seed_oss", "seed_oss"),
)


@dataclass(frozen=True)
class _Folder:
    """What a model's folder says. parser: of tool calls, None where the template shows no tools or the form of the
    calls is not known. control: finds control tokens and tool-call tags written out in a text. context: tokens of
    prompt and answer together, None where it does not say."""

    parser: str | None
    control: re.Pattern[str]
    opens_thought: bool
    context: int | None


@dataclass(frozen=True)
class Tuning:
    """sequences: answers generated at once; queue: how many more may wait before one is turned away. batched_tokens:
    computed in one step, so that a long prompt holds nobody's words up for longer than that. gpu_memory: share of the
    GPU's memory to take; the other models may need some. kv_gib: memory for prompts and answers, without a GPU.
    arguments: more for the command line."""

    sequences: int = 256
    queue: int = 64
    batched_tokens: int = 2048
    gpu_memory: float | None = None
    kv_gib: int | None = None
    arguments: Sequence[str] = field(default_factory=tuple)


class VllmChat:
    """Kind ``llm``. Make it with ``load``.

    supports_tools: whether the chat template shows tools to the model, and its calls can be read; a request with tools
    fails otherwise. context: tokens that prompt and answer may have together, None when the model's folder does not
    say. A request without a temperature gets the likeliest words (greedy).
    """

    def __init__(
        self,
        server: VllmServer,
        folder: _Folder,
        *,
        name: str,
        context: int | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        self.name = name
        self.context = context or folder.context
        self.supports_tools = folder.parser is not None
        self._server = server
        self._client = loopback_client(str(server.socket))
        self._chat = OpenAIChat(
            "http://localhost/v1",
            name,
            name=name,
            timeouts=timeouts,
            client=self._client,
            dialect=Dialect(vllm=True, temperature=0.0, control=folder.control),
            opens_thought=folder.opens_thought,
        )
        self._closed = False

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        name: str,
        python: Path | str | None = None,
        context: int | None = None,
        template: Mapping[str, Any] | None = None,
        tool_parser: str | None = None,
        tools: bool = False,
        start_s: float = 900.0,
        timeouts: Timeouts | None = None,
        **tuning: Any,
    ) -> VllmChat:
        """Blocks until vLLM answers, which takes a minute or more; says in the log how far it is.

        folder: weights in the Hugging Face format. python: the interpreter of the environment that vLLM is installed
        in; without one, this process' own, or the one beside the ``vllm`` command. context: tokens of prompt and answer
        together, if fewer than the model can. template: variables for the chat template. tool_parser: vLLM's name of
        it, where the model's family is not known. tools: it has to be able to call them. start_s: how long a start may
        take. tuning: fields of Tuning.

        Raises WeightsError for a folder without weights, CatalogError for a model that cannot call tools and has to,
        EngineError when vLLM is not installed or does not start."""
        found = _look_into(folder, name, template, tool_parser, tools)
        interpreter = find_python(python, name)
        tuned = Tuning(**tuning)
        command = [interpreter, "-m", _MODULE, *_flags(folder, name, found, tuned, context, template)]
        server = VllmServer(name, command, environment(tuned.kv_gib), start_s=start_s)
        server.start()
        return cls(server, found, name=name, context=context, timeouts=timeouts)

    @property
    def malformed_calls(self) -> int:
        """Tool calls so far whose JSON had to be repaired or dropped."""
        return self._chat.malformed_calls

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
        """As OpenAIChat.stream. While vLLM is being started again, an EngineError at once."""
        self._check(request)
        async with aclosing(self._chat.stream(request)) as deltas:
            async for delta in deltas:
                yield delta

    async def warm(self, request: ChatRequest) -> None:
        """Have the prompt computed, so that what later requests with the same cache_key begin with is there."""
        self._check(request)
        await self._chat.warm(request)

    async def close(self) -> None:
        """End what runs, refuse what comes, end vLLM."""
        self._closed = True
        await self._chat.close()
        await self._client.aclose()
        await asyncio.to_thread(self._server.stop)

    def _check(self, request: ChatRequest) -> None:
        if self._closed:
            raise EngineError(self.name, f"{self.name} is closed")
        if not self._server.up:
            raise EngineError(self.name, f"{self.name} is being started again", retryable=True)
        if shown(request) and not self.supports_tools:
            raise EngineError(self.name, f"{self.name} has no place for tools, or calls them in a form not known here")


# ------------------------------------------------------------------------------------------- the command line


def _flags(
    folder: Path, name: str, found: _Folder, tuning: Tuning, context: int | None, template: Mapping[str, Any] | None
) -> list[str]:
    flags = ["--model", str(folder.absolute()), "--served-model-name", name]
    flags += ["--enable-prefix-caching", "--enable-prompt-tokens-details"]
    flags += ["--scheduling-policy", "priority", "--max-num-batched-tokens", str(tuning.batched_tokens)]
    flags += ["--max-num-seqs", str(tuning.sequences), "--max-num-queued-reqs", str(tuning.sequences + tuning.queue)]
    flags += ["--performance-mode", "interactivity", "--disable-uvicorn-access-log", "--disable-fastapi-docs"]
    if found.parser:
        flags += ["--enable-auto-tool-choice", "--tool-call-parser", found.parser]
    if context:
        flags += ["--max-model-len", str(context)]
    if template:
        flags += ["--default-chat-template-kwargs", json.dumps(dict(template))]
    if tuning.gpu_memory:
        flags += ["--gpu-memory-utilization", str(tuning.gpu_memory)]
    return [*flags, *tuning.arguments]


# ------------------------------------------------------------------------------------------------ the folder


def _look_into(folder: Path, name: str, template: Mapping[str, Any] | None, parser: str | None, tools: bool) -> _Folder:
    config = _json(folder / "config.json", name)
    if not any(folder.glob("*.safetensors")):
        raise WeightsError(name, f"{folder} holds no weights (*.safetensors)")
    chat = ChatTemplate.load(folder, name=name, variables=template, tools=tools)
    parser = parser or _parser(str(config.get("model_type", "")), chat.source)
    if tools and parser is None:
        raise CatalogError(
            f"{name} calls functions in a form not known here; the option tool_parser names vLLM's reader"
        )
    prompt = chat.render([ChatMessage("user", "Hello")])
    tokens = _json(folder / "tokenizer.json", name).get("added_tokens", ())
    special = {str(token["content"]) for token in tokens if token.get("special")}
    return _Folder(
        parser=parser if chat.supports_tools else None,
        control=re.compile("|".join(re.escape(content) for content in {*special, *MARKS})),
        opens_thought=prompt.rstrip().endswith("<think>"),
        context=(config.get("text_config") or config).get("max_position_embeddings"),
    )


def _parser(model_type: str, template: str) -> str | None:
    for mark, family, parser in _PARSERS:
        if mark in template and model_type.startswith(family):
            return parser
    return None


def _json(path: Path, name: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(name, f"cannot read {path}: {error}") from error
    if not isinstance(found, dict):
        raise WeightsError(name, f"{path} does not hold an object")
    return found
