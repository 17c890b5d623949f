"""The fuzz targets by name."""

from __future__ import annotations

from fuzz.target import Target
from fuzz.targets import (
    cookies,
    decoders,
    forms_read,
    forms_written,
    requests,
    responses,
    urls,
    zip_written,
)

TARGETS: dict[str, Target] = {
    "responses": responses.TARGET,
    "requests": requests.TARGET,
    "decoders": decoders.TARGET,
    "urls": urls.TARGET,
    "cookies": cookies.TARGET,
    "forms_written": forms_written.TARGET,
    "forms_read": forms_read.TARGET,
    "zip_written": zip_written.TARGET,
}
