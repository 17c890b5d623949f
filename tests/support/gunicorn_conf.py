"""A configuration of gunicorn that imports restkit's, as a user writes it."""

from __future__ import annotations

from restkit.server import on_gunicorn

on_gunicorn.TIMEOUT = 2.0
on_gunicorn.WEBSOCKETS = True

worker_class = on_gunicorn.worker_class
pre_request = on_gunicorn.pre_request
post_worker_init = on_gunicorn.post_worker_init

threads = 8
control_socket_disable = True
errorlog = "errors.log"
accesslog = "access.log"
access_log_format = "%(m)s %(U)s %(s)s %(B)s"
