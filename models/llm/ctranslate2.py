"""Chat model on CTranslate2, in process: any decoder that its transformers converter takes, with Hermes-style tools.

A folder holds the converted model (config.json, model.bin, vocabulary.json) and, from the original, tokenizer.json,
tokenizer_config.json, generation_config.json and the chat template; scripts/convert_llm.py makes one.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import ctranslate2  # type: ignore[import-untyped]

from models.base import (
    ChatDelta,
    ChatDone,
    ChatMessage,
    ChatRequest,
    ContextError,
    EngineError,
    Priority,
    TextDelta,
    ToolCallDelta,
    ToolSpec,
    Urgency,
    Usage,
    WeightsError,
    priority_of,
)
from models.llm.detokenize import Detokenizer
from models.llm.folder import ModelFolder
from models.llm.generation import Generation
from models.llm.hermes import CALL, CALL_END, HermesParser
from models.llm.slots import Slots

_OUTSIDE = ("user", "tool")
_T = TypeVar("_T")


@dataclass(frozen=True)
class _Options:
    device: str
    compute_type: str
    threads: int
    streams: int
    queue: int
    prefix_tokens: int
    by_priority: bool


@dataclass(frozen=True)
class _Weights:
    """A loaded model and the prompt beginnings, by cache key, whose state it keeps."""

    generator: ctranslate2.Generator
    prefixes: dict[str, list[list[int]]] = field(default_factory=dict)

    @property
    def kept(self) -> int:
        return sum(len(prefix) for prefixes in self.prefixes.values() for prefix in prefixes)

    def longest(self, ids: list[int], key: str) -> int:
        """Length of the longest kept beginning of ids that leaves something to compute."""
        known = self.prefixes.get(key, ())
        return max((len(p) for p in known if len(p) < len(ids) and ids[: len(p)] == p), default=0)


class CTranslate2Chat:
    """Kind ``llm``. Make it with ``load``.

    supports_tools: whether the chat template shows tools to the model; a request with tools fails otherwise.
    context: the most tokens that prompt and answer may have together. malformed_calls: tool calls so far whose JSON
    had to be repaired or dropped.
    """

    def __init__(self, folder: Path, files: ModelFolder, *, name: str, options: _Options) -> None:
        self.name = name
        self.supports_tools = files.template.supports_tools
        self.context = files.context
        self.malformed_calls = 0
        self._folder = folder
        self._files = files
        self._options = options
        self._weights = self._open()
        self._warming = threading.Lock()
        self._pool = ThreadPoolExecutor(options.streams, thread_name_prefix=f"llm-{name}")
        self._slots = Slots(options.streams, options.queue)
        self._running: dict[asyncio.Future[Any], Generation] = {}
        self._closed = False

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        name: str,
        device: str = "cpu",
        compute_type: str = "int8",
        threads: int = 1,
        streams: int = 2,
        queue: int = 32,
        context: int | None = None,
        prefix_tokens: int = 8192,
        by_priority: bool = True,
        template: Mapping[str, Any] | None = None,
        tools: bool = False,
    ) -> CTranslate2Chat:
        """Blocks while the weights load. threads: CPU threads of one generation. streams: generations at once; queue:
        how many more may wait. context: tokens, if fewer than the model declares. prefix_tokens: how much of prompts
        ``warm`` keeps, all together. by_priority: False generates in order of arrival. template: variables for the
        chat template. Raises WeightsError."""
        options = _Options(device, compute_type, threads, streams, queue, prefix_tokens, by_priority)
        return cls(
            folder,
            ModelFolder.read(folder, name, context=context, template=template, tools=tools),
            name=name,
            options=options,
        )

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
        """Deltas as they are generated, then one ChatDone. Closing the generator stops the generation at its next
        token. Usage: prompt counts the beginning of a forced call too, completion every token that was sampled, the
        end-of-turn token included. Raises EngineError, and CapacityError when too many wait."""
        run = Generation(asyncio.get_running_loop())
        try:
            future = await self._submit(request.priority, run, lambda: self._generate(request, run))
            detokenizer = Detokenizer(self._decode)
            parser = HermesParser()
            finished = False
            while not finished:
                await run.ready.wait()
                run.ready.clear()
                finished = future.done()  # asked before the tokens are taken, so that none can be left behind
                text, run.opening = run.opening + detokenizer.push(run.take()), ""
                for delta in _as_chosen(parser.feed(text), request):
                    yield delta
            usage = future.result()
            for delta in _as_chosen([*parser.feed(detokenizer.finish()), *parser.finish()], request):
                yield delta
            self.malformed_calls += parser.malformed
            called = parser.calls and _shown(request)
            ended = run.last in self._files.end_ids
            yield ChatDone("length" if not ended else "tool_calls" if called else "stop", usage)
        finally:
            run.stopped = True

    async def warm(self, request: ChatRequest) -> None:
        """Keep the model's state after the part of the prompt that any continuation of these messages begins with:
        later requests with the same cache_key reuse it. Where there is no room it takes that of older prompts, which
        means to load the model anew; with Priority.BACKGROUND it is not kept then. Raises EngineError and
        CapacityError."""
        run = Generation(asyncio.get_running_loop())
        await asyncio.shield(await self._submit(request.priority, run, lambda: self._remember(request)))

    async def close(self) -> None:
        """Stop what runs, refuse what comes, free the weights."""
        self._closed = True
        for run in self._running.values():
            run.stopped = True
        await asyncio.gather(*self._running, return_exceptions=True)
        self._pool.shutdown(wait=False)
        self._weights.generator.unload_model()

    async def _submit(
        self, priority: Priority | Urgency, run: Generation, work: Callable[[], _T]
    ) -> asyncio.Future[_T]:
        """Wait for a slot and start the work; the slot is free again when the work has really ended, which after a
        cancellation is a little later than the caller."""
        await self._slots.acquire(priority if self._options.by_priority else Priority.CONFIRMED)
        if self._closed:
            self._slots.release()
            raise EngineError(self.name, f"{self.name} is closed")
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        self._running[future] = run

        def ended(future: asyncio.Future[_T]) -> None:
            del self._running[future]
            self._slots.release()
            run.ready.set()
            if not future.cancelled():
                future.exception()  # fetched here, as nobody asks when the caller has gone

        future.add_done_callback(ended)
        return future

    # ------------------------------------------------------------------------- in the worker threads

    def _generate(self, request: ChatRequest, run: Generation) -> Usage:
        text = self._render(request, request.messages)
        forced = self._forced(request)
        ids = self._encode(text) + forced
        room = self.context - len(ids)
        if room < 1:
            message = f"the prompt has {len(ids)} tokens, and {self.name} takes at most {self.context - 1}"
            raise ContextError(self.name, message, tokens=len(ids))
        wanted = request.max_tokens or self._files.generation.get("max_new_tokens") or room
        run.opening = "<think>" if text.rstrip().endswith("<think>") else ""
        run.put(forced)
        weights = self._weights
        cached = weights.longest(ids, request.cache_key)
        self._run_model(
            weights,
            ids,
            cached,
            max_length=min(room, wanted),
            callback=lambda step: run.on_token(step.token_id),
            **self._sampling(request),
        )
        return Usage(len(ids), run.generated, cached)

    def _remember(self, request: ChatRequest) -> None:
        ids = self._stable_prefix(request)
        with self._warming:
            weights = self._weights
            known = weights.prefixes.setdefault(request.cache_key, [])
            if not ids or ids in known or len(ids) > min(self._options.prefix_tokens, self.context - 1):
                return
            if weights.kept + len(ids) > self._options.prefix_tokens:
                if priority_of(request.priority) is Priority.BACKGROUND:
                    return
                # The library never frees the state of a prompt while the model is loaded.
                self._weights = weights = self._open()
                known = weights.prefixes.setdefault(request.cache_key, [])
            self._run_model(weights, [*ids, ids[-1]], len(ids), max_length=1)
            known.append(ids)

    def _run_model(self, weights: _Weights, ids: list[int], cached: int, **options: Any) -> None:
        tokens = [self._files.vocabulary[token] for token in ids]
        try:
            weights.generator.generate_batch(
                [tokens[cached:]],
                static_prompt=tokens[:cached] or None,
                include_prompt_in_result=False,
                end_token=sorted(self._files.end_ids),
                repetition_penalty=self._files.generation.get("repetition_penalty", 1.0),
                **options,
            )
        except (RuntimeError, ValueError) as error:
            raise EngineError(self.name, f"CTranslate2 failed: {error}") from error

    def _render(self, request: ChatRequest, messages: Sequence[ChatMessage], *, prompt: bool = True) -> str:
        """Control tokens and tags that a caller or a tool's result spells out are taken away: they could end the turn,
        or pass for a tool call."""
        plain = [
            replace(message, text=self._files.control.sub("", message.text)) if message.role in _OUTSIDE else message
            for message in messages
        ]
        return self._files.template.render(plain, _shown(request), add_generation_prompt=prompt)

    def _stable_prefix(self, request: ChatRequest) -> list[int]:
        """Tokens with which every continuation of the messages begins, by comparing two of them. The last one is left
        out, so that something is left to compute when the request itself follows."""
        last = request.messages[-1].role if request.messages else ""
        next_, after = ("assistant", "user") if last in ("user", "tool") else ("user", "assistant")
        # One continuation goes a message further: some templates write the last answer differently from earlier ones.
        one = [ChatMessage(next_, "yes")]
        other = [ChatMessage(next_, "no"), ChatMessage(after, "yes")]
        continued = [[*request.messages, *rest] for rest in (one, other)]
        prompts = [self._encode(self._render(request, messages, prompt=False)) for messages in continued]
        return _common_prefix(prompts)[:-1]

    def _forced(self, request: ChatRequest) -> list[int]:
        """The beginning of the call that tool_choice demands: the tokens that all such calls have in common, so that
        the model goes on from a token boundary it knows."""
        choice = request.tool_choice
        if choice in ("auto", "none"):
            return []
        tools = [tool for tool in request.tools if choice in ("required", tool.name)]
        if not tools:
            raise EngineError(self.name, f"tool_choice is {choice!r}, and there is no such tool")
        forced = _common_prefix([self._encode(call) for tool in tools for call in _example_calls(tool)])
        closed = f'{CALL}\n{{"name": {json.dumps(choice)}'
        ambiguous = any(tool.name.startswith(choice) and tool.name != choice for tool in request.tools)
        if ambiguous and closed not in self._decode(forced):
            return self._encode(closed)
        return forced

    def _sampling(self, request: ChatRequest) -> dict[str, Any]:
        if not request.temperature:
            return {"sampling_topk": 1}
        generation = self._files.generation
        return {
            "sampling_temperature": request.temperature,
            "sampling_topk": generation.get("top_k", 0),
            "sampling_topp": generation.get("top_p", 1.0),
        }

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._files.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def _decode(self, ids: list[int]) -> str:
        """Control tokens are never words; a weak model may write one in the middle of its answer."""
        spoken = [token for token in ids if token not in self._files.silent_ids]
        return self._files.tokenizer.decode(spoken, skip_special_tokens=False)

    def _open(self) -> _Weights:
        options = self._options
        try:
            generator = ctranslate2.Generator(
                str(self._folder),
                device=options.device,
                compute_type=options.compute_type,
                inter_threads=options.streams,
                intra_threads=options.threads,
                max_queued_batches=-1,
            )
        except (RuntimeError, ValueError) as error:
            raise WeightsError(self.name, f"cannot load {self._folder}: {error}") from error
        return _Weights(generator)


def _shown(request: ChatRequest) -> Sequence[ToolSpec]:
    return () if request.tool_choice == "none" else request.tools


def _common_prefix(sequences: Sequence[list[int]]) -> list[int]:
    first = sequences[0]
    length = min(len(sequence) for sequence in sequences)
    while any(sequence[:length] != first[:length] for sequence in sequences):
        length -= 1
    return first[:length]


def _example_calls(tool: ToolSpec) -> list[str]:
    """Calls as the model may write them, different behind the part that they must have in common."""
    properties = tool.parameters.get("properties") or {}
    arguments = ["{}"] + [json.dumps({key: value}) for key in properties for value in ("a", 1)]
    return [f'{CALL}\n{{"name": {json.dumps(tool.name)}, "arguments": {example}}}\n{CALL_END}' for example in arguments]


def _as_chosen(
    deltas: Sequence[TextDelta | ToolCallDelta], request: ChatRequest
) -> Iterator[TextDelta | ToolCallDelta]:
    """tool_choice is kept even where the model would not: no call of tools that it was not shown, and the named
    function where it would have written another name behind the forced beginning."""
    named = request.tool_choice not in ("auto", "none", "required")
    for delta in deltas:
        if isinstance(delta, TextDelta):
            yield delta
        elif _shown(request):
            yield replace(delta, name=request.tool_choice) if named and delta.name is not None else delta
