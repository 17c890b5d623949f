"""Send a file to ``server.py``, compressed while it is read.

python client.py README.md
python client.py --spool README.md http://localhost:5000/
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from urllib.parse import quote

import restkit

CREATED = 201


def put_file(
    url: str, path: str | os.PathLike[str], *, spool: bool = False
) -> restkit.HttpResponse:
    """PUT a file to a URL, compressed by gzip, and return the response of any status.

    The file is read in chunks, and each chunk is compressed and sent before the next is read. The
    payload is chunked, because its length is unknown. If the server responds with 411 or 501,
    restkit sends the same again with its length. Use ``spool=True`` for servers that close the
    connection, hang, or store the chunk framing. It compresses the whole file first, into a
    temporary file if it has more than 1 MiB, and sends it with its length.
    """
    path = Path(path)
    headers = {"Content-Type": "application/octet-stream", "X-Filename": encode_name(path.name)}
    return restkit.put(url, path, headers, compress="gzip", spool=spool)


def encode_name(name: str) -> str:
    """Return a file name for a header; a name that is not ASCII is encoded by RFC 8187.

    >>> encode_name('README.md'), encode_name('bűn.txt')
    ('README.md', "UTF-8''b%C5%B1n.txt")
    """
    plain = name.isascii() and name.isprintable() and name == name.strip()
    return name if plain else "UTF-8''" + quote(os.fsencode(name), safe="")


def main() -> int:
    parser = argparse.ArgumentParser(description="Send a file, compressed while it is read.")
    parser.add_argument("file", help="the file to send")
    parser.add_argument("url", nargs="?", default="http://localhost:8000/")
    parser.add_argument(
        "--spool",
        action="store_true",
        help="compress the whole file first, for servers that need a length",
    )
    options = parser.parse_args()
    try:
        response = put_file(options.url, options.file, spool=options.spool)
    except (restkit.Error, OSError) as error:
        print(f"Could not send request: {error}", file=sys.stderr)
        return 1
    if response.status != CREATED:
        print(f"Could not send request: {response.status}: {response.text}", file=sys.stderr)
        return 1
    print("Request ended successfully")
    return 0


if __name__ == "__main__":
    sys.exit(main())
