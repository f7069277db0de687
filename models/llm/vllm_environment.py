"""The Python environment of vLLM: which interpreter has it, and what of this process' environment it gets."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from models.base import EngineError
from models.offline import SWITCHES

REQUIREMENT = "vllm>=0.32,<0.34"
"""As in pyproject.toml."""

_ASK_S = 60.0


def find_python(python: Path | str | None, name: str) -> str:
    """Path of an interpreter that has vLLM. Raises EngineError, with the command that installs it, for one without."""
    if python is None:
        command = shutil.which("vllm")
        elsewhere = command is not None and importlib.util.find_spec("vllm") is None
        python = Path(command).with_name("python") if command and elsewhere else sys.executable
    found = shutil.which(str(python))
    python = Path(found).absolute() if found else python  # a link is not followed: it is what makes an environment
    try:
        # Elsewhere than here, where the interpreter would take this project's folders for modules.
        looked = subprocess.run(
            [str(python), "-c", "import importlib.util as u, sys; sys.exit(3 * (u.find_spec('vllm') is None))"],
            cwd=tempfile.gettempdir(),
            env=environment(),
            capture_output=True,
            timeout=_ASK_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        install = f"python3 -m venv FOLDER && FOLDER/bin/pip install '{REQUIREMENT}'"
        raise EngineError(name, f"vLLM's Python cannot be run ({error}); to make one: {install}") from error
    if looked.returncode != 0:
        raise EngineError(name, f"{python} has no vLLM; to install it: {python} -m pip install '{REQUIREMENT}'")
    return str(python)


def environment(kv_gib: int | None = None) -> dict[str, str]:
    """This process' environment without what is meant for this Python and for Kammerton; no hub, no reports home."""
    ours = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
    kept = {key: value for key, value in os.environ.items() if key not in ours and not key.startswith("KAMMERTON_")}
    without_gpu = {} if kv_gib is None else {"VLLM_CPU_KVCACHE_SPACE": str(kv_gib)}
    return (
        kept
        | without_gpu
        | dict(SWITCHES)
        | {
            "VLLM_HOST_IP": "127.0.0.1",
            # Longer than our side keeps a connection, so that it is always we who close it.
            "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "600",
            "NO_COLOR": "1",
            "PYTHONUNBUFFERED": "1",
        }
    )
