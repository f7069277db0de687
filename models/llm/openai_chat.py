"""Chat model behind any server that speaks the chat completions protocol: vLLM, llama.cpp, Ollama, SGLang, hosted ones.

One pool of keep-alive connections serves all sessions; answers are streamed (server-sent events), and closing a stream
closes its connection, which is how such a server learns that it may stop.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

import httpx2

from models.base import CapacityError, ChatDelta, ChatMessage, ChatRequest, ContextError, EngineError, VoiceError
from models.llm.openai_answer import Answer
from models.llm.openai_wire import Chunk, Dialect, Failure, error_message, has_chosen_tool, shown

_END = "[DONE]"
_TAIL_S = 0.5
"""How long the end of an answered request is waited for, so that its connection can be used again."""
_MAX_ERROR = 65_536
_POOL = httpx2.Limits(max_connections=1000, max_keepalive_connections=200, keepalive_expiry=300)
_FULL = (429, 503)
_TOO_LONG = re.compile(r"context (length|size|window)|maximum model length", re.IGNORECASE)
"""How servers say that a prompt does not fit; there is no status of its own for it."""
_LOST = (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError)


@dataclass(frozen=True)
class Timeouts:
    """Seconds. first: from the request to the first piece of the answer. between: from one piece to the next."""

    connect: float = 3.0
    first: float = 20.0
    between: float = 10.0


class OpenAIChat:
    """Kind ``llm``.

    malformed_calls: tool calls so far whose JSON had to be repaired or dropped.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        name: str,
        api_key: str | None = None,
        timeouts: Timeouts | None = None,
        client: httpx2.AsyncClient | None = None,
        owned: bool = False,
        dialect: Dialect | None = None,
        opens_thought: bool = False,
        context: int | None = None,
    ) -> None:
        """base_url: up to and including ``/v1``. model: the server's name for it. client: stays the caller's to close,
        unless it is ``owned``; without one a client is made that reaches this machine only. opens_thought: whether the
        chat template has already opened a thought where the answer begins. context: tokens that prompt and answer may
        have together, None when unknown. Raises ValueError for a URL that is none, or that needs a client."""
        self.name = name
        self.context = context
        self.malformed_calls = 0
        self._url = httpx2.URL(base_url.rstrip("/") + "/chat/completions")
        if self._url.scheme not in ("http", "https") or not self._url.host:
            raise ValueError(f"{base_url!r} is no http(s) URL")
        self._owned = client if owned else None
        if client is None:
            if not is_loopback(self._url.host):
                raise ValueError(f"{base_url!r} is another machine, and no client was given for it")
            client = self._owned = loopback_client()
        self._client = client
        self._model = model
        self._key = api_key
        self._timeouts = timeouts or Timeouts()
        self._dialect = dialect or Dialect()
        self._opening = "<think>" if opens_thought else ""
        self._open: set[httpx2.Response] = set()
        self._closed = False

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
        """Deltas as the server generates them, then one ChatDone. Closing the generator closes the connection. A
        request that meets a connection which the server has just given up is sent once more; nothing else is.

        Raises EngineError, and CapacityError when the server says that it is full (429, 503)."""
        known = [call.id for message in request.messages for call in message.tool_calls]
        answer = Answer(tools=bool(shown(request)), opening=self._opening, known=known)
        async with aclosing(self._chunks(self._encode(request))) as chunks:
            async for chunk in chunks:
                for delta in answer.feed(chunk):
                    yield delta
        for delta in answer.finish():
            yield delta
        self.malformed_calls += answer.malformed

    async def warm(self, request: ChatRequest) -> None:
        """Have the server compute the prompt, and one token. Raises what ``stream`` does."""
        messages = request.messages
        if not messages or messages[-1].role not in ("user", "tool"):
            # Many templates refuse a conversation in which nobody has asked anything.
            messages = [*messages, ChatMessage("user", "...")]
        choice = "none" if request.tool_choice == "none" else "auto"
        async with aclosing(
            self._chunks(self._encode(replace(request, messages=messages, max_tokens=1, tool_choice=choice)))
        ) as chunks:
            async for _ in chunks:
                pass

    async def close(self) -> None:
        """End what runs, refuse what comes."""
        self._closed = True
        for response in list(self._open):
            await response.aclose()
        if self._owned is not None:
            await self._owned.aclose()

    # ------------------------------------------------------------------------------------ request

    def _encode(self, request: ChatRequest) -> bytes:
        if self._closed:
            raise self._error("is closed")
        if not has_chosen_tool(request):
            raise self._error(f"cannot answer: tool_choice is {request.tool_choice!r}, and there is no such tool")
        try:
            return self._dialect.encode(request, self._model)
        except (TypeError, ValueError) as error:
            raise self._error(f"cannot be asked: the request is not JSON ({error})") from error

    async def _post(self, body: bytes) -> httpx2.Response:
        try:
            return await self._send(body, connections := _Connections())
        except _LOST:
            if connections.new:
                raise
        # A server may close a connection that it has kept alive just when the next request goes out on it.
        return await self._send(body, _Connections())

    async def _send(self, body: bytes, connections: _Connections) -> httpx2.Response:
        headers = {"content-type": "application/json", "accept": "text/event-stream", "accept-encoding": "identity"}
        if self._key:
            headers["authorization"] = f"Bearer {self._key}"
        request = self._client.build_request(
            "POST",
            self._url,
            content=body,
            headers=headers,
            timeout=httpx2.Timeout(None, connect=self._timeouts.connect, pool=self._timeouts.connect),
            extensions={"trace": connections.trace},
        )
        return await self._client.send(request, stream=True, follow_redirects=False)

    # ------------------------------------------------------------------------------------- answer

    async def _chunks(self, body: bytes) -> AsyncGenerator[Chunk, None]:
        """The chunks of the answer, the one with a finish_reason among them; what fails behind that one is no harm."""
        began = finished = False
        response = None
        try:
            async with asyncio.timeout(self._timeouts.first):
                response = await self._post(body)
                self._open.add(response)
                if response.status_code != 200:
                    raise await self._refusal(response)
                events = aiter(httpx2.EventSource(response))
                event = await anext(events, None)
            while event is not None and event.data != _END:
                chunk = self._read(event.data)
                began = True
                finished = finished or (chunk.choice is not None and chunk.choice.finish_reason is not None)
                yield chunk
                async with asyncio.timeout(self._timeouts.between):
                    event = await anext(events, None)
            if not finished:
                raise self._error("ended its answer in the middle", retryable=True)
            async with asyncio.timeout(_TAIL_S):
                await anext(events, None)
        except (TimeoutError, httpx2.HTTPError, httpx2.StreamError) as error:
            if not finished:
                raise self._failure(error, began) from error
        finally:
            if response is not None:
                self._open.discard(response)
                await response.aclose()

    def _read(self, data: str) -> Chunk:
        try:
            chunk = Chunk.read(data)
        except ValueError as error:
            raise self._error(f"sent what cannot be read: {error}") from error
        if isinstance(chunk.error, str):
            raise self._error(f"failed: {chunk.error}", retryable=True)
        if isinstance(chunk.error, Failure):
            code = chunk.error.code if isinstance(chunk.error.code, int) else 500
            raise self._status(code, chunk.error.message)
        return chunk

    async def _refusal(self, response: httpx2.Response) -> VoiceError:
        body = b""
        try:
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > _MAX_ERROR:
                    break
        except httpx2.HTTPError:
            pass  # the status says enough
        return self._status(response.status_code, error_message(body))

    def _status(self, status: int, message: str) -> VoiceError:
        if self._key:
            message = message.replace(self._key, "***")
        if status in _FULL:
            return CapacityError(f"{self.name} is full ({status}): {message}")
        if status < 500 and _TOO_LONG.search(message):
            return ContextError(self.name, f"{self.name} answered {status}: {message}")
        return self._error(f"answered {status}: {message}", retryable=status >= 500)

    def _failure(self, error: Exception, began: bool) -> VoiceError:
        """What a fault of the transport means."""
        if self._closed:
            return self._error("is closed")
        match error:
            case httpx2.PoolTimeout():
                return CapacityError(f"{self.name} has no connection free")
            case httpx2.ConnectTimeout():
                return self._error(f"cannot be reached within {self._timeouts.connect:g} s", retryable=True)
            case httpx2.ConnectError():
                return self._error(f"cannot be reached ({error})", retryable=True)
            case TimeoutError() if began:
                return self._error(f"fell silent in the middle of its answer for {self._timeouts.between:g} s")
            case TimeoutError():
                return self._error(f"gave no answer within {self._timeouts.first:g} s")
            case httpx2.SSEError():
                return self._error(f"sent what cannot be read: {error}")
            case _:
                where = "broke off in the middle of its answer" if began else "hung up without an answer"
                return self._error(f"{where} ({str(error) or type(error).__name__})", retryable=True)

    def _error(self, what: str, *, retryable: bool = False) -> EngineError:
        return EngineError(self.name, f"{self.name} {what}", retryable=retryable)


class _Connections:
    """Whether a request opened a connection or used one that was open."""

    def __init__(self) -> None:
        self.new = False

    async def trace(self, event: str, _: dict[str, Any]) -> None:
        self.new = self.new or event.startswith("connection.connect")


def loopback_client(socket: str | None = None) -> httpx2.AsyncClient:
    """A client that reaches this machine only, past any proxy. socket: path of a Unix socket, for every request."""

    async def stay(request: httpx2.Request) -> None:
        if not is_loopback(request.url.host):
            raise httpx2.UnsupportedProtocol(f"{request.url.host} is another machine", request=request)

    transport = httpx2.AsyncHTTPTransport(limits=_POOL, trust_env=False, uds=socket)
    return httpx2.AsyncClient(transport=transport, trust_env=False, event_hooks={"request": [stay]})


def is_loopback(host: str) -> bool:
    """Whether a URL's host is this machine, without asking any name server."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
