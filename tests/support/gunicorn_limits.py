"""A configuration of gunicorn with low limits."""

from __future__ import annotations

from restkit.server import on_gunicorn
from restkit.server.engine import request_limits

from . import limits

request_limits._RATE_SECONDS = limits.RATE_SECONDS
on_gunicorn.TIMEOUT = limits.TIMEOUT
on_gunicorn.MIN_RATE = limits.MIN_RATE
on_gunicorn.MAX_REQUEST_SECONDS = limits.MAX_REQUEST_SECONDS
on_gunicorn.MAX_SPOOL = limits.MAX_SPOOL

worker_class = on_gunicorn.worker_class
pre_request = on_gunicorn.pre_request
post_worker_init = on_gunicorn.post_worker_init

threads = 4
control_socket_disable = True
