"""The browser page: static files that are served from here alone, and the voices that it can offer.

Nothing on the page comes from another host, and its content security policy keeps it so: scripts, styles, worklets and
connections are this server's own, and no other site may frame it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request, Response

from models.base import Voice

_FOLDER = Path(__file__).parent / "web"
_INDEX = "index.html"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "worker-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
_HEADERS = {
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in _POLICY.items()),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    # Kept, but asked for again each time: after an update no page runs with half of its modules old.
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True, slots=True)
class _File:
    """content_type: with its charset. tag: entity tag, quotes included."""

    body: bytes
    content_type: str
    tag: str

    def answer(self, request: Request) -> Response:
        """The file, or 304 when the browser has it as it is (RFC 9110, 13.1.2)."""
        headers = {**_HEADERS, "ETag": self.tag}
        asked = (tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(","))
        if self.tag in asked:
            return Response(status_code=304, headers=headers)
        # Set as a header: a media_type would have a second charset added to it.
        return Response(self.body, headers={**headers, "Content-Type": self.content_type})


def router(voices: Sequence[Voice]) -> APIRouter:
    """`/` is the page, `/web/...` what belongs to it, `/voices` the voices by name and language (ISO 639-1)."""
    routes = APIRouter()
    files = {path.name: _read(path) for path in sorted(_FOLDER.iterdir()) if path.suffix in _TYPES}
    listed = [{"name": voice.name, "language": voice.language} for voice in voices]

    @routes.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def page(request: Request) -> Response:
        """The page."""
        return files[_INDEX].answer(request)

    @routes.api_route("/web/{name}", methods=["GET", "HEAD"], include_in_schema=False)
    async def part(name: str, request: Request) -> Response:
        """A script, the style sheet or the icon."""
        file = files.get(name)
        return file.answer(request) if file else Response("Not found\n", 404, _HEADERS, media_type="text/plain")

    @routes.get("/voices")
    async def list_voices() -> dict[str, object]:
        """The voices that a session can ask for."""
        return {"voices": listed}

    return routes


def _read(path: Path) -> _File:
    body = path.read_bytes()
    return _File(body, _TYPES[path.suffix], f'"{hashlib.sha256(body).hexdigest()[:32]}"')
