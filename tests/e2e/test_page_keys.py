"""The page on a server that asks for keys: it lives on a client secret."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.browser import chromium
from tests.e2e.conftest import Server, start, stop

KEY = "sk-" + "0123456789abcdef" * 3
ANSWERED = "document.querySelector('.line.answer.done')"


def client_secret(server: Server) -> str:
    """What an operator's own server would get for a browser."""
    request = urllib.request.Request(
        server.base_url + "/v1/realtime/client_secrets", b"{}", {"Authorization": f"Bearer {KEY}"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(json.load(answer)["value"])


@pytest.fixture
def locked_server() -> Iterator[Server]:
    """A server that asks for a key."""
    running = start(KAMMERTON_AUTH__KEY=KEY)
    yield running
    assert stop(running) == 0


async def test_a_server_with_keys_is_talked_to_with_a_client_secret_that_leaves_no_trace(
    locked_server: Server, tmp_path: Path
):
    async with chromium(tmp_path) as page:
        await page.open(locked_server.base_url + "/")
        await page.key("/")
        await page.write("Are you a real person?")
        await page.key("Enter")
        assert "client secret" in await page.until("document.getElementById('fault-text').textContent")
        assert await page.evaluate("document.getElementById('typed').value") == "Are you a real person?"
        secret = client_secret(locked_server)
        await page.open("about:blank")
        await page.open(f"{locked_server.base_url}/#{secret}")
        await page.key("/")
        await page.write("Are you a real person?")
        await page.key("Enter")
        await page.until(ANSWERED)
        (handshake,) = page.handshakes
        assert handshake["Sec-WebSocket-Protocol"] == f"realtime, openai-insecure-api-key.{secret}"
        kept = await page.evaluate("location.href + JSON.stringify(localStorage) + document.cookie")
        assert secret not in kept
