"""A chat completions server that is slow, full, gone or broken, and connections that are used again."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import httpx2
import pytest

from models.base import (
    CapacityError,
    ChatDelta,
    ChatDone,
    ChatMessage,
    ChatRequest,
    ContextError,
    EngineError,
    TextDelta,
    VoiceError,
)
from models.llm.openai_chat import OpenAIChat, Timeouts, loopback_client
from tests.models.chat_peer import HEAD, ChatPeer, Exchange, Script, says

HELLO = ChatRequest([ChatMessage("user", "Hello")])
SHORT = Timeouts(connect=5.0, first=0.1, between=0.1)


async def failure(*scripts: Script, timeouts: Timeouts | None = None, **options: Any) -> tuple[VoiceError, str]:
    """(what the stream raised, the text before it)."""
    heard: list[str] = []

    async def listen(chat: OpenAIChat) -> None:
        async for delta in chat.stream(HELLO):
            assert isinstance(delta, TextDelta), "no ChatDone comes before a failure"
            heard.append(delta.text)

    async with ChatPeer(list(scripts)) as peer:
        chat = OpenAIChat(peer.url, "m", name="test", timeouts=timeouts, **options)
        with pytest.raises(VoiceError) as failed:
            await listen(chat)
        await chat.close()
    return failed.value, "".join(heard)


def refuses(status: int, body: Any, *headers: str) -> Script:
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()

    async def script(exchange: Exchange) -> None:
        await exchange.refuse(status, data, *headers)

    return script


def after_a_word(then: Callable[[Exchange], Awaitable[None]]) -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.delta(content="Well")
        await then(exchange)

    return script


async def hang_up(exchange: Exchange) -> None:
    exchange.hang_up()


async def be_silent(exchange: Exchange) -> None:
    await exchange.gone()


async def end_early(exchange: Exchange) -> None:
    await exchange.end()


# ------------------------------------------------------------------------------- gone, slow, cut off


async def test_a_server_that_is_not_there_may_be_tried_again():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and not listening
        chat = OpenAIChat(f"http://127.0.0.1:{taken.getsockname()[1]}/v1", "m", name="test")
        with pytest.raises(EngineError, match="cannot be reached") as failed:
            await anext(chat.stream(HELLO))
        await chat.close()
    assert failed.value.retryable
    assert failed.value.engine == "test"


async def test_a_server_that_takes_no_connection_is_given_up():
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:  # more than its backlog holds
            one.setblocking(False)
            one.connect_ex(address)
        chat = OpenAIChat(f"http://127.0.0.1:{address[1]}/v1", "m", name="test", timeouts=Timeouts(connect=0.1))
        with pytest.raises(EngineError, match=r"cannot be reached within 0\.1 s") as failed:
            await anext(chat.stream(HELLO))
        await chat.close()
        for one in waiting:
            one.close()
    assert failed.value.retryable


async def test_a_server_that_never_answers_is_given_up_and_told_so():
    left = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.gone()
        left.set()

    async with ChatPeer([script]) as peer:
        chat = OpenAIChat(peer.url, "m", name="test", timeouts=SHORT)
        with pytest.raises(EngineError, match=r"no answer within 0\.1 s"):
            await anext(chat.stream(HELLO))
        await left.wait()
        await chat.close()


async def test_headers_and_comments_are_no_answer():
    async def script(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.piece(b": still there\n\n")
        await exchange.gone()

    error, _ = await failure(script, timeouts=SHORT)
    assert "no answer within 0.1 s" in str(error)


async def test_silence_in_the_middle_is_given_up():
    error, text = await failure(after_a_word(be_silent), timeouts=Timeouts(between=0.1))
    assert isinstance(error, EngineError)
    assert "fell silent" in str(error)
    assert text == "Well"


@pytest.mark.parametrize("ending", [hang_up, end_early])
async def test_an_answer_cut_off_in_the_middle_is_no_answer(ending: Callable[[Exchange], Awaitable[None]]):
    error, text = await failure(after_a_word(ending))
    assert isinstance(error, EngineError)
    assert error.retryable
    assert "in the middle" in str(error)
    assert text == "Well"


async def test_a_server_that_hangs_up_on_a_new_connection_is_not_asked_again():
    async with ChatPeer([hang_up]) as peer:
        chat = OpenAIChat(peer.url, "m", name="test")
        with pytest.raises(EngineError, match="hung up without an answer") as failed:
            await anext(chat.stream(HELLO))
        await chat.close()
    assert failed.value.retryable
    assert len(peer.requests) == 1


async def test_a_pool_without_a_free_connection_is_full():
    async with (
        ChatPeer([after_a_word(be_silent)]) as peer,
        httpx2.AsyncClient(limits=httpx2.Limits(max_connections=1), trust_env=False) as client,
    ):
        chat = OpenAIChat(peer.url, "m", name="test", client=client, timeouts=Timeouts(connect=0.5))
        async with aclosing(chat.stream(HELLO)) as first:
            await anext(first)
            with pytest.raises(CapacityError, match="no connection free"):
                await anext(chat.stream(HELLO))
        await chat.close()


# ------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("status", "body", "quoted"),
    [
        (400, {"error": {"message": "the prompt is too long", "code": 400}}, "400: the prompt is too long"),
        (400, {"error": "bad tools"}, "400: bad tools"),
        (404, {"object": "error", "message": "no model m"}, "404: no model m"),
        (401, {"detail": "no\n\nentry"}, "401: no entry"),
        (413, "<html>too   large</html>", "413: <html>too large</html>"),
        (418, "", "418: "),
        (302, "", "302: "),
        (204, "", "204: "),
    ],
)
async def test_a_refusal_is_quoted_and_final(status: int, body: Any, quoted: str):
    error, _ = await failure(refuses(status, body, "location: http://127.0.0.1:9/"))
    assert isinstance(error, EngineError)
    assert quoted in str(error)
    assert not error.retryable


async def test_a_refusal_does_not_quote_what_the_caller_said():
    fault = {"loc": ["body", "messages"], "msg": "Input should be shorter", "input": "I live in Elm Street"}
    error, _ = await failure(refuses(422, {"detail": [fault]}))
    assert "422: Input should be shorter" in str(error)
    assert "Elm Street" not in str(error)


async def test_a_long_refusal_is_cut_and_one_without_an_end_is_not_read_to_it():
    error, _ = await failure(refuses(400, "x" * 5000))
    assert len(str(error)) < 400

    async def endless(exchange: Exchange) -> None:
        await exchange.send(HEAD.replace(b"200 OK", b"500 Oh"))
        while not exchange.writer.is_closing():
            await exchange.piece(b"x" * 10_000)

    error, _ = await failure(endless)
    assert "answered 500: xxx" in str(error)


async def test_the_key_is_in_no_message():
    error, _ = await failure(refuses(401, {"error": {"message": "wrong key: sk-1234"}}), api_key="sk-1234")
    assert "wrong key: ***" in str(error)


@pytest.mark.parametrize("status", [429, 503])
async def test_a_full_server_is_told_apart(status: int):
    error, _ = await failure(refuses(status, {"error": {"message": "queue full"}}))
    assert isinstance(error, CapacityError)
    assert f"({status}): queue full" in str(error)


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens.",
        "the request exceeds the available context size",
        "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
    ],
    ids=["OpenAI-and-vLLM", "llama.cpp", "SGLang"],
)
async def test_a_prompt_that_does_not_fit_is_told_apart(message: str):
    error, _ = await failure(refuses(400, {"error": {"message": message}}))
    assert isinstance(error, ContextError)
    assert message in str(error)
    other, _ = await failure(refuses(500, {"error": {"message": message}}))
    assert not isinstance(other, ContextError)


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_a_server_at_fault_may_be_asked_again_by_who_asked(status: int):
    async with ChatPeer([refuses(status, "oops")]) as peer:
        chat = OpenAIChat(peer.url, "m", name="test")
        with pytest.raises(EngineError, match=f"{status}: oops") as failed:
            await anext(chat.stream(HELLO))
        await chat.close()
    assert failed.value.retryable
    assert len(peer.requests) == 1


# ------------------------------------------------------------------------------------------- garbage


@pytest.mark.parametrize(
    "data",
    ["{", "[]", "null", "hello", '{"choices": 3}', '{"choices": [{"delta": {"content": 5}}]}', '{"choices": [[]]}'],
)
async def test_an_event_that_is_no_chunk_ends_the_answer(data: str):
    async def garble(exchange: Exchange) -> None:
        await exchange.event(data)

    error, text = await failure(after_a_word(garble))
    assert isinstance(error, EngineError)
    assert "cannot be read" in str(error)
    assert not error.retryable
    assert text == "Well"


async def test_bytes_that_are_no_http_are_an_error():
    async def script(exchange: Exchange) -> None:
        await exchange.send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        exchange.writer.close()

    error, _ = await failure(script)
    assert isinstance(error, EngineError)


@pytest.mark.parametrize("kind", ["text/html", "application/json"])
async def test_a_page_instead_of_a_stream_is_an_error(kind: str):
    async def script(exchange: Exchange) -> None:
        await exchange.refuse(200, b'{"choices": []}', f"content-type: {kind}")

    error, _ = await failure(script)
    assert isinstance(error, EngineError)
    assert kind in str(error)


async def test_an_event_without_an_end_is_not_collected_for_ever():
    async def script(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.piece(b"data: ")
        while not exchange.writer.is_closing():
            await exchange.piece(b"x" * 500_000)

    error, _ = await failure(script, timeouts=Timeouts(first=60.0))
    assert isinstance(error, EngineError)
    assert "cannot be read" in str(error)


@pytest.mark.parametrize(
    ("event", "full", "retryable"),
    [
        ({"error": {"message": "the engine died", "type": "InternalServerError", "code": 500}}, False, True),
        ({"error": {"message": "the engine died", "code": "internal"}}, False, True),
        ({"error": "the engine died"}, False, True),
        ({"error": {"message": "the engine died", "code": 400}}, False, False),
        ({"error": {"message": "the engine died", "code": 503}}, True, None),
    ],
)
async def test_an_error_inside_the_stream_is_told(event: dict[str, Any], full: bool, retryable: bool | None):
    async def fail(exchange: Exchange) -> None:
        await exchange.event(event)
        await exchange.end()

    error, text = await failure(after_a_word(fail))
    assert "the engine died" in str(error)
    assert isinstance(error, CapacityError) == full
    assert getattr(error, "retryable", None) == retryable
    assert text == "Well"


# --------------------------------------------------------------------- connections, closing, cancelling


async def ask(chat: OpenAIChat) -> list[ChatDelta]:
    return [delta async for delta in chat.stream(HELLO)]


async def test_requests_one_after_another_share_a_connection():
    async with ChatPeer([says("Yes.")]) as peer:
        chat = OpenAIChat(peer.url, "m", name="test")
        for _ in range(5):
            assert (await ask(chat))[0] == TextDelta("Yes.")
        await chat.close()
    assert [exchange.connection for exchange in peer.requests] == [0, 0, 0, 0, 0]


async def test_a_connection_that_the_server_has_just_given_up_costs_no_answer():
    async with ChatPeer([says("One."), hang_up, says("Two.")]) as peer:
        chat = OpenAIChat(peer.url, "m", name="test")
        assert (await ask(chat))[0] == TextDelta("One.")
        assert (await ask(chat))[0] == TextDelta("Two.")
        await chat.close()
    assert [exchange.connection for exchange in peer.requests] == [0, 0, 1]
    assert peer.requests[1].body == peer.requests[2].body


async def test_a_request_is_sent_at_most_twice():
    async with ChatPeer([says("One."), hang_up]) as peer:
        chat = OpenAIChat(peer.url, "m", name="test")
        await ask(chat)
        with pytest.raises(EngineError, match="hung up"):
            await ask(chat)
        await chat.close()
    assert len(peer.requests) == 3


async def test_what_breaks_off_behind_the_first_byte_is_not_asked_again():
    async def head_only(exchange: Exchange) -> None:
        await exchange.begin()
        exchange.hang_up()

    async with ChatPeer([says("One."), head_only, says("Two.")]) as peer:
        chat = OpenAIChat(peer.url, "m", name="test")
        await ask(chat)
        with pytest.raises(EngineError):
            await ask(chat)
        await chat.close()
    assert len(peer.requests) == 2


async def test_closing_the_stream_closes_its_connection_and_no_other():
    left, go_on = asyncio.Event(), asyncio.Event()

    async def first(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.delta(content="Well")
        await exchange.gone()
        left.set()

    async def second(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.delta(content="Well")
        await go_on.wait()
        await exchange.delta("stop", content=" done.")
        await exchange.end()

    async with ChatPeer([first, second]) as peer:
        chat = OpenAIChat(peer.url, "m", name="test")
        streams = [chat.stream(HELLO) for _ in range(2)]
        for stream in streams:
            assert await anext(stream) == TextDelta("Well")
        await streams[0].aclose()
        await left.wait()
        go_on.set()
        rest = [delta async for delta in streams[1]]
        await chat.close()
    assert rest[0] == TextDelta(" done.")
    assert isinstance(rest[1], ChatDone)


@pytest.mark.parametrize("begins", [True, False])
async def test_cancelling_the_reader_closes_the_connection(begins: bool):
    asked, left = asyncio.Event(), asyncio.Event()

    async def script(exchange: Exchange) -> None:
        if begins:
            await exchange.begin()
        asked.set()
        await exchange.gone()
        left.set()

    async with ChatPeer([script]) as peer:
        chat = OpenAIChat(peer.url, "m", name="test")
        reader = asyncio.create_task(ask(chat))
        await asked.wait()
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        await left.wait()
        await chat.close()


@pytest.mark.parametrize("own_client", [True, False])
async def test_closing_the_engine_ends_its_streams_and_refuses_new_ones(own_client: bool):
    async with ChatPeer([after_a_word(be_silent)]) as peer, loopback_client() as client:
        patient = Timeouts(between=1000.0)
        chat = OpenAIChat(peer.url, "m", name="test", timeouts=patient, client=None if own_client else client)
        stream = chat.stream(HELLO)
        await anext(stream)
        reading = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        await chat.close()
        with pytest.raises(EngineError, match="closed"):
            await reading
        with pytest.raises(EngineError, match="closed"):
            await ask(chat)
        with pytest.raises(EngineError, match="closed"):
            await chat.warm(HELLO)


async def test_a_loopback_client_goes_nowhere_else():
    async with loopback_client() as client:
        for url in ("http://192.0.2.1/", "http://localhost.example/", "http://[2001:db8::1]/"):
            with pytest.raises(httpx2.UnsupportedProtocol, match="another machine"):
                await client.get(url)
