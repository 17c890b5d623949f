"""Public test cases of other projects, which are not in the tree: ``make corpora DATA=FOLDER``."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|[rntf0])")
_CONTROLS = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"f": b"\f", b"0": b"\0"}
_HOST = re.compile(rb"^host[ \t]*:", re.IGNORECASE | re.MULTILINE)
_REQUEST_LINE = re.compile(rb"( HTTP/1\.1\r\n)")


def find_cases(name: str, pattern: str) -> list[Path]:
    """Return the files of a data set; raise FileNotFoundError unless there are some."""
    folder = os.environ.get("RESTKIT_CORPORA")
    if not folder:
        raise FileNotFoundError("RESTKIT_CORPORA must name the folder with the public test cases")
    found = sorted(Path(folder, name).glob(pattern))
    if not found:
        raise FileNotFoundError(f"there is no {pattern} in {folder}/{name}")
    return found


def unescape(data: bytes) -> bytes:
    r"""Return the bytes for escapes such as ``\r`` and ``\xff``."""
    return _ESCAPE.sub(
        lambda found: _CONTROLS.get(found[1]) or bytes.fromhex(found[1][1:].decode()), data
    )


def add_host(data: bytes) -> bytes:
    """Add a Host to requests of HTTP/1.1 without one: few cases are about this field."""
    return data if _HOST.search(data) else _REQUEST_LINE.sub(rb"\1Host: x\r\n", data)


def check_deviations(found: Mapping[str, str], listed: Mapping[str, str]) -> None:
    """Raise AssertionError unless the deviations that were found are those that are listed."""
    lines = [f"not listed: {name}: {found[name]}" for name in found if name not in listed]
    lines += [f"listed, but there is no deviation: {name}" for name in listed if name not in found]
    if lines:
        raise AssertionError("\n".join(lines))
