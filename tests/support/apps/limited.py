"""An application that records how its requests ended, for tests of the limits of an engine."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from restkit.errors import ClientDisconnected

_seen: list[tuple[str, int]] = []


def nameless_bytes() -> int:
    """Return the bytes in unlinked files that this process has open."""
    total = 0
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if os.readlink(f"/proc/self/fd/{number}").endswith("(deleted)"):
                total += os.stat(f"/proc/self/fd/{number}").st_size
    return total


def app(environ: Any, start_response: Any) -> Iterable[bytes]:
    """Respond without an end to /endless, read without an end at /reads, or echo."""
    path = environ["PATH_INFO"]
    if path == "/seen":
        start_response("200 OK", [])
        return [json.dumps(_seen).encode()]
    if path in ("/", "/exit"):
        if path == "/exit":
            raise SystemExit(2)
        start_response("200 OK", [])
        return [b"fine"]
    before = nameless_bytes()
    try:
        read = environ["wsgi.input"].read1
        if path == "/reads":
            while read(65536):
                pass
        write = start_response("200 OK", [])
        while data := bytes(1 << 20) if path == "/endless" else read(65536):
            write(data)
    except ClientDisconnected as exc:
        _seen.append((str(exc), nameless_bytes() - before))
        raise
    return []
