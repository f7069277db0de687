"""The real vLLM for tests: where it is, and the bundled chat model on it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from models.catalog import BUNDLED
from models.llm.vllm import VllmChat

VARIABLE = "VLLM_TEST_PYTHON"
_OWN = Path(__file__).parents[2] / ".venv-vllm" / "bin" / "python"

CONTEXT = 32_768
_ARGUMENTS = (
    "--enforce-eager",  # compiling the model takes longer than all its answers here
    # Far more than the model was trained for: it can be made to talk for a minute, and be interrupted.
    "--hf-overrides",
    f'{{"max_position_embeddings": {CONTEXT}}}',
    "--max-model-len",
    str(CONTEXT),
)


def vllm_python() -> str:
    """The interpreter that has vLLM. Fails the test where there is none."""
    python = os.environ.get(VARIABLE) or str(_OWN)
    if not Path(python).exists():
        pytest.fail(f"there is no {python}: scripts/vllm-env makes the environment for vLLM, or {VARIABLE} names one")
    return python


def load_vllm(**options: Any) -> VllmChat:
    """The bundled chat model on vLLM. Takes half a minute. Its context has CONTEXT tokens."""
    return VllmChat.load(
        BUNDLED / "llm" / "tiny", name="tiny-vllm", python=vllm_python(), kv_gib=1, arguments=_ARGUMENTS, **options
    )
