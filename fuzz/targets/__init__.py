"""The fuzz targets by name."""

from __future__ import annotations

from fuzz.target import Target
from fuzz.targets import requests, responses

TARGETS: dict[str, Target] = {
    "responses": responses.TARGET,
    "requests": requests.TARGET,
}
