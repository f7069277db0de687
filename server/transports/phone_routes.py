"""Webhook and media connection of carriers that sign nothing: they show the token that their addresses were given."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode

import orjson
from fastapi import APIRouter, Request, Response, WebSocket

from server.transports.calls import Calls, CallState
from server.transports.carrier import CallControl, Caller, CarrierCodec, LineStarted
from server.transports.rest import ApiRoute, bounded
from server.transports.websocket_leg import WebSocketLeg

_log = logging.getLogger(__name__)

_MAX_BODY = 64 * 1024
_CALL_IDS = ("CallSid", "CallUUID", "uuid", "conversation_uuid", "call_control_id")
_SUBPROTOCOLS = ("media", "audio.drachtio.org")
"""Of Asterisk and of FreeSWITCH's mod_audio_fork."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a carrier is told about a call. Both addresses hold the token. wide: sound in 16 bits at 16 kHz, where the
    carrier has it."""

    call_id: str
    agent: str
    caller: str
    stream_url: str
    answer_url: str
    wide: bool = False


class Answers(Protocol):
    """How a carrier is told what to do with a call: a body (JSON if it is not text), and its media type."""

    def __call__(self, offer: Offer) -> tuple[Any, str]: ...


@dataclass(frozen=True, slots=True)
class Carrier:
    """codec: makes one for each connection, given the call's id where the address holds it, else "". answer, hang_up,
    dial: of the webhook; None where there is none."""

    codec: Callable[[str], CarrierCodec]
    answer: Answers | None = None
    hang_up: Callable[[str, str], tuple[Any, str]] | None = None
    dial: Callable[[str], tuple[Any, str]] | None = None


def router(
    name: str,
    carrier: Carrier,
    calls: Calls,
    public_url: str,
    token: str,
    agent_of: Callable[[str], str] | None = None,
    control: CallControl | None = None,
    *,
    wide: bool = False,
) -> APIRouter:
    """``/NAME/voice`` and the WebSocket ``/NAME/stream``, both with ``?token=``; ``/NAME/next`` where there is no
    webhook: who is to be dialled now that a call's media connection has ended. control: the carrier's REST API.
    wide: see ``Offer``."""
    routes = APIRouter(route_class=ApiRoute)
    query = urlencode({"token": token})
    stream_url = f"ws{public_url.removeprefix('http')}/{name}/stream?{query}"
    answer_url = f"{public_url}/{name}/voice?{query}"

    def right(given: str) -> bool:
        if hmac.compare_digest(given.encode(), token.encode()):
            return True
        _log.warning("carrier request refused", extra={"door": name, "reason": "wrong token" if given else "no token"})
        return False

    async def voice(request: Request, token: str = "") -> Response:
        assert carrier.answer is not None
        assert carrier.hang_up is not None
        if not right(token):
            return _forbidden()
        fields = await _fields(request)
        call_id = next((fields[key] for key in _CALL_IDS if fields.get(key)), "")
        state = calls.state(call_id)
        number = calls.transfer_of(call_id)
        if number and carrier.dial is not None:
            return _answered(*carrier.dial(number))
        if state is CallState.ENDED:
            return _answered(*carrier.hang_up("", calls.phrases().tag))
        caller, called = _either(fields, "From", "from"), _either(fields, "To", "to")
        agent = agent_of(called) if agent_of else ""
        if state is CallState.UNKNOWN and calls.refusal(agent):
            return _answered(*carrier.hang_up(calls.refusal(agent), calls.phrases(agent).tag))
        return _answered(*carrier.answer(Offer(call_id, agent, caller, stream_url, answer_url, wide)))

    async def after(token: str = "", call: str = "") -> Response:
        return Response(calls.transfer_of(call), media_type="text/plain") if right(token) else _forbidden()

    async def stream(websocket: WebSocket, token: str = "", call: str = "", agent: str = "") -> None:
        async def caller_of(started: LineStarted) -> Caller:
            passed = started.parameters
            named = agent or passed.get("agent") or (agent_of(passed.get("to", "")) if agent_of else "")
            return Caller(named, passed.get("caller", ""))

        if not right(token):
            await websocket.send_denial_response(_forbidden())
            return
        offered = websocket.scope.get("subprotocols", [])
        await websocket.accept(subprotocol=next((p for p in _SUBPROTOCOLS if p in offered), None))
        await calls.answer(WebSocketLeg(websocket, carrier.codec(call)), caller_of, control)

    if carrier.answer is not None:
        routes.add_api_route(f"/{name}/voice", voice, methods=["GET", "POST"], include_in_schema=False)
    else:
        routes.add_api_route(f"/{name}/next", after, methods=["GET"], include_in_schema=False)
    routes.websocket(f"/{name}/stream")(stream)
    return routes


async def _fields(request: Request) -> dict[str, str]:
    """Those of the query, and of a body that is a form or a JSON object."""
    body = await bounded(request, _MAX_BODY).body()
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        parsed = dict(parse_qsl(body.decode("utf-8", "replace")))
    given = parsed if isinstance(parsed, dict) else {}
    return {**request.query_params, **{k: v for k, v in given.items() if isinstance(v, str)}}


def _either(fields: dict[str, str], *names: str) -> str:
    return next((fields[name] for name in names if fields.get(name)), "")


def _answered(body: Any, media_type: str) -> Response:
    content = body if isinstance(body, str) else orjson.dumps(body)
    return Response(content, media_type=media_type)


def _forbidden() -> Response:
    return Response("The token is missing or wrong.", status_code=403, media_type="text/plain")
