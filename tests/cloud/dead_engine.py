"""Run by test_fallback.py in a network of its own, which leads nowhere: an engine dies, and a call comes. Prints what
the kernel counted, with the fallback allowed and without."""

from __future__ import annotations

import asyncio
import json
import tempfile

from tests.cloud.house import House, fail
from tests.e2e.airgapped import counted, raise_loopback
from tests.e2e.call import Caller

ELSEWHERE = "192.0.2.1"
"""An address that stands for documentation (RFC 5737)."""
_LEAVING = ("Ip.OutNoRoutes", "Ip6.OutNoRoutes", "Udp.OutDatagrams", "Udp6.OutDatagrams")


async def next_call(house: House) -> None:
    """Somebody who connects, says something, and is told how it ended."""
    caller = Caller(house.server.base_url, {})
    connection = await caller._manager.__aenter__()
    while (await connection.recv()).type not in ("session.created", "error"):
        pass
    content = [{"type": "input_text", "text": "Hello?"}]
    await connection.conversation.item.create(item={"type": "message", "role": "user", "content": content})  # type: ignore[arg-type, list-item]
    await connection.response.create()
    while (await connection.recv()).type not in ("response.done", "error"):
        pass
    await caller._manager.__aexit__(None, None, None)
    await caller._client.close()


def leaving(permits: list[dict[str, str]], audit: str) -> dict[str, int]:
    before = counted()
    house = House(f"wss://{ELSEWHERE}/v1", permits, KAMMERTON_AUDIT__FILE=audit)
    house.kill_model()
    asyncio.run(fail(house.server))
    asyncio.run(next_call(house))
    house.close()
    after = counted()
    return {name: after[name] - before[name] for name in _LEAVING}


def main() -> None:
    raise_loopback()
    permit = {"provider": "openai", "host": ELSEWHERE, "region": "nowhere", "purpose": "fallback"}
    with tempfile.TemporaryDirectory() as folder:
        found = {
            name: leaving(permits, f"{folder}/audit") for name, permits in (("forbidden", []), ("allowed", [permit]))
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
