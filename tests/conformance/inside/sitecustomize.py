"""Imported by every interpreter of a client: whatever is not on this machine cannot be reached.

An audit hook hears every connect and every look-up of a name in the process, whoever makes it, and
cannot be removed (docs.python.org/3/library/audit_events.html). What it refuses is written down,
because clients swallow the failures of their telemetry; a run with a refusal fails.
"""

import os
import sys
from pathlib import Path

_HERE = ("localhost", "127.0.0.1", "::1")


def _refuse(event: str, arguments: tuple) -> None:
    if event == "socket.connect":
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else None  # else a path: a Unix socket
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    if host is None or host in _HERE:
        return
    with Path(os.environ["CONFORMANCE_REFUSED"]).open("a") as refused:
        refused.write(f"{host}\n")
    raise ConnectionRefusedError(f"{host} is not on this machine")


sys.addaudithook(_refuse)
