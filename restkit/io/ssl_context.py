"""Create SSL contexts with safe settings, also where a library has replaced ``ssl.SSLContext``.

The settings are those of ``create_urllib3_context`` in urllib3 2.8. restkit does not call it,
because other packages change its result: urllib3-future, and pyOpenSSL after
``urllib3.contrib.pyopenssl.inject_into_urllib3()``.

Facts that the code depends on. ``truststore.inject_into_ssl()`` replaces ``ssl.SSLContext`` by a
subclass, which trusts the authorities of the system in addition to those that are loaded into it.
Then five setters of the original class recurse without end, because they look the class up by its
global name (Lib/ssl.py, CPython 3.10 to 3.14). gevent has a subclass too, which trusts the same
authorities as the original.
"""

from __future__ import annotations

import os
import ssl
import sys
from typing import Any

# In these, the handshake can be a separate step, and trusts only the authorities of the context.
_STANDARD = ("ssl", "gevent")


def standard_class() -> type[ssl.SSLContext]:
    """Return ``ssl.SSLContext``, or the class that was there before a library replaced it."""
    return next(each for each in ssl.SSLContext.__mro__ if _is_standard(each.__module__))


def is_context(value: object) -> bool:
    """Return whether the value is an SSLContext of the standard library, or of a subclass."""
    return isinstance(value, standard_class())


def has_separate_handshake(context: ssl.SSLContext) -> bool:
    """Return whether the handshake, with all checks, can be a separate step after ``wrap_socket``.

    Another class, such as that of truststore, may verify at the end of ``wrap_socket``.
    """
    return _is_standard(getattr(type(context).wrap_socket, "__module__", ""))


def _is_standard(module: str) -> bool:
    return module.partition(".")[0] in _STANDARD


def new_context(kind: type[ssl.SSLContext], *, verify: bool) -> ssl.SSLContext:
    """Return a new context for a client, without authorities."""
    context = kind(ssl.PROTOCOL_TLS_CLIENT)
    _set(context, "minimum_version", ssl.TLSVersion.TLSv1_2)
    # Compression leaks secrets (CRIME); a ticket of TLS 1.2 would never be used again.
    _set(context, "options", context.options | ssl.OP_NO_COMPRESSION | ssl.OP_NO_TICKET)
    if sys.version_info >= (3, 13):
        # As in ssl.create_default_context().
        strict = ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
        _set(context, "verify_flags", context.verify_flags | strict)
    context.hostname_checks_common_name = False
    # A server may ask for the client's certificate when it knows the path (RFC 8446 4.6.2).
    context.post_handshake_auth = True
    context.set_alpn_protocols(["http/1.1"])
    if not verify:
        context.check_hostname = False
        _set(context, "verify_mode", ssl.CERT_NONE)
    if file := os.environ.get("SSLKEYLOGFILE"):
        context.keylog_filename = os.path.expandvars(file)
    return context


def new_server_context() -> ssl.SSLContext:
    """Return a new context for a server, without a certificate."""
    context = standard_class()(ssl.PROTOCOL_TLS_SERVER)
    _set(context, "minimum_version", ssl.TLSVersion.TLSv1_2)
    # A client that renegotiates (TLS 1.2) costs the server more than itself.
    _set(context, "options", context.options | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION)
    context.set_alpn_protocols(["http/1.1"])
    return context


def set_minimum_version(context: ssl.SSLContext, version: ssl.TLSVersion) -> None:
    """Set the oldest version of TLS that is used."""
    _set(context, "minimum_version", version)


def _set(context: ssl.SSLContext, name: str, value: Any) -> None:
    if getattr(type(context), name) is not getattr(standard_class(), name):
        setattr(context, name, value)  # its class has a setter of its own
        return
    in_c = next(each for each in type(context).__mro__ if each.__module__ == "_ssl")
    getattr(in_c, name).__set__(context, value)
