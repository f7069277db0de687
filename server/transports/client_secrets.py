"""``POST /v1/realtime/client_secrets``: a short-lived key for a browser, with the session that it opens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response

from server.core.events import SessionConfig
from server.errors import ClientError
from server.transports.auth import Gate
from server.transports.rest import ApiRoute, bounded
from server.transports.wire import new_id
from server.transports.wire_fields import MAX_DEPTH, Fields, too_deep
from server.transports.wire_objects import session_object
from server.transports.wire_session import read_session

_MAX_BODY = 256 * 1024
_TTL_S = 600
_MIN_TTL_S, _MAX_TTL_S = 10, 7200
_NOT_BEGUN = 0
"""``expires_at`` of a session that is only described: it is set when one begins."""


def router(gate: Gate, base: SessionConfig, paths: tuple[str, ...]) -> APIRouter:
    """base: what a session is configured as before its client says anything. paths: those of the sockets."""
    routes = APIRouter(route_class=ApiRoute)

    async def create(request: Request) -> Response:
        """A client secret."""
        grant = await gate.http(request)
        body = await bounded(request, _MAX_BODY).body()
        fields = _parsed(body)
        seconds = _seconds(fields)
        session = fields.object("session")
        config = base if session is None else _bound(session, base)
        value, expires_at = grant.issue(config, seconds, len(body))
        shown = session_object(config, new_id("sess"), config.model or "kammerton", _NOT_BEGUN)
        answer = {"value": value, "expires_at": expires_at, "session": shown}
        return Response(
            orjson.dumps(answer, default=dict), media_type="application/json", headers={"Cache-Control": "no-store"}
        )

    for path in paths:
        routes.post(f"{path}/client_secrets")(create)
    return routes


def _parsed(body: bytes) -> Fields:
    try:
        values = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError as error:
        raise ClientError("invalid_json", f"The body is not valid JSON: {error}.") from None
    if not isinstance(values, dict):
        raise ClientError("invalid_value", "The body must be a JSON object.")
    if too_deep(values):
        raise ClientError("invalid_value", f"The body is nested more than {MAX_DEPTH} levels deep.")
    return Fields(values)


def _seconds(fields: Fields) -> int:
    """``expires_after``: 600 s if it says nothing."""
    wish = fields.object("expires_after") or Fields({})
    wish.choice("anchor", ("created_at",))
    return wish.integer("seconds", _MIN_TTL_S, _MAX_TTL_S) or _TTL_S


def _bound(session: Fields, base: SessionConfig) -> SessionConfig:
    changes: dict[str, Any] = read_session(session, base, base.extras)
    return replace(base, **changes, model=session.text("model") or base.model)
