"""What a request carries beside itself: the options of a call, checked and filled in."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from restkit.io.spool import DEFAULT_MEMORY_SIZE, Spool
from restkit.network.options import Network, TLSOptions
from restkit.payload.spooled import SpoolMode
from restkit.timeouts import Timeout

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from restkit.auth.auth import Auth
    from restkit.client.filters import Filter
    from restkit.client.retries import RetryPolicy
    from restkit.message.response import HttpResponse
    from restkit.network.proxy import Proxy
    from restkit.progress import Progress
    from restkit.url.url import URL


class Settings(NamedTuple):
    """The options, as ``choices.py`` has checked them; a change makes new ones."""

    timeout: Timeout = Timeout()

    decompress: bool = True
    spool_size: int = DEFAULT_MEMORY_SIZE
    spool_dir: str | None = None
    max_body: int | None = None

    tls: TLSOptions = TLSOptions()
    network: Network = Network()
    resolve: Mapping[str, str] | None = None
    proxy: Callable[[URL], Proxy | None] | None = None

    expect_continue: bool | None = None
    keeping: SpoolMode = SpoolMode.NOTHING
    compress: str | None = None
    content_digest: bool | None = None
    progress: Progress | None = None

    follow_redirect: bool = True
    max_follow_redirect: int = 10
    force_follow_redirect: bool = False
    follow_downgrade: bool = True
    keep_headers: frozenset[str] = frozenset()

    max_tries: int = 3
    wait_tries: float = 0.3
    max_wait: float = 60.0
    retry_unsafe: bool = False
    retries: RetryPolicy | None = None

    auth: Auth | None = None
    filters: tuple[Filter, ...] = ()

    response_class: type[HttpResponse] | None = None

    def new_spool(self) -> Spool:
        """A spool as the options want it."""
        return Spool(self.spool_size, self.spool_dir)
