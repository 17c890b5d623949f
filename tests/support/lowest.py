"""Install the lowest versions that the installed restkit allows, in place of those installed.

`make test-lowest` runs this program. The bounds, also those of extras, come from the metadata of
the installed package.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import requires

from packaging.requirements import Requirement

_EXTRAS = ("", "brotli", "zstd", "socks", "oauth", "idna", "server")


def lowest() -> Iterator[str]:
    """Each run-time requirement, pinned to the lowest version it allows."""
    for requirement in map(Requirement, requires("restkit") or ()):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in _EXTRAS):
            bounds = [part.version for part in requirement.specifier if part.operator == ">="]
            yield f"{requirement.name}=={bounds[0]}"


if __name__ == "__main__":
    pins = sorted(set(lowest()))
    print("lowest:", *pins)
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *pins], check=True)
