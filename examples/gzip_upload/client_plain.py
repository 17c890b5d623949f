"""Send a file to ``server.py`` uncompressed: ``python client_plain.py README.md``."""

from __future__ import annotations

import sys
from pathlib import Path

import restkit


def put_file(url: str, path: Path) -> restkit.HttpResponse:
    """PUT a file to a URL, with its name in the header ``X-Filename``."""
    headers = {"Content-Type": "application/octet-stream", "X-Filename": path.name}
    return restkit.put(url, path, headers)


def main(file: str, url: str = "http://localhost:8000/") -> None:
    response = put_file(url, Path(file))
    if response.status == 201:
        print("Request ended successfully")
    else:
        sys.exit(f"Could not send request: {response.status}: {response.text}")


if __name__ == "__main__":
    main(*sys.argv[1:])
