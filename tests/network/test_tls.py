"""TLS: contexts made once, named failures of checks, and client certificates."""

from __future__ import annotations

import datetime
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import certifi
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as forms
from cryptography.hazmat.primitives.asymmetric import ec

from restkit import Client
from restkit.errors import RequestError, TLSError
from restkit.network.dial import Dialed, dial
from restkit.network.options import TLSOptions, as_tls_version, check_tls_options, read_ca_paths
from restkit.network.route import Route
from restkit.network.tls import get_ssl_context
from restkit.timeouts import Deadline, Timeout
from support import ScriptedServer
from support.certs import CLIENT_KEY_PASSWORD
from support.peer import HANG_BOUND, Peer

pytestmark = [pytest.mark.smoke, pytest.mark.lowest]

V4 = "127.0.0.1"


def greet(peer: Peer) -> None:
    peer.send(b"hello")
    peer.read_to_end()


@contextmanager
def secured(host: str, port: int, tls: TLSOptions) -> Iterator[Dialed]:
    dialed = dial(Route("https", host, port, tls), Deadline(Timeout(connect=HANG_BOUND)))
    with dialed.sock:
        # With TLS 1.3 a server that rejects the client's certificate reports it only now.
        assert dialed.sock.recv(5) == b"hello"
        yield dialed


def refusal(host: str, port: int, tls: TLSOptions) -> str:
    """Return the message of the TLSError after host and port."""
    with pytest.raises(TLSError) as caught:
        dial(Route("https", host, port, tls), Deadline(Timeout(connect=HANG_BOUND)))
    assert caught.value.sent == "nothing"
    assert isinstance(caught.value.__cause__, (OSError, ValueError))
    before, _, message = str(caught.value).partition(f"{host}:{port}: ")
    assert not before
    return message


# One context for each set of options


def test_W22_equal_options_share_a_context(certs):
    ca = str(certs.ca_file)
    assert get_ssl_context(TLSOptions()) is get_ssl_context(TLSOptions(verify=True))
    assert get_ssl_context(TLSOptions(ca)) is get_ssl_context(TLSOptions(ca))
    assert get_ssl_context(TLSOptions(ca)) is not get_ssl_context(TLSOptions())
    assert get_ssl_context(TLSOptions(ca, str(certs.client_file))) is not get_ssl_context(
        TLSOptions(ca)
    )


def test_W22_a_hundred_connections_load_the_ca_file_once(certs, tmp_path):
    ca = tmp_path / "read once.pem"
    shutil.copy(certs.ca_file, ca)
    with ScriptedServer(greet, ssl_context=certs.server) as server:
        for _ in range(100):
            route = Route("https", "localhost", server.port, TLSOptions(str(ca)))
            dial(route, Deadline(Timeout())).sock.close()
            ca.unlink(missing_ok=True)  # a second read would fail
        server.join(100)


def test_W22_concurrent_threads_get_one_context(certs, tmp_path):
    ca = tmp_path / "ca.pem"
    shutil.copy(certs.ca_file, ca)
    together = threading.Barrier(8)
    got = []

    def get() -> None:
        together.wait()
        got.append(get_ssl_context(TLSOptions(str(ca))))

    threads = [threading.Thread(target=get) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG_BOUND)
    assert len(got) == 8
    assert len(set(got)) == 1


FORK_WHILE_LOADING = """
import os, sys, threading, time, warnings
from restkit.network.tls import get_ssl_context
from restkit.network.options import TLSOptions, as_tls_version, check_tls_options, read_ca_paths

warnings.simplefilter('ignore')  # forking with threads is what this tests
pipe, ca = sys.argv[1:]
get_ssl_context(TLSOptions(ca))
thread = threading.Thread(target=lambda: get_ssl_context(TLSOptions(pipe)))
thread.start()
writer = os.open(pipe, os.O_WRONLY)  # returns once the thread has opened it to read
child = os.fork()
if child == 0:
    get_ssl_context(TLSOptions(ca))
    os._exit(7)
_, status = os.waitpid(child, 0)
os.write(writer, open(ca, 'rb').read())
os.close(writer)
thread.join()
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_child_forked_during_a_load_does_not_wait_for_it(certs, tmp_path):
    pipe = tmp_path / "slow.pem"
    os.mkfifo(pipe)
    done = subprocess.run(
        [sys.executable, "-c", FORK_WHILE_LOADING, str(pipe), str(certs.ca_file)],
        capture_output=True,
        text=True,
        timeout=HANG_BOUND,
        check=False,
    )
    assert (done.returncode, done.stderr) == (7, "")


def test_number_of_contexts_is_bounded(certs, tmp_path):
    first = TLSOptions(str(certs.ca_file), cert=str(certs.client_file))
    context = get_ssl_context(first)
    assert get_ssl_context(first) is context
    for number in range(256):
        path = tmp_path / f"{number}.pem"
        path.symlink_to(certs.ca_file)
        get_ssl_context(TLSOptions(str(path)))
    assert get_ssl_context(first) is not context


def test_contexts_offer_http_1_1_and_nothing_older_than_tls_1_2(certs):
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(certs.server_cert, certs.server_key)
    server_context.set_alpn_protocols(["h2", "http/1.1"])
    with ScriptedServer(greet, ssl_context=server_context) as server:
        with secured("localhost", server.port, TLSOptions(str(certs.ca_file))) as dialed:
            assert dialed.sock.selected_alpn_protocol() == "http/1.1"
    context = get_ssl_context(TLSOptions())
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname


# Trust


def test_C13_verify_true_is_certifi():
    roots = Path(certifi.where()).read_text().count("BEGIN CERTIFICATE")
    assert get_ssl_context(TLSOptions()).cert_store_stats()["x509"] == roots


def test_C13_R25_private_authority_is_trusted_only_by_its_file(certs):
    with ScriptedServer(greet, ssl_context=certs.server) as server:
        assert refusal("localhost", server.port, TLSOptions()) == (
            "its certificate was issued by an authority that is not trusted "
            "(only the authorities of certifi are trusted; verify can be a path to others)"
        )
        with secured("localhost", server.port, TLSOptions(str(certs.ca_file))) as dialed:
            assert isinstance(dialed.sock, ssl.SSLSocket)
            assert dialed.secured > dialed.connected
            assert 0 < dialed.sock.gettimeout() <= HANG_BOUND


def test_R25_self_signed_certificate_must_be_trusted_itself(tmp_path):
    path = make_self_signed("localhost", tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    with ScriptedServer(greet, ssl_context=context) as server:
        assert refusal("localhost", server.port, TLSOptions()) == (
            "its certificate is self-signed and not trusted "
            "(only the authorities of certifi are trusted; verify can be a path to others)"
        )
        with secured("localhost", server.port, TLSOptions(str(path))):
            pass


def make_self_signed(name: str, folder: Path) -> Path:
    """Return a file with a key and its self-signed certificate."""
    now = datetime.datetime.now(datetime.timezone.utc)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(own, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    path = folder / "self_signed.pem"
    path.write_bytes(
        key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption())
        + certificate.public_bytes(forms.Encoding.PEM)
    )
    return path


def test_C13_verify_accepts_a_folder_of_hashed_certificates(certs, tmp_path):
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl, which computes the hashes, is not installed")
    command = [openssl, "x509", "-noout", "-hash", "-in", certs.ca_file]
    name = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    shutil.copy(certs.ca_file, tmp_path / f"{name}.0")
    with ScriptedServer(greet, ssl_context=certs.server) as server:
        with secured("localhost", server.port, TLSOptions(str(tmp_path))):
            pass


def test_verify_false_trusts_any_server(certs):
    # The options warn where they are given, and not when a context is made: see test_caller.py.
    tls = TLSOptions(verify=False, cert=str(certs.client_file))
    with ScriptedServer(greet, ssl_context=certs.self_signed) as server:
        with secured("localhost", server.port, tls):
            pass


def test_C13_verify_system_trusts_the_store_of_the_system(certs, monkeypatch):
    # OpenSSL itself reads this variable for its store; the context is made only now.
    monkeypatch.setenv("SSL_CERT_FILE", str(certs.ca_file))
    tls = TLSOptions("system", cert=str(certs.client_file))
    with ScriptedServer(greet, ssl_context=certs.server) as server:
        with secured("localhost", server.port, tls):
            pass
    with ScriptedServer(greet, ssl_context=certs.stranger) as server:
        assert refusal("localhost", server.port, tls) == (
            "its certificate was issued by an authority that is not trusted (only the "
            "authorities of the system are trusted)"
        )


def test_C13_verify_accepts_several_files(certs, tmp_path):
    tls = TLSOptions((str(certs.ca_file), str(certs.other_ca_file), str(tmp_path)))
    for context in (certs.server, certs.stranger):
        with ScriptedServer(greet, ssl_context=context) as server:
            with secured("localhost", server.port, tls):
                pass
    with ScriptedServer(greet, ssl_context=certs.self_signed) as server:
        assert refusal("localhost", server.port, tls).endswith(
            f"(only certificates in {str(certs.ca_file)!r} and "
            f"{str(certs.other_ca_file)!r} and {str(tmp_path)!r} are trusted)"
        )


def test_C13_environment_names_a_file_and_folders(tmp_path):
    here, there, nowhere = (str(tmp_path / name) for name in ("here", "there", "nowhere"))
    for folder in (here, there):
        os.mkdir(folder)
    assert read_ca_paths({}) is None
    assert read_ca_paths({"SSL_CERT_FILE": "", "SSL_CERT_DIR": ""}) is None
    assert read_ca_paths({"SSL_CERT_FILE": "ca.pem"}) == ("ca.pem",)
    assert read_ca_paths({"SSL_CERT_DIR": here}) == (here,)
    both = {"SSL_CERT_FILE": "ca.pem", "SSL_CERT_DIR": f"{here}:{nowhere}:{there}"}
    assert read_ca_paths(both) == ("ca.pem", here, there)
    # A missing folder trusts nobody; it must not count as not given.
    assert read_ca_paths({"SSL_CERT_DIR": nowhere}) == (nowhere,)


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_C13_missing_path_in_the_environment_is_an_error_that_names_it(name, tmp_path, monkeypatch):
    missing = str(tmp_path / "none")
    monkeypatch.setenv(name, missing)
    error = unusable(TLSOptions(read_ca_paths(os.environ)))
    assert str(error) == (
        f"verify={missing!r} ({name} in the environment): No such file or directory"
    )


# Fingerprints


@pytest.mark.parametrize("form", ["{}", "{:upper}", "{:colons}"])
def test_C13_R25_pinned_certificate_is_accepted(form, certs):
    pin = {
        "{}": certs.fingerprint,
        "{:upper}": certs.fingerprint.upper(),
        "{:colons}": ":".join(re.findall("..", certs.fingerprint.upper())),
    }[form]
    with ScriptedServer(greet, ssl_context=certs.server) as server:
        with secured("localhost", server.port, TLSOptions(str(certs.ca_file), fingerprint=pin)):
            pass
        # With a fingerprint there is no warning, which would be an error here.
        with secured("localhost", server.port, TLSOptions(False, fingerprint=pin)):
            pass


@pytest.mark.parametrize("verifies", [True, False])
def test_R25_other_certificate_is_rejected_before_any_http(verifies, certs):
    pin = "ab" * 32
    verify = str(certs.ca_file) if verifies else False
    with ScriptedServer(greet, ssl_context=certs.server) as server:
        assert refusal("localhost", server.port, TLSOptions(verify, fingerprint=pin)) == (
            f"its certificate has the SHA-256 fingerprint {certs.fingerprint}, but "
            f"fingerprint= requires {pin}"
        )
        server.join()
        assert server.wire == [b""]


def test_R25_fingerprint_does_not_replace_the_checks(certs):
    pin = certs.fingerprint
    with ScriptedServer(greet, ssl_context=certs.server) as server:
        assert "an authority that is not trusted" in refusal(
            "localhost", server.port, TLSOptions(fingerprint=pin)
        )


def test_R25_fingerprint_applies_to_a_given_context(certs):
    class Subclass(ssl.SSLContext):
        def wrap_socket(self, *args, **options):
            return super().wrap_socket(*args, **options)

    for kind in (ssl.SSLContext, Subclass):
        context = kind(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(certs.ca_file)
        tls = TLSOptions(context=context, fingerprint=certs.fingerprint)
        with ScriptedServer(greet, ssl_context=certs.server) as server:
            with secured("localhost", server.port, tls):
                pass
            other = tls._replace(fingerprint="00" * 32)
            assert "SHA-256 fingerprint" in refusal("localhost", server.port, other)


def test_W22_options_that_differ_in_the_fingerprint_share_a_context(certs):
    one, other = (TLSOptions(str(certs.ca_file), fingerprint=pin * 32) for pin in ("ab", "cd"))
    assert (
        get_ssl_context(one)
        is get_ssl_context(other)
        is get_ssl_context(TLSOptions(str(certs.ca_file)))
    )


@pytest.mark.parametrize(
    ("pin", "why"),
    [
        ("ab" * 16, ", an MD5 fingerprint, which can be forged"),
        ("ab:" * 19 + "ab", ", a SHA-1 fingerprint, which can be forged"),
        ("ab" * 31, ""),
        ("xy" * 32, ""),
        ("", ""),
    ],
)
def test_R25_fingerprint_must_be_sha256(pin, why):
    assert str(unusable(TLSOptions(fingerprint=pin))) == (
        "fingerprint must be the SHA-256 of the server's certificate, 64 hex digits with or "
        f"without colons; got {pin!r}{why}"
    )


def test_W23_fingerprint_is_normalized(certs):
    written = ":".join(re.findall("..", certs.fingerprint.upper()))
    assert check_tls_options(TLSOptions(fingerprint=written)) == TLSOptions(
        fingerprint=certs.fingerprint
    )


# Versions


@pytest.mark.parametrize("version", ["1.2", "1.3", ssl.TLSVersion.TLSv1_3])
def test_C13_min_tls_is_the_oldest_version_used(version, certs):
    tls = TLSOptions(str(certs.ca_file), min_version=as_tls_version(version))
    with ScriptedServer(greet, ssl_context=certs.server) as server:
        with secured("localhost", server.port, tls) as dialed:
            assert dialed.sock.version() == "TLSv1.3"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certs.server_cert, certs.server_key)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with ScriptedServer(greet, ssl_context=context) as server:
        if version == "1.2":
            with secured("localhost", server.port, tls) as dialed:
                assert dialed.sock.version() == "TLSv1.2"
        else:
            assert refusal("localhost", server.port, tls) == (
                "the TLS handshake failed: tlsv1 alert protocol version; the server does not "
                "support TLS 1.3, the oldest version that min_tls allows"
            )


def test_given_context_may_be_too_new_for_the_server(certs):
    context = ssl.create_default_context(cafile=certs.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    old.load_cert_chain(certs.server_cert, certs.server_key)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with ScriptedServer(greet, ssl_context=old) as server:
        assert refusal("localhost", server.port, TLSOptions(context=context)).endswith(
            "the server does not support TLS in a version that the ssl_context allows"
        )


@pytest.mark.parametrize("value", ["1.1", "1.4", "TLSv1.2", 1.3, 772, ssl.TLSVersion.TLSv1_1, ""])
def test_other_tls_versions_are_rejected(value):
    with pytest.raises(RequestError) as caught:
        as_tls_version(value)
    assert str(caught.value) == (
        f"min_tls must be '1.2' or '1.3'; got {value!r}; older versions need an ssl_context"
    )


def test_no_min_tls_leaves_it_to_openssl():
    assert as_tls_version(None) is None


# Failed checks

OTHERS = {
    "expired": "its certificate has expired, by this machine's clock",
    "stranger": "its certificate was issued by an authority that is not trusted (only "
    "certificates in {ca!r} are trusted)",
    "self_signed": "its certificate is self-signed and not trusted (only "
    "certificates in {ca!r} are trusted)",
}


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("host", ["localhost", V4])
def test_R25_error_names_the_failed_check(kind, host, certs):
    ca = str(certs.ca_file)
    with ScriptedServer(greet, ssl_context=getattr(certs, kind)) as server:
        assert refusal(host, server.port, TLSOptions(ca)) == OTHERS[kind].format(ca=ca)
        assert server.requests == []


@pytest.mark.parametrize("host", ["localhost", V4, "localhost."])
def test_R25_error_names_the_hosts_of_the_certificate(host, certs, monkeypatch):
    with ScriptedServer(greet, ssl_context=certs.wrong_host) as server:
        place = (socket.AF_INET, socket.SOCK_STREAM, 6, "", (V4, server.port))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [place])
        assert refusal(host, server.port, TLSOptions(str(certs.ca_file))) == (
            f"its certificate is for elsewhere.example, not for {host.rstrip('.')}"
        )


def test_error_names_only_some_of_many_hosts(tmp_path):
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*(f"{n}.example" for n in range(9))).configure_cert(context)
    with ScriptedServer(greet, ssl_context=context) as server:
        assert refusal("localhost", server.port, TLSOptions(str(tmp_path / "ca.pem"))) == (
            "its certificate is for 0.example, 1.example, 2.example, 3.example, 4.example and 4 "
            "more, not for localhost"
        )


def test_certificate_of_tomorrow_is_not_valid_yet(tmp_path):
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    tomorrow = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost", not_before=tomorrow).configure_cert(context)
    with ScriptedServer(greet, ssl_context=context) as server:
        assert refusal("localhost", server.port, TLSOptions(str(tmp_path / "ca.pem"))) == (
            "its certificate is not valid yet, by this machine's clock"
        )


NO_TLS_HINT = "the server does not seem to use TLS: should the URL begin with http://?"
NO_TLS = [
    (
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        "wrong version number; " + NO_TLS_HINT,
    ),
    (
        b"\x15\x03\x01\x00\x02\x02\x46",
        "tlsv1 alert protocol version; the server does not support TLS 1.2 or later",
    ),
    (
        b"\x15\x03\x01\x00\x02\x02\x28",
        "sslv3 alert handshake failure; the server accepts no offered option, or requires a cert",
    ),
    (b"", "unexpected eof while reading; the server closed the connection"),
]


@pytest.mark.parametrize(("response", "message"), NO_TLS)
def test_invalid_handshake_is_a_tls_error_with_a_hint(response, message):
    def script(peer: Peer) -> None:
        peer.read_some()
        peer.send(response)

    with ScriptedServer(script) as server:
        found = refusal(V4, server.port, TLSOptions())
    # OpenSSL 3.2 and later call plain HTTP a failure of the record layer.
    assert found.replace("record layer failure", "wrong version number") == (
        f"the TLS handshake failed: {message}"
    )


def test_reset_during_the_handshake_is_a_tls_error():
    def script(peer: Peer) -> None:
        peer.read_some()
        peer.reset()

    with ScriptedServer(script) as server:
        assert refusal(V4, server.port, TLSOptions()) == (
            "the TLS handshake was interrupted: Connection reset by peer"
        )


# Client certificates


@pytest.mark.parametrize("form", ["one file", "two files", "two files and a password"])
def test_client_certificate_is_sent(form, certs):
    cert = {
        "one file": str(certs.client_file),
        "two files": (str(certs.client_cert), str(certs.client_key)),
        "two files and a password": (
            str(certs.client_cert),
            str(certs.client_locked_key),
            CLIENT_KEY_PASSWORD,
        ),
    }[form]
    with ScriptedServer(greet, ssl_context=certs.asks_client) as server:
        with secured("localhost", server.port, TLSOptions(str(certs.ca_file), cert)):
            pass


def test_error_says_that_a_client_certificate_is_required(certs):
    context = make_requiring_context(certs)
    ca = str(certs.ca_file)
    stranger = trustme.CA().issue_cert("somebody@restkit.example")
    with stranger.private_key_and_cert_chain_pem.tempfile() as path:
        with ScriptedServer(greet, ssl_context=context) as server:
            assert refusal("localhost", server.port, TLSOptions(ca, path)) == (
                "the TLS handshake failed: tlsv1 alert unknown ca; the server does not "
                "accept the client's certificate, given as cert"
            )
            assert refusal("localhost", server.port, TLSOptions(ca)) == (
                "the TLS handshake failed: sslv3 alert handshake failure; the server accepts "
                "no offered option, or requires a cert"
            )


def make_requiring_context(certs) -> ssl.SSLContext:
    """Return a context that requires a client certificate, in TLS 1.2 during the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certs.server_cert, certs.server_key)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certs.other_ca_file)
    return context


REFUSALS = {
    "no certificate": "tlsv13 alert certificate required; the server requires a client "
    "certificate: give cert",
    "another's": "tlsv1 alert unknown ca; the server does not accept the client's certificate, "
    "given as cert",
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_client_certificate_may_be_rejected_after_the_handshake(kind, certs):
    context = make_requiring_context(certs)
    context.maximum_version = ssl.TLSVersion.TLSv1_3
    cert = None if kind == "no certificate" else str(certs.client_file)
    with ScriptedServer(greet, ssl_context=context) as server:
        with Client(verify=certs.ca_file, cert=cert, max_tries=1, timeout=HANG_BOUND) as client:
            with pytest.raises(TLSError) as caught:
                client.get(server.url())
        assert caught.value.message == (
            f"TLS with 127.0.0.1:{server.port} failed: {REFUSALS[kind]}"
        )
        assert server.requests == []


def test_password_is_never_shown(certs):
    tls = TLSOptions(cert=("client.crt", "client.key", "sesame"))
    assert repr(tls) == "TLSOptions(True, cert=('client.crt', 'client.key', '...'), context=None)"
    assert "sesame" not in repr(Route("https", "api.test", 443, tls))
    wrong = (str(certs.client_cert), str(certs.client_locked_key), "open")
    with pytest.raises(RequestError) as caught:
        get_ssl_context(TLSOptions(cert=wrong))
    assert "'open'" not in str(caught.value)


# Options that cannot be used


def unusable(tls: TLSOptions) -> RequestError:
    with pytest.raises(RequestError) as caught:
        dial(Route("https", "localhost", 1, tls), Deadline(Timeout()))
    assert type(caught.value) is RequestError
    assert caught.value.sent == "nothing"
    return caught.value


def test_error_names_a_missing_ca_file(tmp_path):
    error = unusable(TLSOptions(f"{tmp_path}/none.pem"))
    assert str(error) == f"verify='{tmp_path}/none.pem': No such file or directory"
    assert isinstance(error.__cause__, FileNotFoundError)


def test_error_names_a_ca_file_without_certificates(tmp_path):
    path = tmp_path / "empty.pem"
    path.write_text("nothing\n")
    error = unusable(TLSOptions(str(path)))
    assert str(error) == (
        f"verify='{path}': not a PEM file with certificates (NO_CERTIFICATE_OR_CRL_FOUND)"
    )
    assert isinstance(error.__cause__, ssl.SSLError)


def test_error_names_a_missing_client_key(certs):
    cert = (str(certs.client_cert), f"{certs.client_key}.none")
    error = unusable(TLSOptions(cert=cert))
    assert str(error) == f"cert={cert!r}: No such file or directory: {cert[1]!r}"
    assert isinstance(error.__cause__, FileNotFoundError)


def test_key_of_another_certificate_is_rejected(certs):
    cert = (str(certs.client_cert), str(certs.server_key))
    error = unusable(TLSOptions(cert=cert))
    assert str(error) == (
        f"cert={cert!r}: not a PEM certificate with its key (KEY_VALUES_MISMATCH)"
    )


def test_encrypted_key_without_password_is_an_error_and_no_prompt(certs):
    cert = (str(certs.client_cert), str(certs.client_locked_key))
    assert str(unusable(TLSOptions(cert=cert))) == (
        f"cert={cert!r}: the key is encrypted; give cert=(certificate, key, password)"
    )


@pytest.mark.parametrize(
    "tls",
    [
        TLSOptions(verify=None),
        TLSOptions(verify=1),
        TLSOptions(verify="a\0b"),
        TLSOptions(verify=()),
        TLSOptions(verify=("ca.pem", None)),
        TLSOptions(fingerprint=b"ab" * 32),
        TLSOptions(min_version="1.1"),
        TLSOptions(context=ssl.create_default_context(), min_version=ssl.TLSVersion.TLSv1_3),
        TLSOptions(cert=b"client.pem"),
        TLSOptions(cert=()),
        TLSOptions(cert=("a", "b", "c", "d")),
        TLSOptions(cert=("a", None)),
        TLSOptions(verify=False, context=ssl.create_default_context()),
        TLSOptions(cert="client.pem", context=ssl.create_default_context()),
        TLSOptions(context="ca.pem"),
    ],
)
def test_options_of_the_wrong_type_are_rejected(tls):
    unusable(tls)


# Given contexts


def test_given_context_is_used_unchanged(certs):
    context = ssl.create_default_context(cafile=certs.ca_file)
    context.set_alpn_protocols(["acme"])
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(certs.server_cert, certs.server_key)
    server_context.set_alpn_protocols(["http/1.1", "acme"])
    assert get_ssl_context(TLSOptions(context=context)) is context
    with ScriptedServer(greet, ssl_context=server_context) as server:
        with secured("localhost", server.port, TLSOptions(context=context)) as dialed:
            assert dialed.sock.selected_alpn_protocol() == "acme"
    with ScriptedServer(greet, ssl_context=certs.stranger) as server:
        assert refusal("localhost", server.port, TLSOptions(context=context)) == (
            "its certificate was issued by an authority that is not trusted "
            "(only certificates in the ssl_context are trusted)"
        )


def test_given_context_may_skip_the_name_check(certs):
    context = ssl.create_default_context(cafile=certs.ca_file)
    context.check_hostname = False
    with ScriptedServer(greet, ssl_context=certs.wrong_host) as server:
        with secured("localhost", server.port, TLSOptions(context=context)):
            pass
    assert context.verify_mode == ssl.CERT_REQUIRED


def test_context_subclass_finds_the_handshake_done(certs):
    class Verifying(ssl.SSLContext):
        def wrap_socket(self, *args, **options):
            sock = super().wrap_socket(*args, **options)
            found.append(sock.getpeercert()["subjectAltName"][0])
            return sock

    found: list[tuple[str, str]] = []
    context = Verifying(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certs.ca_file)
    with ScriptedServer(greet, ssl_context=certs.server) as server:
        with secured("localhost", server.port, TLSOptions(context=context)):
            assert found == [("DNS", "localhost")]
    with ScriptedServer(greet, ssl_context=certs.expired) as server:
        assert refusal("localhost", server.port, TLSOptions(context=context)) == (
            "its certificate has expired, by this machine's clock"
        )
