"""httpbin on loopback, under gunicorn: an application that many clients were tried on."""

from __future__ import annotations

from pathlib import Path

from .gunicorn import Gunicorn


class Httpbin(Gunicorn):
    """A context manager: `url('/get')` is where one of its pages is."""

    def __init__(self, folder: Path) -> None:
        gthread = ("--worker-class", "gthread", "--threads", "8", "--workers", "1")
        super().__init__(folder, "httpbin:app", *gthread, "--no-control-socket")
