"""Vonage's REST API: move a call, and end one.

Source: Vonage's reference of the Voice API, "Modify an in progress call", and its guide to JWTs for applications.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx2
import jwt

from server.errors import VoiceError

_VALID_S = 60


class VonageRest:
    """See ``CallControl``. private_key: of the application, in PEM. number: shown to whom the call is handed to, "" for
    none. client: makes what requests leave through. Raises ValueError for what is no RSA key."""

    def __init__(
        self,
        application_id: str,
        private_key: str,
        number: str,
        api_url: str,
        client: Callable[[], httpx2.AsyncClient],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._application, self._key, self._number = application_id, private_key, number
        self._api_url, self._client, self._clock = api_url, client, clock
        self._token()

    async def transfer(self, call_id: str, number: str) -> None:
        """See ``CallControl``."""
        connect: dict[str, Any] = {"action": "connect", "endpoint": [{"type": "phone", "number": number.lstrip("+")}]}
        if self._number:
            connect["from"] = self._number.lstrip("+")
        await self._modify(call_id, {"action": "transfer", "destination": {"type": "ncco", "ncco": [connect]}})

    async def hang_up(self, call_id: str) -> None:
        """See ``CallControl``."""
        await self._modify(call_id, {"action": "hangup"})

    async def _modify(self, call_id: str, change: dict[str, Any]) -> None:
        url = f"{self._api_url}/v1/calls/{quote(call_id, safe='')}"
        headers = {"Authorization": f"Bearer {self._token()}"}
        try:
            async with self._client() as client:
                answer = await client.put(url, json=change, headers=headers)
        except httpx2.RequestError as error:
            raise VoiceError(f"Vonage cannot be reached: {str(error) or type(error).__name__}") from None
        if not answer.is_success:
            raise VoiceError(f"Vonage refuses: status {answer.status_code}, {answer.text[:200]}")

    def _token(self) -> str:
        now = int(self._clock())
        claims = {"application_id": self._application, "iat": now, "exp": now + _VALID_S, "jti": secrets.token_hex(16)}
        try:
            return jwt.encode(claims, self._key, algorithm="RS256")
        except (jwt.PyJWTError, TypeError) as error:
            raise ValueError(str(error)) from None
