"""Sends a file to ``server.py``, compressed while it is read.

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
    """PUT a file to a URL, gzipped on its way; the answer, whatever its status is.

    The file is read in blocks, and each block leaves compressed before the next is read: in
    chunks, since nobody knows yet how long the whole will be. A server that wants to know, and
    says so (411) or says that it knows no chunks (501), is sent the same again with its length.
    ``spool=True`` is for servers that say neither, but close the connection, hang, or take the
    chunks for the file: all of it is compressed first, into a temporary file if it has more than
    1 MiB, and goes with its length at once.
    """
    path = Path(path)
    headers = {"Content-Type": "application/octet-stream", "X-Filename": in_ascii(path.name)}
    return restkit.put(url, path, headers, compress="gzip", spool=spool)


def in_ascii(name: str) -> str:
    """A file's name as a header can say it; what is not ASCII as RFC 8187 has it.

    >>> in_ascii('README.md'), in_ascii('bűn.txt')
    ('README.md', "UTF-8''b%C5%B1n.txt")
    """
    plain = name.isascii() and name.isprintable() and name == name.strip()
    return name if plain else "UTF-8''" + quote(os.fsencode(name), safe="")


def main() -> int:
    parser = argparse.ArgumentParser(description="Send a file, compressed while it is read.")
    parser.add_argument("file", help="the file to send")
    parser.add_argument("url", nargs="?", default="http://localhost:8000/")
    parser.add_argument(
        "--spool", action="store_true", help="compress all of it first, for servers without chunks"
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
