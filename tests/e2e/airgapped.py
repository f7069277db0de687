"""Run by test_airgapped.py in namespaces of its own: WEIGHTS QUESTION.WAV.

There is no network but the loopback, and the source brings no weights. Prints one JSON object: what the caller heard,
and what the kernel counted meanwhile.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

from tests.server_process import ROOT, start, stop

_SIOCSIFFLAGS, _UP = 0x8914, 0x1
_COUNTED = ("Ip.OutNoRoutes", "Ip6.OutNoRoutes", "Tcp.ActiveOpens", "Udp.OutDatagrams", "Udp6.OutDatagrams")


def raise_loopback() -> None:
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _UP))


def counted() -> dict[str, int]:
    """The counters of this network namespace, over all of its processes (proc(5), /proc/net/snmp)."""
    lines = [line.split() for line in Path("/proc/net/snmp").read_text().splitlines()]
    found = {}
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        found |= {
            f"{names[0]}{name}".replace(":", "."): int(value) for name, value in zip(names[1:], values[1:], strict=True)
        }
    six = Path("/proc/net/snmp6")
    for name, value in (line.split() for line in six.read_text().splitlines()) if six.exists() else ():
        kind = name[: name.index("6") + 1]
        found[f"{kind}.{name.removeprefix(kind)}"] = int(value)
    return {name: found.get(name, 0) for name in _COUNTED}


def try_to_leave() -> bool:
    """Whether a machine elsewhere could be reached (an address that stands for documentation, RFC 5737)."""
    with socket.socket() as elsewhere:
        return elsewhere.connect_ex(("192.0.2.1", 443)) == 0


def main(weights: str, question: str) -> None:
    raise_loopback()
    subprocess.run(["mount", "-t", "tmpfs", "none", ROOT / "models" / "bundled"], check=True)
    # Some libraries report home only where it is not set.
    os.environ.pop("CI", None)
    before = counted()
    server = start(KAMMERTON_WEIGHTS_DIR=weights, HF_HUB_OFFLINE="0", ORT_DISABLE_TELEMETRY="0")
    environments = [
        dict(
            variable.decode().split("=", 1)
            for variable in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            if variable
        )
        for pid in server.children()
    ]
    url = server.base_url.replace("http", "ws") + "/v1/realtime"
    talk = [sys.executable, "-m", "server", "talk", question, "--json", "--url", url]
    done = subprocess.run(talk, cwd=ROOT, capture_output=True, text=True)
    code = stop(server)
    after = counted()
    reached = try_to_leave()
    print(
        json.dumps(
            {
                "heard": [json.loads(line) for line in done.stdout.splitlines()],
                "errors": done.stderr,
                "exit_code": code,
                "environments": environments,
                "counted": {name: after[name] - before[name] for name in _COUNTED},
                "reached": reached,
                "counted_then": {name: value - after[name] for name, value in counted().items()},
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
