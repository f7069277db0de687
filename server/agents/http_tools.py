"""Tools that are HTTP endpoints."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from urllib.parse import quote

import httpx2
import orjson

from models.base import ToolSpec
from server.agents.files import PLACE, places
from server.core.tools import ToolPolicy
from server.errors import PolicyError, ToolError
from server.runtime.tools import Partial, Result, ToolCall, ToolContext

_IN_QUERY = {"GET", "DELETE"}
_REPEATABLE = {"GET", "PUT", "DELETE"}
"""Twice has the effect of once (RFC 9110 9.2.2): only these may be sent again when nobody knows what came of them."""
_MAX_BODY = 1024 * 1024
"""What is read of an answer at most; what the model gets to see of it is bounded by the tool's policy."""
_NOT_TAKEN = {429, 503}
"""The request was not carried out (RFC 6585 4, RFC 9110 15.6.4)."""
_OF_A_GATEWAY = {502, 504}
"""What became of the request behind the gateway nobody knows (RFC 9110 15.6.3, 15.6.5)."""


class HttpTool:
    """See RunnableTool. Arguments named in the URL (``{name}``), which are always given, go there; the others into the
    query of GET and DELETE, and into a JSON body otherwise. Whatever changes something carries the header
    ``Idempotency-Key``.

    method: GET, POST, PUT, PATCH or DELETE. client: makes the network client; it decides what may be reached.
    """

    def __init__(
        self,
        spec: ToolSpec,
        policy: ToolPolicy,
        *,
        method: str,
        url: str,
        headers: Mapping[str, str],
        client: Callable[[], httpx2.AsyncClient],
    ) -> None:
        self._spec = spec
        self._policy = policy
        self._method = method
        self._url = url
        self._headers = dict(headers)
        self._client = client

    @property
    def spec(self) -> ToolSpec:
        """See RunnableTool."""
        return self._spec

    @property
    def policy(self) -> ToolPolicy:
        """See RunnableTool."""
        return self._policy

    async def run(self, call: ToolCall, context: ToolContext) -> AsyncIterator[Partial | Result]:
        """See RunnableTool."""
        yield Result(await self._request(call))

    async def _request(self, call: ToolCall) -> Any:
        url, rest = _filled(self._url, call.arguments)
        headers = dict(self._headers)
        sent: dict[str, Any] = {"headers": headers}
        if self._method in _IN_QUERY:
            # Merged with the query of the URL itself, which httpx would drop.
            url = str(httpx2.URL(url).copy_merge_params({name: _text(value) for name, value in rest.items()}))
        else:
            sent["content"] = orjson.dumps(rest)
            headers["content-type"] = "application/json"
        if self._method != "GET":
            headers["idempotency-key"] = call.idempotency_key
        try:
            async with self._client() as client, client.stream(self._method, url, **sent) as answer:
                if answer.status_code in _OF_A_GATEWAY:
                    raise self._lost(f"the service answered with status {answer.status_code}")
                return await _read(answer)
        except PolicyError as error:
            raise ToolError(f"not allowed: {error}") from None
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout):
            raise ToolError("the service cannot be reached", retryable=True) from None
        except httpx2.HTTPError as error:
            raise self._lost(f"the service did not answer: {type(error).__name__}") from None

    def _lost(self, told: str) -> ToolError:
        """The request went out, and no answer to it came back."""
        if self._method != "GET":
            told += ", so nobody knows whether it was done"
        again = self._method in _REPEATABLE
        return ToolError(told, retryable=again, uncertain=not again)


async def _read(answer: httpx2.Response) -> Any:
    if not answer.is_success:
        raise ToolError(
            f"the service answered with status {answer.status_code}",
            retryable=answer.status_code in _NOT_TAKEN,
        )
    body = bytearray()
    async for piece in answer.aiter_bytes():
        body += piece
        if len(body) > _MAX_BODY:
            raise ToolError("the service answered with too much")
    if "json" not in answer.headers.get("content-type", ""):
        return bytes(body).decode(answer.encoding or "utf-8", "replace")
    try:
        return orjson.loads(bytes(body))
    except orjson.JSONDecodeError:
        raise ToolError("the service answered with broken JSON") from None


def _filled(url: str, arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The URL, and the arguments that it has no place for. A value never adds a path segment, a query or a host."""
    used = places(url)
    filled = PLACE.sub(lambda place: _segment(arguments[place[1]]), url)
    return filled, {name: value for name, value in arguments.items() if name not in used and value is not None}


def _segment(value: Any) -> str:
    text = quote(_text(value), safe="")
    # Two dots would climb out of their folder.
    return text.replace(".", "%2E") if set(text) == {"."} else text


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
