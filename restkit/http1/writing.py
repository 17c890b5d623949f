"""Write request heads."""

from __future__ import annotations


def request_head(method: str, target: str, lines: str) -> bytes:
    """The head of a request as it goes out; ``Headers`` has judged the fields already."""
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")
