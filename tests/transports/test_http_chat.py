"""Chat completions: what the model is asked, what the client is told, and how an answer ends early."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest

import models
from models.base import (
    CapacityError,
    ChatDelta,
    ChatDone,
    ChatMessage,
    ChatModel,
    ChatRequest,
    ContextError,
    EngineError,
    Priority,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from models.llm.ctranslate2 import CTranslate2Chat
from models.llm.generation import Generation
from server.transports import chat, rest
from tests.runtime.engines import ScriptedChat
from tests.transports.http_server import direct, http, sdk, serving

USER = {"role": "user", "content": "What time is it?"}
TOOLS = [
    {"type": "function", "function": {"name": name, "description": f"Does {name}.", "parameters": {"type": "object"}}}
    for name in ("get_time", "get_date")
]
CALL = (
    ToolCallDelta(0, "", "call_1", "get_time"),
    ToolCallDelta(0, '{"zone": '),
    ToolCallDelta(0, '"utc"}'),
    ToolCallDelta(1, "{}", "call_2", "get_date"),
    ChatDone("tool_calls", Usage(20, 8)),
)


class Endless:
    """Talks until its stream is closed, which sets ``closed``."""

    name = "endless"

    def __init__(self) -> None:
        self.closed = asyncio.Event()

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
        try:
            while True:
                await asyncio.sleep(0)
                yield TextDelta("and so on, " * 100)
        finally:
            self.closed.set()

    async def warm(self, request: ChatRequest) -> None: ...
    async def close(self) -> None: ...


async def events(model: ChatModel, **request: Any) -> list[str]:
    """The data of all events of a streamed answer."""
    async with http(chat.router(model)) as client:
        answer = await client.post("/v1/chat/completions", json={"messages": [USER], "stream": True, **request})
        assert answer.headers["content-type"].startswith("text/event-stream")
        return [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]


async def asked(**request: Any) -> ChatRequest:
    """What the model is asked for a client's request."""
    model = ScriptedChat("Hello.")
    async with sdk(chat.router(model)) as client:
        await client.chat.completions.create(model="any", **{"messages": [USER], **request})
    return model.requests[0]


# ------------------------------------------------------------------------------------ the request


async def test_every_kind_of_message_reaches_the_model():
    call = {"id": "call_1", "type": "function", "function": {"name": "get_time", "arguments": '{"zone": "utc"}'}}
    request = await asked(
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": [{"type": "text", "text": "Be"}, {"type": "text", "text": "kind."}]},
            {"role": "user", "content": [{"type": "text", "text": "What time is it?"}]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "noon"},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "I would rather not say."}]},
        ]
    )
    assert list(request.messages) == [
        ChatMessage("system", "Be brief."),
        ChatMessage("system", "Be\nkind."),
        ChatMessage("user", "What time is it?"),
        ChatMessage("assistant", "", (ToolCall("call_1", "get_time", '{"zone": "utc"}'),)),
        ChatMessage("tool", "noon", tool_call_id="call_1"),
        ChatMessage("assistant", "I would rather not say."),
    ]
    # Behind the confirmed turn of somebody on the line.
    assert request.priority > Priority.CONFIRMED


async def test_limits_and_heat_reach_the_model():
    request = await asked(max_tokens=7, temperature=0.5)
    assert (request.max_tokens, request.temperature) == (7, 0.5)
    assert (await asked(max_tokens=7, max_completion_tokens=9)).max_tokens == 9
    assert (await asked()).max_tokens is None


@pytest.mark.parametrize(
    ("choice", "names", "wanted"),
    [
        (None, ["get_time", "get_date"], "auto"),
        ("auto", ["get_time", "get_date"], "auto"),
        ("none", ["get_time", "get_date"], "none"),
        ("required", ["get_time", "get_date"], "required"),
        ({"type": "function", "function": {"name": "get_date"}}, ["get_time", "get_date"], "get_date"),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [TOOLS[1]]}},
            ["get_date"],
            "required",
        ),
    ],
)
async def test_each_form_of_tool_choice(choice: Any, names: list[str], wanted: str):
    request = await asked(tools=TOOLS, **({} if choice is None else {"tool_choice": choice}))
    assert ([tool.name for tool in request.tools], request.tool_choice) == (names, wanted)
    assert request.tools[-1].description == "Does get_date."


# ------------------------------------------------------------------------------------- the answer


async def test_a_whole_answer():
    model = ScriptedChat("It is ", "noon.")
    async with sdk(chat.router(model)) as client:
        answer = await client.chat.completions.create(model="gpt-9", messages=[USER])
    assert answer.object == "chat.completion"
    assert answer.model == "gpt-9"
    assert answer.id.startswith("chatcmpl-")
    choice = answer.choices[0]
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", "It is noon.", "stop")
    assert choice.message.tool_calls is None
    assert answer.usage is not None
    usage = answer.usage.model_dump(exclude_none=True)
    assert usage == {
        "prompt_tokens": 12,
        "completion_tokens": 5,
        "total_tokens": 17,
        "prompt_tokens_details": {"cached_tokens": 3},
    }


async def test_a_whole_answer_that_calls_functions():
    async with sdk(chat.router(ScriptedChat(*CALL))) as client:
        answer = await client.chat.completions.create(model="any", messages=[USER], tools=TOOLS)
    choice = answer.choices[0]
    assert (choice.message.content, choice.finish_reason) == (None, "tool_calls")
    assert [(call.id, call.function.name, call.function.arguments) for call in choice.message.tool_calls] == [
        ("call_1", "get_time", '{"zone": "utc"}'),
        ("call_2", "get_date", "{}"),
    ]


async def test_one_function_only_where_the_client_wants_no_more():
    async with sdk(chat.router(ScriptedChat(*CALL))) as client:
        answer = await client.chat.completions.create(
            model="any", messages=[USER], tools=TOOLS, parallel_tool_calls=False
        )
    assert [call.id for call in answer.choices[0].message.tool_calls] == ["call_1"]


async def test_a_streamed_answer_begins_with_its_role_and_ends_with_done():
    *chunks, done = await events(ScriptedChat("It is ", "noon."))
    assert done == "[DONE]"
    parsed = [json.loads(chunk) for chunk in chunks]
    assert [chunk["choices"][0]["delta"] for chunk in parsed] == [
        {"role": "assistant", "content": ""},
        {"content": "It is "},
        {"content": "noon."},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in parsed] == [None, None, None, "stop"]
    assert {(chunk["object"], chunk["id"]) for chunk in parsed} == {("chat.completion.chunk", parsed[0]["id"])}
    assert not any("usage" in chunk for chunk in parsed)


async def test_a_streamed_answer_is_counted_for_those_who_ask():
    *_, last, done = await events(ScriptedChat("Noon."), stream_options={"include_usage": True})
    assert done == "[DONE]"
    assert json.loads(last)["choices"] == []
    assert json.loads(last)["usage"]["total_tokens"] == 17


async def test_a_streamed_call_is_put_together_by_the_sdk():
    async with (
        sdk(chat.router(ScriptedChat(*CALL))) as client,
        client.chat.completions.stream(model="any", messages=[USER], tools=TOOLS) as stream,
    ):
        answer = await stream.get_final_completion()
    assert answer.choices[0].finish_reason == "tool_calls"
    assert [
        (call.id, call.function.name, call.function.arguments) for call in answer.choices[0].message.tool_calls
    ] == [
        ("call_1", "get_time", '{"zone": "utc"}'),
        ("call_2", "get_date", "{}"),
    ]


async def test_an_answer_that_was_cut_off_says_so():
    async with sdk(chat.router(ScriptedChat("It is", ChatDone("length", Usage(9, 2))))) as client:
        answer = await client.chat.completions.create(model="any", messages=[USER], max_tokens=2)
    assert answer.choices[0].finish_reason == "length"


@pytest.mark.parametrize(
    ("stop", "said"),
    [
        ("###", "One, two"),
        (["four", "two"], "One, "),
        (["##!", "#?"], "One, two### three#"),
        ("three##", "One, two### three#"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_stop_sequence_ends_the_answer_wherever_it_is_split(stop: Any, said: str, stream: bool):
    model = ScriptedChat("One, t", "wo#", "#", "# three", "#")
    if stream:
        chunks = [json.loads(chunk) for chunk in (await events(model, stop=stop))[:-1]]
        text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
        reason = chunks[-1]["choices"][0]["finish_reason"]
    else:
        async with sdk(chat.router(model)) as client:
            answer = await client.chat.completions.create(model="any", messages=[USER], stop=stop)
        text, reason = answer.choices[0].message.content, answer.choices[0].finish_reason
    assert (text, reason) == (said, "stop")
    assert model.closed == 1


# -------------------------------------------------------------------------------- what goes wrong

BAD: dict[str, tuple[dict[str, Any], str | None, str]] = {
    "no messages": ({"messages": None}, "messages", "messages"),
    "empty messages": ({"messages": []}, "messages", "at least 1"),
    "message is text": ({"messages": ["hello"]}, "messages[0]", "an object"),
    "unknown role": ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role", "'assistant'"),
    "no content": ({"messages": [USER, {"role": "user"}]}, "messages[1].content", "content"),
    "content is a number": ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content", "a string"),
    "image": (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]},
        "messages[0].content[0].type",
        "text only",
    ),
    "result of no call": ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id", "tool_call_id"),
    "arguments are no JSON": (
        {
            "messages": [
                {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "[" * 9000}}]}
            ]
        },
        "messages[0].tool_calls[0].function.arguments",
        "JSON text of an object",
    ),
    "tool is not a function": ({"tools": [{"type": "custom"}]}, "tools[0].type", "'function'"),
    "flat tool": ({"tools": [{"type": "function", "name": "f"}]}, "tools[0].function", "function"),
    "bad tool name": ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name", "'_'"),
    "same tool twice": ({"tools": [TOOLS[0], TOOLS[0]]}, "tools[1].function.name", "another tool"),
    "required without tools": ({"tool_choice": "required"}, "tool_choice", "tools"),
    "unknown choice": ({"tools": TOOLS, "tool_choice": "maybe"}, "tool_choice", "'required'"),
    "choice of an unknown tool": (
        {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "f"}}},
        "tool_choice.function.name",
        "'get_time', 'get_date'",
    ),
    "no tokens": ({"max_tokens": 0}, "max_tokens", "from 1"),
    "too hot": ({"temperature": 2.5}, "temperature", "0 to 2"),
    "several answers": ({"n": 2}, "n", "1 answer"),
    "log probabilities": ({"logprobs": True}, "logprobs", "leave it out"),
    "a JSON schema": ({"response_format": {"type": "json_schema"}}, "response_format.type", "'text'"),
    "spoken answer": ({"modalities": ["text", "audio"]}, "modalities", "/v1/audio/speech"),
    "old functions": ({"functions": []}, "functions", "'tools'"),
    "stream is text": ({"stream": "yes"}, "stream", "true or false"),
    "options without stream": ({"stream_options": {"include_usage": True}}, "stream_options", "stream"),
    "five stops": ({"stop": ["a"] * 5}, "stop", "at most 4"),
    "stop is a number": ({"stop": [1]}, "stop", "array of strings"),
}


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.replace(" ", "-"))
async def test_bad_input_is_named_with_what_is_allowed(case: str):
    change, param, hint = BAD[case]
    model = ScriptedChat("Hello.")
    async with direct(chat.router(model)) as client:
        answer = await client.post("/v1/chat/completions", json={"model": "any", "messages": [USER], **change})
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert hint in error["message"]
    assert model.requests == []


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "invalid_json"),
        (b"[]", 400, "invalid_json"),
        (b"\xff\xfe", 400, "invalid_json"),
        (b'{"a":' + b"[" * 80 + b"]" * 80 + b"}", 400, "invalid_value"),
        (b'{"messages": "' + b"x" * rest.MAX_JSON + b'"}', 413, "request_too_large"),
    ],
    ids=["cut off", "no object", "no text", "deep", "large"],
)
@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_that_cannot_be_read(body: bytes, status: int, code: str, declared: bool):
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 65536):
            yield body[start : start + 65536]

    async with http(chat.router(ScriptedChat("Hello."))) as client:
        answer = await client.post("/v1/chat/completions", content=body if declared else pieces())
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        answer = await client.post("/v1/chat/completions", json={"messages": [USER]})
        assert answer.status_code == 200


@pytest.mark.parametrize("stream", [False, True])
async def test_engines_that_cannot_are_a_status_even_of_a_stream(stream: bool):
    request: dict[str, Any] = {"model": "any", "messages": [USER], "stream": stream}
    async with sdk(chat.router(ScriptedChat(CapacityError("too many requests are waiting")))) as client:
        with pytest.raises(openai.RateLimitError, match="too many requests are waiting") as busy:
            await client.chat.completions.create(**request)
        assert busy.value.response.headers["retry-after"] == "1"
    for retryable, header in ((True, "true"), (False, "false")):
        async with sdk(chat.router(ScriptedChat(EngineError("x", "no weights", retryable=retryable)))) as client:
            with pytest.raises(openai.InternalServerError, match="no weights") as failed:
                await client.chat.completions.create(**request)
            assert failed.value.status_code == 503
            assert failed.value.response.headers["x-should-retry"] == header
    async with sdk(chat.router(ScriptedChat(RuntimeError("secret")))) as client:
        with pytest.raises(openai.InternalServerError, match="The server had an error") as broken:
            await client.chat.completions.create(**request)
        assert broken.value.status_code == 500


@pytest.mark.parametrize("stream", [False, True])
async def test_messages_longer_than_the_model_reads_are_the_clients_error(stream: bool):
    async with sdk(chat.router(ScriptedChat(ContextError("x", "the prompt has 9000 tokens", tokens=9000)))) as client:
        with pytest.raises(openai.BadRequestError, match="9000 tokens") as refused:
            await client.chat.completions.create(model="any", messages=[USER], stream=stream)
    assert (refused.value.code, refused.value.param) == ("context_length_exceeded", "messages")


async def test_an_engine_that_fails_in_the_middle_of_a_stream_says_so_in_it():
    async with sdk(chat.router(ScriptedChat("It is ", EngineError("x", "the model died")))) as client:
        stream = await client.chat.completions.create(model="any", messages=[USER], stream=True)
        chunks = aiter(stream)
        assert [(await anext(chunks)).choices[0].delta.content for _ in range(2)] == ["", "It is "]
        with pytest.raises(openai.APIError, match="the model died"):
            await anext(chunks)


async def test_a_body_that_does_not_go_on_is_waited_for_no_longer(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rest, "_STALLED_S", 0.2)
    async with asyncio.timeout(60), serving(chat.router(ScriptedChat("Hello."))) as url:
        host, port = url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: test\r\nContent-Length: 50\r\n\r\n{")
        assert b" 408 " in await reader.readline()
        writer.close()
        await writer.wait_closed()


# ---------------------------------------------------------------------------------- ending early


async def test_a_client_that_leaves_a_stream_ends_the_generation():
    model = Endless()
    async with asyncio.timeout(60), sdk(chat.router(model)) as client:
        stream = await client.chat.completions.create(model="any", messages=[USER], stream=True)
        await anext(aiter(stream))
        await stream.close()
        await model.closed.wait()


async def test_a_client_that_leaves_before_a_whole_answer_ends_the_generation():
    begun = asyncio.Event()

    class Noted(Endless):
        async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
            begun.set()
            async for delta in super().stream(request):
                yield delta

    model = Noted()
    async with asyncio.timeout(60), sdk(chat.router(model)) as client:
        asking = asyncio.create_task(client.chat.completions.create(model="any", messages=[USER]))
        await begun.wait()
        asking.cancel()
        await model.closed.wait()


async def test_a_client_that_never_reads_ends_the_generation(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rest, "_STALLED_S", 0.2)
    model = Endless()
    async with asyncio.timeout(60), http(chat.router(model)) as client:
        request = client.build_request("POST", "/v1/chat/completions", json={"messages": [USER], "stream": True})
        answer = await client.send(request, stream=True)
        await model.closed.wait()
        await answer.aclose()


class Paused(Generation):
    """Stops for breath at its 200th token until it is told to end, so that a generation that nobody wants any more
    shows."""

    def on_token(self, token: int) -> bool:
        while self.generated == 200 and not self.stopped:
            time.sleep(0.001)
        return super().on_token(token)


async def test_the_real_model_stops_when_its_client_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The model is given an end of turn that it does not know, and one slot: the next request waits for the end of the
    first."""
    folder = tmp_path / "endless"
    shutil.copytree(Path(models.__file__).parent / "bundled" / "llm" / "tiny" / "ctranslate2", folder)
    for name, change in {
        "generation_config.json": {"eos_token_id": 0},
        "config.json": {"eos_token": "<|endoftext|>"},
    }.items():
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
    monkeypatch.setattr("models.llm.ctranslate2.Generation", Paused)
    engine = CTranslate2Chat.load(folder, name="tiny", streams=1)
    person = {"role": "user", "content": "Are you a real person?"}
    async with asyncio.timeout(60), sdk(chat.router(engine)) as client:
        stream = await client.chat.completions.create(model="any", messages=[person], stream=True, max_tokens=1000)
        await anext(aiter(stream))
        (run,) = engine._running.values()
        await stream.close()
        answer = await client.chat.completions.create(model="any", messages=[person], max_tokens=1)
        assert answer.choices[0].finish_reason == "length"
        assert run.stopped
        assert run.generated <= 201
    await engine.close()
