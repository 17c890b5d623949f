"""nginx as a proxy before the server, with its buffers and without them."""

from __future__ import annotations

import hashlib
import random

import pytest

import restkit
from restkit.server import App, serve
from restkit.server.response import stream
from support.nginx import Nginx, find_nginx
from support.peer import HANG_BOUND

pytestmark = pytest.mark.skipif(find_nginx() is None, reason="nginx is not installed")

MIB = 1 << 20

CONFIG = """
{user}
daemon off;
worker_processes 1;
error_log {prefix}/error.log warn;
pid {prefix}/nginx.pid;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    uwsgi_temp_path {prefix}/uwsgi;
    scgi_temp_path {prefix}/scgi;
    client_max_body_size 0;
    server {{
        listen 127.0.0.1:{port};
        listen 127.0.0.1:{tls_port};
        location = /small {{ return 200 'Hello, world!'; }}
        location / {{ proxy_pass {upstream}; proxy_http_version 1.1; {options} }}
    }}
}}
"""


class ProxyingNginx(Nginx):
    """nginx that passes all requests except /small to ``upstream``."""

    def __init__(self, folder, certs, upstream, options):
        self._names = {"upstream": upstream, "options": options}
        super().__init__(folder, certs)

    def _config(self, certs):
        text = super()._config(certs)
        return CONFIG.format(
            user=text.split("\n", 2)[1],
            prefix=self.prefix,
            port=self.port,
            tls_port=self.tls_port,
            **self._names,
        )


@pytest.mark.parametrize(
    "options",
    ["", "proxy_request_buffering off; proxy_buffering off;"],
    ids=["buffering", "not buffering"],
)
def test_echo_of_20_MiB_by_a_handler_that_does_not_stream(options, tmp_path, certs):
    body = random.Random(20).randbytes(20 * MIB)
    app = App()

    @app.post("/echo")
    def echo(request):
        return stream(request.body_file)

    with serve(app) as server, ProxyingNginx(tmp_path, certs, server.url, options) as nginx:
        for payload in (body, iter([body])):
            response = restkit.post(nginx.url("/echo"), payload, timeout=HANG_BOUND)
            assert hashlib.sha256(response.body).digest() == hashlib.sha256(body).digest()
