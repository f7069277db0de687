"""Twilio's REST API: move a call, end one, make one.

Source: Twilio's reference of the Call resource, through its own package for Python; requests leave through a client
that is handed in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx2
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.http import AsyncHttpClient
from twilio.http.response import Response
from twilio.rest import Client

from server.errors import VoiceError
from server.transports.twilio import dial

US1 = "https://api.twilio.com"
"""What the package believes the address to be."""


class TwilioRest:
    """See ``CallControl``. api_url: where the account's region is. public_url: where Twilio reaches this server.
    client: makes what requests leave through."""

    def __init__(
        self, account_sid: str, auth_token: str, api_url: str, public_url: str, client: Callable[[], httpx2.AsyncClient]
    ) -> None:
        self._public_url = public_url
        # An environment of its own: the package would read variables that are no settings of this server.
        self._twilio = Client(account_sid, auth_token, http_client=_Http(client, api_url), environment={"": ""})

    async def transfer(self, call_id: str, number: str) -> None:
        """See ``CallControl``."""
        await _asked(self._twilio.calls(call_id).update_async(twiml=dial(number, self._public_url)))

    async def hang_up(self, call_id: str) -> None:
        """See ``CallControl``."""
        await _asked(self._twilio.calls(call_id).update_async(status="completed"))

    async def call(self, **form: object) -> str:
        """Make a call; form: as ``twilio.rest`` names the fields. The call's id. Raises VoiceError."""
        return str((await _asked(self._twilio.calls.create_async(**form))).sid)


async def _asked(request: Any) -> Any:
    try:
        return await request
    except httpx2.RequestError as error:
        raise VoiceError(f"Twilio cannot be reached: {str(error) or type(error).__name__}") from None
    except TwilioRestException as error:
        raise VoiceError(f"Twilio refuses: status {error.status}, {error.msg[:200]}") from None
    except (TwilioException, ValueError) as error:
        raise VoiceError(f"Twilio's answer cannot be read: {str(error)[:200]}") from None


class _Http(AsyncHttpClient):  # type: ignore[misc]  # the package comes without types
    """The package's requests, over the client that is handed in."""

    def __init__(self, client: Callable[[], httpx2.AsyncClient], api_url: str) -> None:
        self.is_async = True
        self._client, self._api_url = client, api_url

    async def request(
        self,
        method: str,
        uri: str,
        params: Any = None,
        data: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,
        allow_redirects: bool = False,
    ) -> Response:
        """See AsyncHttpClient."""
        url = self._api_url + uri.removeprefix(US1)
        async with self._client() as client:
            answer = await client.request(
                method, url, params=params, data=data, headers=headers, auth=auth, follow_redirects=False
            )
        return Response(answer.status_code, answer.text, answer.headers)
