"""Messages for unknown options: the name in restkit, a similar name, or all names."""

from __future__ import annotations

from collections.abc import Iterable

_ARGUMENTS = ("url", "method", "payload", "headers")

_CLIENT_ONLY = "it is an option of a Client, not of a call"
_CALL_ONLY = "it is an option of a call, not of a Client"
_ALWAYS_STREAMS = "a response always streams: read body_file, body_stream() or payload_stream"

# Names of other libraries, and options of restkit in the wrong place.
_HINTS = {
    "files": "payload= takes a file, or a dict or a FormData that contains files",
    "content": "restkit calls it payload",
    "stream": _ALWAYS_STREAMS,
    "preload_content": _ALWAYS_STREAMS,
    "verify_ssl": "restkit calls it verify",
    "ssl_verify": "restkit calls it verify",
    "ca_certs": "restkit calls it verify, with the path of the file",
    "ssl": "restkit calls it ssl_context",
    "assert_fingerprint": "restkit calls it fingerprint",
    "ssl_minimum_version": "restkit calls it min_tls",
    "allow_redirects": "restkit calls it follow_redirect",
    "follow_redirects": "restkit calls it follow_redirect",
    "redirect": "restkit calls it follow_redirect",
    "max_redirects": "restkit calls it max_follow_redirect",
    "proxies": "restkit calls it proxy, one URL; proxies of the environment are the default",
    "proxy_url": "restkit calls it proxy",
    "use_proxy": "restkit uses the proxies of the environment, unless a Client has trust_env=False",
    "max_retries": "restkit calls it retries, a number or a restkit.Retry",
    "retry": "restkit calls it retries, a number or a restkit.Retry",
    "event_hooks": "restkit calls them filters",
    "hooks": "restkit calls them filters",
    "decode_content": "restkit calls it decompress",
    "fields": "restkit calls it params in the URL, payload in the body",
    "query": "restkit calls it params",
    "chunked": "a payload without a length is chunked; Transfer-Encoding: chunked forces it",
    "read_timeout": "restkit calls it timeout=Timeout(idle=...)",
    "connect_timeout": "restkit calls it timeout=Timeout(connect=...)",
    "maxsize": "restkit calls it pool_size, at a Client",
    "pool_maxsize": "restkit calls it pool_size, at a Client",
    "pool_connections": "restkit calls it pool_size, at a Client",
    "limits": "restkit calls them max_connections, max_idle_connections and pool_size, at a Client",
    "max_keepalive_connections": "restkit calls it max_idle_connections, at a Client",
    "unix_socket": "restkit calls it uds, at a Client",
    "local_address": "restkit calls it source_address, at a Client",
    "http2": "restkit supports only HTTP/1.1",
    "pool_size": _CLIENT_ONLY,
    "max_idle_connections": _CLIENT_ONLY,
    "max_idle": _CLIENT_ONLY,
    "max_connections": _CLIENT_ONLY,
    "base_url": _CLIENT_ONLY,
    "cookies": f"{_CLIENT_ONLY}: its jar is client.cookies, and a call can send a Cookie header",
    "trust_env": _CLIENT_ONLY,
    "uds": _CLIENT_ONLY,
    "source_address": _CLIENT_ONLY,
    "socket_options": _CLIENT_ONLY,
    "connect": _CLIENT_ONLY,
    "resolve": _CLIENT_ONLY,
    "json": _CALL_ONLY,
    "body": _CALL_ONLY,
    "data": _CALL_ONLY,
    "payload": _CALL_ONLY,
    "method": _CALL_ONLY,
    "url": f"{_CALL_ONLY}; a Client has base_url",
}


def unknown_option(name: str, known: Iterable[str], similar_to: Iterable[str]) -> str:
    """Return the message for an unknown option.

    For a name of another library, the message names the option of restkit. Otherwise it names
    similar options from ``similar_to``, or all ``known`` options.
    """
    hint = _HINTS.get(name)
    if hint is None:
        from difflib import get_close_matches  # slow to import, and only errors need it

        names = sorted({*_ARGUMENTS, *similar_to})
        if similar := get_close_matches(name.lower(), names, n=2, cutoff=0.7):
            return f"{name}= is not an option; did you mean {'= or '.join(similar)}=?"
        hint = f"the options are {', '.join(known)}, and for one call params, json, body and data"
    return f"{name}= is not an option here: {hint}"
