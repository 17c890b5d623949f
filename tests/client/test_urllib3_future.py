"""Requests beside niquests, whose urllib3-future is what ``import urllib3`` returns.

The Makefile runs the tests of the client's core in the same environment.
"""

from __future__ import annotations

from importlib.metadata import version

import pytest
import urllib3
import urllib3.connection

from restkit import Client
from restkit.timeouts import Timeout, as_timeout
from support import ScriptedServer, response
from support.peer import Peer

pytestmark = pytest.mark.peer(name="niquests")

OK = response(b"ok")
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"


def test_urllib3_future_is_in_the_place_of_urllib3():
    assert urllib3.__version__ == version("urllib3-future")
    # The difference that broke every request.
    options = urllib3.connection.HTTPConnection.default_socket_options
    assert {len(each) for each in options} == {4}


def test_restkit_and_niquests_send_to_the_same_server(tls, certs, client):
    import niquests

    scheme = "https" if tls else "http"
    with ScriptedServer.serving(OK, ssl_context=tls) as server:
        url = f"{scheme}://localhost:{server.port}/"
        assert client.get(url).body == b"ok"
        with niquests.Session(disable_http2=True, disable_http3=True) as session:
            assert session.get(url, verify=str(certs.ca_file)).content == b"ok"
        assert client.get(url).body == b"ok"


def test_retry_and_timeout_of_urllib3_future_count(tls, client):
    scheme = "https" if tls else "http"
    with ScriptedServer.serving(BUSY, BUSY, OK, ssl_context=tls) as server:
        result = client.get(
            f"{scheme}://localhost:{server.port}/",
            retries=urllib3.Retry(2, status_forcelist=[503], backoff_factor=0),
            timeout=urllib3.Timeout(connect=60, read=60),
        )
        assert (result.status, result.body) == (200, b"ok")
    assert as_timeout(urllib3.Timeout(connect=1)) == Timeout(1, 60)


def test_tunnel_through_a_proxy_is_opened(certs, client):
    def serve(peer: Peer) -> None:
        assert peer.read_head().startswith(b"CONNECT localhost:443 HTTP/1.1\r\n")
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        peer.secure(certs.server)
        peer.read_request()
        peer.send(OK)

    with ScriptedServer(serve) as proxy:
        result = client.get("https://localhost/", proxy=f"http://127.0.0.1:{proxy.port}")
        assert result.body == b"ok"


def test_verify_false_warns_with_the_class_of_urllib3_future(certs):
    from urllib3.exceptions import InsecureRequestWarning

    with ScriptedServer.serving(OK, ssl_context=certs.server) as server:
        with pytest.warns(InsecureRequestWarning, match="verify=False"):
            client = Client(verify=False, min_tls="1.3", cert=str(certs.client_file))
        with client:
            assert client.get(f"https://localhost:{server.port}/").body == b"ok"
