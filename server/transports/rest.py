"""What the HTTP doors have in common: bodies read within bounds, errors in the API's shape, and answers that stop being
made when nobody waits for them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping
from contextlib import aclosing, contextmanager, suppress
from typing import Any, TypeVar

import orjson
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from models.base import CapacityError, ContextError, EngineError, VoiceError
from server.errors import AccessError, ClientError, DrainingError, PolicyError
from server.transports.wire_fields import MAX_DEPTH, Fields, too_deep

_log = logging.getLogger(__name__)

Result = TypeVar("Result")

DRAINING = "server_shutting_down"
MAX_JSON = 4 * 2**20
_STALLED_S = 60.0
"""A client that sends or takes nothing for so long is let go: it holds a place that others wait for."""
_CLIENT_CLOSED_REQUEST = 499
_STATUS = {"request_timeout": 408, "request_too_large": 413}
"""Status of a ClientError by its code, where that is not 400."""


# ----------------------------------------------------------------------------------------- errors


class ApiRoute(APIRoute):
    """A route whose errors, those of its guards included, are answered with the API's error object."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See APIRoute."""
        answer = super().get_route_handler()

        async def answer_or_error(request: Request) -> Response:
            try:
                return await answer(request)
            except ClientDisconnect:
                return Response(status_code=_CLIENT_CLOSED_REQUEST)
            except (HTTPException, RequestValidationError):
                raise
            except Exception as error:
                return error_response(error)

        return answer_or_error


def error_response(error: Exception) -> Response:
    """An exception as an HTTP answer. One that was not raised on purpose is logged, and tells the client nothing."""
    status, headers = 500, {}
    match error:
        case ClientError():
            status = _STATUS.get(error.code, 400)
        case DrainingError():
            status, headers = 503, {"retry-after": "1"}
        case CapacityError():
            status, headers = 429, {"retry-after": "1"}
        case ContextError():
            status = 400
        case EngineError():
            # The official clients repeat a 503 by themselves unless they are told that it is of no use.
            status, headers = 503, {"x-should-retry": str(error.retryable).lower()}
        case AccessError():
            status, headers = (401, {"www-authenticate": "Bearer"}) if error.wants_key else (403, {})
        case PolicyError():
            status = 403
    return Response(orjson.dumps(error_object(error)), status, headers, "application/json")


def error_object(error: Exception) -> dict[str, Any]:
    """The API's error object for an exception."""
    kind, code, param, message = "server_error", "internal_error", None, str(error)
    match error:
        case ClientError():
            kind, code, param = "invalid_request_error", error.code, error.param
        case DrainingError():
            code = DRAINING
        case CapacityError():
            kind, code = "rate_limit_error", "rate_limit_exceeded"
        case ContextError():
            kind, code, param = "invalid_request_error", "context_length_exceeded", "messages"
        case EngineError():
            _log.warning("a request failed", extra={"engine": error.engine, "error": message})
            code = "engine_error"
        case AccessError():
            kind, code = "invalid_request_error", error.code
        case PolicyError():
            kind, code = "invalid_request_error", "policy_refused"
        case _:
            _log.error("a request ended by a bug", exc_info=error)
            message = "The server had an error while processing your request."
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


async def not_served(request: Request, error: Exception) -> Response:
    """For what no route answers (404, 405): the API's error object, with the routes of the API that there are."""
    assert isinstance(error, HTTPException)
    asked = f"{request.method} {request.scope['path']}"
    described = request.app.openapi()["paths"]
    served = sorted(
        f"{method.upper()} {path}" for path in described if path.startswith("/v1/") for method in described[path]
    )
    message = f"This server has no {asked}. It has {', '.join(served)}."
    body = {"message": message, "type": "invalid_request_error", "param": None, "code": "unknown_url"}
    return Response(orjson.dumps({"error": body}), error.status_code, error.headers, "application/json")


class Places:
    """How many requests of a kind are served at once."""

    def __init__(self, limit: int, what: str) -> None:
        """what: the requests, in words: "requests for speech"."""
        self._limit = limit
        self._what = what
        self._taken = 0

    @contextmanager
    def take(self) -> Iterator[None]:
        """Hold a place. Raises CapacityError when there is none."""
        if self._taken >= self._limit:
            raise CapacityError(f"{self._limit} {self._what} are being served already; try again later.")
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1


# --------------------------------------------------------------------------------------- requests


def bounded(request: Request, limit: int) -> Request:
    """The request, with a body that ends in a ClientError behind ``limit`` bytes, or when nothing more of it comes. A
    declared length is looked at first."""

    def check(size: int) -> None:
        if size > limit:
            raise ClientError("request_too_large", f"The body is larger than the {limit} bytes that are allowed here.")

    check(int(request.headers.get("content-length", 0)))
    taken = 0

    async def receive() -> Message:
        nonlocal taken
        try:
            async with asyncio.timeout(_STALLED_S):
                message = await request.receive()
        except TimeoutError:
            raise ClientError("request_timeout", f"Nothing more of the body came for {_STALLED_S:g} s.") from None
        taken += len(message.get("body", b""))
        check(taken)
        return message

    return Request(request.scope, receive)


async def read_json(request: Request) -> Fields:
    """The body, which must be a JSON object. Raises ClientError."""
    body = await bounded(request, MAX_JSON).body()
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ClientError("invalid_json", f"The body is not valid JSON: {error}.") from None
    if not isinstance(value, dict):
        raise ClientError("invalid_json", "The body must be a JSON object.")
    if too_deep(value):
        raise ClientError("invalid_value", f"The body is nested more than {MAX_DEPTH} levels deep.")
    return Fields(value)


async def while_connected(receive: Receive, work: Coroutine[Any, Any, Result]) -> Result:
    """The result of the work, which is cancelled when the client leaves: ClientDisconnect. The request's body must
    have been read."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def in_thread(work: Callable[[], Result]) -> Result:
    """The result of short blocking work in a worker thread. A cancellation waits for its end, so that what the work
    uses can be closed behind it."""
    future = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait((future,))
        raise


# ---------------------------------------------------------------------------------------- answers


class Stream(Response):
    """Sends chunks as they are made. The generator is closed when the client leaves or does not read.

    Its first chunk is awaited before the status is sent: an error up to then is a whole error answer. Later, the body
    is cut off, which chunked encoding shows.
    """

    def __init__(
        self, chunks: AsyncGenerator[bytes, None], media_type: str, headers: Mapping[str, str] | None = None
    ) -> None:
        self._chunks = chunks
        self.status_code = 200
        self.media_type = media_type
        self.background = None
        self.init_headers(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See Response."""
        try:
            await while_connected(receive, self._answer(scope, receive, send))
        except ClientDisconnect:
            _log.info("a client left before its answer was complete")

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        # One task from the first chunk to the close: an engine's generator may hold a timeout open between chunks.
        async with aclosing(self._chunks):
            try:
                first = await anext(self._chunks, b"")
            except Exception as error:
                await error_response(error)(scope, receive, send)
                return
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await _send_body(send, first)
            try:
                async for chunk in self._chunks:
                    await _send_body(send, chunk)
            except VoiceError as error:
                last = self.last_words(error)
                if last is None:
                    return
                await _send_body(send, last)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def last_words(self, error: VoiceError) -> bytes | None:
        """What is sent about an error in the middle; None cuts the body off."""
        _log.warning("an answer was cut off", extra={"error": str(error)})
        return None


class EventStream(Stream):
    """Server-sent events; an error in the middle is one of them."""

    def __init__(self, events: AsyncGenerator[bytes, None]) -> None:
        """events: each made by ``event``."""
        super().__init__(events, "text/event-stream", {"cache-control": "no-cache", "x-accel-buffering": "no"})

    def last_words(self, error: VoiceError) -> bytes | None:
        """See Stream."""
        return event(error_object(error))


def event(data: Mapping[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + orjson.dumps(data) + b"\n\n"


async def _send_body(send: Send, chunk: bytes) -> None:
    try:
        async with asyncio.timeout(_STALLED_S):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    except TimeoutError:
        raise ClientDisconnect from None
