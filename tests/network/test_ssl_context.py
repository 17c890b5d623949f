"""SSL contexts, also under truststore's and pyOpenSSL's changes to other modules."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import pytest

from restkit.io.ssl_context import has_separate_handshake, new_context, standard_class
from restkit.network.options import TLSOptions, check_tls_options
from restkit.network.tls import get_ssl_context
from support import ClientGone, ScriptedServer, response
from support.certs import Certs
from support.peer import Peer
from support.programs import run_program
from support.proxies import NestedServer

pytestmark = [pytest.mark.smoke, pytest.mark.lowest]

OK = response(b"ok")


@pytest.mark.parametrize("verify", [True, False])
def test_settings_are_those_of_the_standard_library_and_no_weaker(verify):
    context = new_context(ssl.SSLContext, verify=verify)
    assert context.verify_mode == (ssl.CERT_REQUIRED if verify else ssl.CERT_NONE)
    assert context.check_hostname is verify
    assert not context.hostname_checks_common_name
    assert context.verify_flags == ssl.create_default_context().verify_flags
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert ssl.OP_NO_COMPRESSION in context.options
    assert ssl.OP_NO_TICKET in context.options
    assert context.post_handshake_auth
    assert context.keylog_filename is None
    assert context.get_ciphers() == ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).get_ciphers()


def test_keys_are_logged_to_the_file_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("FOLDER", str(tmp_path))
    monkeypatch.setenv("SSLKEYLOGFILE", "$FOLDER/keys")
    context = new_context(ssl.SSLContext, verify=True)
    assert context.keylog_filename == str(tmp_path / "keys")


class Replacement(ssl.SSLContext):
    """A class that a library puts in the place of ``ssl.SSLContext``."""

    def wrap_socket(self, *args, **options):
        return super().wrap_socket(*args, **options)


def test_replaced_class_is_used_unless_verify_names_a_path(certs, monkeypatch):
    original = ssl.SSLContext
    ca = str(certs.ca_file)
    before = get_ssl_context(TLSOptions())
    monkeypatch.setattr(ssl, "SSLContext", Replacement)
    assert standard_class() is original
    assert type(get_ssl_context(TLSOptions())) is Replacement
    assert type(get_ssl_context(TLSOptions("system"))) is Replacement
    assert type(get_ssl_context(TLSOptions(ca))) is original
    assert type(get_ssl_context(TLSOptions(), in_tls=True)) is original
    monkeypatch.undo()
    assert get_ssl_context(TLSOptions()) is before
    assert has_separate_handshake(before)
    assert not has_separate_handshake(Replacement(ssl.PROTOCOL_TLS_CLIENT))


def test_context_made_before_the_class_was_replaced_is_accepted(monkeypatch):
    context = ssl.create_default_context()
    monkeypatch.setattr(ssl, "SSLContext", Replacement)
    assert check_tls_options(TLSOptions(context=context)).context is context


# Libraries that change ssl or urllib3 for the whole process. truststore's authorities of the system
# are those of SSL_CERT_FILE.

PREAMBLE = """
import os, ssl, sys

url, expired_url, proxy, ca, other_ca = sys.argv[1:]
context_before = ssl.create_default_context(cafile=ca)

def works(url, **options):
    with restkit.Client(trust_env=False, **options) as client:
        assert client.get(url).body == b"ok"

def fails(url, text, **options):
    try:
        works(url, **options)
    except restkit.TLSError as exc:
        assert text in str(exc), exc
    else:
        raise AssertionError("no TLSError")

def verify_by_path():
    works(url, verify=ca)
    works(url, verify=ca, min_tls="1.3")
    works(url, ssl_context=context_before)
    works(url, verify=ca, proxy=restkit.Proxy(proxy, verify=ca))
    fails(url, "is not trusted", verify=other_ca)
    fails(expired_url, "has expired", verify=ca)
    other_name = url.replace("localhost", "other.example")
    fails(other_name, "not for other.example", verify=ca, resolve={"other.example": "127.0.0.1"})
    fails(url, "SHA-256 fingerprint", verify=ca, fingerprint="00" * 32)
"""

TRUSTSTORE = """
import truststore

verify_by_path()
through = restkit.Proxy(proxy, verify=ca)
fails(url, "only the authorities of certifi and of truststore are trusted")
fails(url, "only the authorities of the system and of truststore", verify="system")
fails(url, "only the authorities of certifi are trusted", proxy=through)
os.environ["SSL_CERT_FILE"] = ca
works(url)
works(url, min_tls="1.3")
works(url, verify="system")
works(url, ssl_context=truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
fails(expired_url, "has expired")
fails(url, "SHA-256 fingerprint", fingerprint="00" * 32)
fails(url, "is not trusted", verify=other_ca)
"""

INJECT_TRUSTSTORE = "import truststore; truststore.inject_into_ssl()\n"
INJECT_PYOPENSSL = (
    "import urllib3.contrib.pyopenssl; urllib3.contrib.pyopenssl.inject_into_urllib3()\n"
)
PYOPENSSL = """
import urllib3.util.ssl_

verify_by_path()
assert urllib3.util.ssl_.IS_PYOPENSSL
assert urllib3.util.ssl_.SSLContext.__module__ == "urllib3.contrib.pyopenssl"
"""


def serve(peer: Peer) -> None:
    while peer.next_request():
        peer.send(OK)


@contextmanager
def servers(certs: Certs) -> Iterator[list[str]]:
    """Return the URLs of a server, of one whose certificate has expired, and of a proxy."""

    def serve_through_proxy(peer: Peer) -> None:
        peer.read_head()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            nested = NestedServer(peer.sock, certs.server)
        except (ssl.SSLError, ConnectionError) as refused:
            raise ClientGone("the client rejected the certificate") from refused
        nested.read()
        nested.send(OK)

    with (
        ScriptedServer(serve, ssl_context=certs.server) as server,
        ScriptedServer(serve, ssl_context=certs.expired) as expired,
        ScriptedServer(serve_through_proxy, ssl_context=certs.server) as proxy,
    ):
        yield [f"https://localhost:{each.port}" for each in (server, expired, proxy)]


@pytest.mark.parametrize(
    ("package", "inject", "program"),
    [
        ("truststore", INJECT_TRUSTSTORE, TRUSTSTORE),
        ("OpenSSL", INJECT_PYOPENSSL, PYOPENSSL),
    ],
    ids=["truststore", "pyopenssl"],
)
@pytest.mark.parametrize("first", ["restkit", "injection"])
def test_requests_work_after_an_injection(package, inject, program, first, certs):
    pytest.importorskip(package)
    if package == "OpenSSL" and find_spec("urllib3_future"):
        pytest.skip("urllib3-future cannot use pyOpenSSL")
    steps = ["import restkit\n", inject]
    program = PREAMBLE + "".join(steps if first == "restkit" else steps[::-1]) + program
    with servers(certs) as urls:
        run_program(program, *urls, str(certs.ca_file), str(certs.other_ca_file))
