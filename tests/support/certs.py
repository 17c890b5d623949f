"""Certificates of every kind that a client must take or refuse, made anew for each session."""

from __future__ import annotations

import datetime
import hashlib
import ssl
from pathlib import Path

import trustme

CLIENT_KEY_PASSWORD = "sesame"


class Certs:
    """One trusted CA and what it, and others, have issued; files lie in `folder`.

    `ca_file` is what a client gives as `verify=`. The contexts are for `ScriptedServer`:
    `server` (good for localhost, 127.0.0.1 and ::1), `expired`, `wrong_host`, `self_signed`,
    `stranger` (issued by a CA that nobody trusts: `other_ca_file`) and `asks_client` (wants a
    certificate of the client's). `fingerprint` is the SHA-256 of the one that `server` shows, in
    hex. The client's own: `client_file` (certificate and key in one file), `client_cert`
    and `client_key` apart, `client_locked_key` under CLIENT_KEY_PASSWORD.
    """

    def __init__(self, folder: Path) -> None:
        names = ("localhost", "127.0.0.1", "::1")
        long_ago = datetime.datetime(2001, 1, 1, tzinfo=datetime.timezone.utc)
        ca, unknown_ca, client_ca = trustme.CA(), trustme.CA(), trustme.CA()
        good = ca.issue_cert(*names)

        self.ca_file = folder / "ca.pem"
        ca.cert_pem.write_to_path(self.ca_file)
        self.other_ca_file = folder / "other_ca.pem"
        unknown_ca.cert_pem.write_to_path(self.other_ca_file)
        self.server_cert = folder / "server.pem"
        self.server_key = folder / "server.key"
        _write_chain(good, self.server_cert)
        good.private_key_pem.write_to_path(self.server_key)
        self.fingerprint = hashlib.sha256(
            ssl.PEM_cert_to_DER_cert(good.cert_chain_pems[0].bytes().decode())
        ).hexdigest()

        self.server = _context(good)
        self.expired = _context(
            ca.issue_cert(
                *names, not_before=long_ago, not_after=long_ago + datetime.timedelta(days=30)
            )
        )
        self.wrong_host = _context(ca.issue_cert("elsewhere.example"))
        self.stranger = _context(unknown_ca.issue_cert(*names))
        self.self_signed = _self_signed(folder)
        self.asks_client = _context(good)
        self.asks_client.verify_mode = ssl.CERT_REQUIRED
        client_ca.configure_trust(self.asks_client)

        self._write_client(folder, client_ca.issue_cert("client@restkit.example"))

    def _write_client(self, folder: Path, client: trustme.LeafCert) -> None:
        self.client_file = folder / "client.pem"
        self.client_cert = folder / "client.crt"
        self.client_key = folder / "client.key"
        self.client_locked_key = folder / "client.locked.key"
        client.private_key_and_cert_chain_pem.write_to_path(self.client_file)
        _write_chain(client, self.client_cert)
        client.private_key_pem.write_to_path(self.client_key)
        self.client_locked_key.write_bytes(_locked(client.private_key_pem.bytes()))


def _context(leaf: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    return context


def _write_chain(leaf: trustme.LeafCert, path: Path) -> None:
    path.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))


def _self_signed(folder: Path) -> ssl.SSLContext:
    # A CA's own certificate is self-signed, and OpenSSL says so before it looks at anything else.
    lonely = trustme.CA()
    cert, key = folder / "self_signed.pem", folder / "self_signed.key"
    lonely.cert_pem.write_to_path(cert)
    lonely.private_key_pem.write_to_path(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


def _locked(key_pem: bytes) -> bytes:
    from cryptography.hazmat.primitives import serialization as forms

    key = forms.load_pem_private_key(key_pem, None)
    return key.private_bytes(
        forms.Encoding.PEM,
        forms.PrivateFormat.PKCS8,
        forms.BestAvailableEncryption(CLIENT_KEY_PASSWORD.encode()),
    )
