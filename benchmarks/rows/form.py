"""Row 8: upload a form with a large file and a text field."""

from __future__ import annotations

from benchmarks.peers import httpx_client, requests_session, restkit_client
from benchmarks.row import AHEAD, Goal, Row, Target, Work


def by_restkit(target: Target) -> Work:
    client = restkit_client(target)

    def work(target: Target) -> int:
        with open(target.file, "rb") as file:
            response = client.put(target.url, payload={"name": "a name", "file": file})
            response.skip_body()
            return target.size if response.status == 200 else 0

    return work


def by_requests_toolbelt(target: Target) -> Work:
    """Use the encoder of requests-toolbelt: requests itself reads the whole file into memory."""
    from requests_toolbelt import MultipartEncoder

    session = requests_session(target)

    def work(target: Target) -> int:
        with open(target.file, "rb") as file:
            form = MultipartEncoder({"name": "a name", "file": ("file", file)})
            headers = {"Content-Type": form.content_type}
            response = session.put(target.url, data=form, headers=headers)
            return target.size if response.status_code == 200 else 0

    return work


def by_httpx(target: Target) -> Work:
    client = httpx_client(target)

    def work(target: Target) -> int:
        with open(target.file, "rb") as file:
            response = client.put(
                target.url, data={"name": "a name"}, files={"file": file}, timeout=60
            )
            return target.size if response.status_code == 200 else 0

    return work


ROW = Row(
    name="form",
    title="PUT of a form with a file of {size}",
    kind="up",
    peers={
        "restkit": by_restkit,
        "requests-toolbelt": by_requests_toolbelt,
        "httpx": by_httpx,
    },
    goals=(
        Goal("restkit", "requests-toolbelt", AHEAD),
        Goal("restkit", "httpx", AHEAD),
    ),
)
