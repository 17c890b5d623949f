"""``download``: save a URL to a file, continue it later, and never mix two versions."""

from __future__ import annotations

import errno
import os
import ssl
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from time import monotonic
from typing import IO, Any, Literal, NamedTuple, TypedDict

from restkit.annotations import Unpack, Urllib3Timeout
from restkit.auth.auth import Auth
from restkit.client.build import header_pairs
from restkit.client.client import Client
from restkit.client.functions import default_client
from restkit.client.option_checks import check_bool, check_positive
from restkit.client.options import GivenHeaders
from restkit.errors import IntegrityError, RequestError
from restkit.io.files import is_special_file
from restkit.message.response import HttpResponse
from restkit.network.options import AddressCheck
from restkit.network.proxy import Proxy
from restkit.progress import Progress, ProgressCallback, as_progress
from restkit.timeouts import as_timeout
from restkit.transfer.attempts import Attempts
from restkit.transfer.part_file import PartFile
from restkit.transfer.plan import parse_expected_digest
from restkit.transfer.record import Source
from restkit.transfer.stream import StreamTarget
from restkit.url.query import Params
from restkit.url.url import GivenURL

_OWN_FIELDS = frozenset(("range", "if-range", "accept-encoding", "te"))
_VARIANT_FIELDS = frozenset(("accept", "accept-language"))


class DownloadOptions(TypedDict, total=False):
    """The request options that a download accepts."""

    timeout: float | tuple[float | None, float | None] | Urllib3Timeout | None
    params: Params | None
    headers: GivenHeaders | None
    verify: bool | str | os.PathLike[str]
    cert: str | tuple[str, str] | tuple[str, str, str] | None
    ssl_context: ssl.SSLContext | None
    fingerprint: str | None
    min_tls: Literal["1.2", "1.3"] | ssl.TLSVersion | None
    follow_redirect: bool
    max_follow_redirect: int
    force_follow_redirect: bool
    follow_downgrade: bool
    keep_headers: Iterable[str]
    max_body: int | None
    auth: Auth | tuple[str, str] | Callable[..., object] | Literal["netrc"] | None
    proxy: Proxy | str | None
    check_address: AddressCheck | None
    filters: object


class Download(NamedTuple):
    """A complete download.

    ``path`` is None for a file object and ``'-'``. ``digest`` is the digest that was checked, as
    ``sha-256=`` and hex, or None. ``resumed_from`` is the number of bytes that an earlier call had
    left. ``status`` is that of the last response. ``restarts`` has a reason for each time that
    the download discarded its bytes.
    """

    path: str | None
    size: int
    status: int
    etag: str | None
    digest: str | None
    resumed_from: int
    tries: int
    seconds: float
    restarts: tuple[str, ...] = ()


def download(
    url: GivenURL,
    path: str | os.PathLike[str] | IO[bytes],
    *,
    resume: bool = True,
    digest: str | None = None,
    progress: Progress | ProgressCallback | None = None,
    overwrite: bool = True,
    durable: bool = False,
    client: Client | None = None,
    max_tries: int = 8,
    **options: Unpack[DownloadOptions],
) -> Download:
    """Save the content of a URL to ``path``, and return a ``Download``; see :doc:`/transfers`.

    After a lost connection or a temporary status, it continues at the first missing byte, until
    ``max_tries`` attempts in a row bring no new bytes. A later call with the same URL and path
    continues, unless ``resume`` is False. The file has its name only when all bytes are there and
    match ``digest``.

    >>> import os, tempfile
    >>> from restkit.server.response import text
    >>> from restkit.testing import LocalServer
    >>> with LocalServer() as server, tempfile.TemporaryDirectory() as folder:
    ...     @server.app.get('/')
    ...     def hello(request):
    ...         return text('hello')
    ...     download(server.url, os.path.join(folder, 'a.txt')).size
    5
    """
    began = monotonic()
    for name, value in (("resume", resume), ("overwrite", overwrite), ("durable", durable)):
        check_bool(name, value)
    check_positive("max_tries", max_tries)
    expected = parse_expected_digest(digest)
    callbacks = as_progress(progress)
    given: dict[str, Any] = dict(options)
    if unknown := sorted(given.keys() - DownloadOptions.__optional_keys__):
        raise TypeError(f"download() has no option {unknown[0]!r}")
    pairs = header_pairs(given.pop("headers", None) or ())
    for name, _ in pairs:
        if name.lower() in _OWN_FIELDS:
            raise RequestError(f"a download sets the header {name} itself; got it in headers=")
    sender = default_client() if client is None else client
    timeout = as_timeout(given.pop("timeout")) if "timeout" in given else sender.timeout
    variant = [f"{name}: {value!s}" for name, value in pairs if name.lower() in _VARIANT_FIELDS]
    source = Source(str(sender.resolve_url(url, given.get("params"))), tuple(variant))

    def send(headers: dict[str, str], seconds: float | None) -> HttpResponse:
        return sender.get(
            url,
            headers=[*pairs, *headers.items()],
            timeout=timeout._replace(total=seconds),
            max_tries=1,
            retries=None,
            progress=None,
            response_class=None,
            decompress=True,
            **given,
        )

    target = _open_target(path, source, resume, overwrite, durable, expected)
    resumed_from = target.held
    attempts = Attempts(
        source,
        target,
        send,
        max_tries=max_tries,
        total_seconds=timeout.total,
        progress=None if callbacks is None else callbacks.received,
    )
    try:
        attempts.run()
        checked = attempts.check_digest(expected)
        size, record = target.held, target.record
        final_path = target.finish()
    except IntegrityError:
        target.remove()
        raise
    except BaseException:
        target.suspend()
        raise
    return Download(
        final_path,
        size,
        attempts.status,
        None if record is None else record.version.etag,
        checked,
        resumed_from,
        attempts.tries,
        monotonic() - began,
        tuple(attempts.restarts),
    )


def _open_target(
    path: str | os.PathLike[str] | IO[bytes],
    source: Source,
    resume: bool,
    overwrite: bool,
    durable: bool,
    expected: tuple[str, bytes] | None,
) -> PartFile | StreamTarget:
    """Return the target of a download; raise before anything is requested."""
    algorithms = () if expected is None else expected[:1]
    if not isinstance(path, (str, os.PathLike)):
        return StreamTarget(path, algorithms)
    given = os.fsdecode(path)
    if given == "-":
        return StreamTarget(sys.stdout.buffer, algorithms)
    if not given:
        raise FileNotFoundError(errno.ENOENT, "a download needs a path; got an empty one", given)
    real = os.path.realpath(given)
    if os.path.isdir(real):
        return PartFile(real, "", source, resume=resume, replace=False, durable=durable)
    if is_special_file(real):
        file = open(real, "wb", buffering=0)  # noqa: SIM115  # closed by the target
        return StreamTarget(file, algorithms, closes=True)
    with suppress(FileNotFoundError):
        os.lstat(real)  # raises for a name that is too long, or in a folder that cannot be searched
    folder, name = os.path.split(real)
    if given.endswith(os.sep) or not name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), given)
    if not overwrite and os.path.lexists(given):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), given)
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, "the folder of the file is missing", given)
    return PartFile(folder, name, source, resume=resume, replace=overwrite, durable=durable)
