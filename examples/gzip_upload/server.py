"""Receive files, decompressed while they arrive: ``python server.py --port 5000``."""

from __future__ import annotations

import argparse
import logging
import sys

from restkit.server import receive


def port(text: str) -> int:
    """Return a port number; raise ValueError, which argparse reports."""
    number = int(text)
    if not 0 <= number <= 65535:
        raise ValueError(text)
    return number


def main() -> None:
    parser = argparse.ArgumentParser(description="Receive files by PUT and POST.")
    parser.add_argument("--port", type=port, default=8000, help="the port to listen on (8000)")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="the address to listen on; 0.0.0.0 is every network (127.0.0.1)",
    )
    parser.add_argument(
        "--directory", default="received_files", help="the directory of the files (received_files)"
    )
    parser.add_argument(
        "--max-size",
        type=int,
        default=10 * 1024**3,
        help="the maximum size of a decompressed file, in bytes (10 GiB)",
    )
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        app = receive(options.directory, max_size=options.max_size)
        app.run(options.host, options.port)
    except (OSError, ValueError) as error:
        sys.exit(f"server.py: {error}")


if __name__ == "__main__":
    main()
