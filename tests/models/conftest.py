"""What several test files of the models share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from models.llm.vllm import VllmChat
from tests.models.vllm_env import load_vllm


@pytest_asyncio.fixture(loop_scope="session", scope="package")
async def vllm_chat() -> AsyncIterator[VllmChat]:
    """The bundled chat model on a real vLLM, which takes half a minute to start: four answers at once, two may wait."""
    model = load_vllm(sequences=4, queue=2)
    yield model
    await model.close()
