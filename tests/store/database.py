"""A PostgreSQL server of the tests' own, on a Unix socket."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_OPTIONS = "-c listen_addresses= -c fsync=off -c shared_buffers=16MB -c max_connections=20"


def _program(name: str) -> str:
    """PostgreSQL's own folder comes before the path: Debian keeps the server's programs off it."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    program = str(found[-1]) if found else shutil.which(name)
    assert program, f"the tests need PostgreSQL: no {name} (on Debian: apt-get install postgresql)"
    return program


@contextmanager
def cluster() -> Iterator[str]:
    """The address of an empty database. The server runs until the end of the block."""
    # A Unix socket's path may be 107 bytes long, pytest's folders are longer; and the server refuses to be root.
    with tempfile.TemporaryDirectory(prefix="pg") as name:
        folder = Path(name)
        user = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": name}

        def run(*command: str) -> None:
            subprocess.run(
                command, check=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL, timeout=120, **user
            )

        data = str(folder / "data")
        run(_program("initdb"), "-D", data, "-U", "kammerton", "--auth=trust", "--no-sync", "-E", "UTF8")
        control = _program("pg_ctl")
        run(control, "-D", data, "-w", "-l", f"{name}/log", "-o", f"{_OPTIONS} -k {name}", "start")
        try:
            yield f"postgresql://kammerton@/postgres?host={name}"
        finally:
            run(control, "-D", data, "-w", "-m", "immediate", "stop")
