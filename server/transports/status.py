"""State of the server over HTTP: whether it is alive and ready, which models it has, and its metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Response
from fastapi.params import Depends
from fastapi.responses import JSONResponse

from server.transports.rest import ApiRoute


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A row of /v1/models. created: Unix seconds; owned_by: where the weights come from."""

    id: str
    created: int
    owned_by: str


def router(
    ready: Callable[[], str | None],
    models: Callable[[], Sequence[ModelEntry]],
    metrics: Callable[[], tuple[bytes, str]] | None,
    guards: Sequence[Depends] = (),
    *,
    open_metrics: bool = True,
) -> APIRouter:
    """ready: None when every engine has answered, else what is missing. models: what can be asked for now.
    metrics: the page and its content type.

    guards: what must let a request pass that asks for more than whether the server is up; open_metrics: these do not
    stand before the metrics.
    """
    routes = APIRouter(route_class=ApiRoute)
    guarded = list(guards)

    @routes.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process is alive."""
        return {"status": "ok"}

    @routes.get("/readyz")
    async def readyz() -> JSONResponse:
        """200 when a caller would be answered now, else 503 with the reason."""
        missing = ready()
        return JSONResponse({"status": missing or "ready"}, 503 if missing else 200)

    @routes.get("/v1/models", dependencies=guarded)
    async def list_models() -> dict[str, object]:
        """What is loaded, in the OpenAI list shape."""
        return {"object": "list", "data": [_model(entry) for entry in models()]}

    @routes.get("/v1/models/{name:path}", dependencies=guarded)
    async def get_model(name: str) -> JSONResponse:
        """One model."""
        found = [entry for entry in models() if entry.id == name]
        if found:
            return JSONResponse(_model(found[0]))
        known = ", ".join(entry.id for entry in models())
        error = {
            "message": f"The model '{name}' does not exist; this server has: {known}.",
            "type": "invalid_request_error",
            "param": "model",
            "code": "model_not_found",
        }
        return JSONResponse({"error": error}, 404)

    if metrics is not None:
        page = metrics

        @routes.get("/metrics", dependencies=[] if open_metrics else guarded)
        async def show_metrics() -> Response:
            """The Prometheus page."""
            body, content_type = page()
            return Response(body, media_type=content_type)

    return routes


def _model(entry: ModelEntry) -> dict[str, object]:
    return {"id": entry.id, "object": "model", "created": entry.created, "owned_by": entry.owned_by}
