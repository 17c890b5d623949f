"""What to say of an option that restkit does not have, or not there: what restkit calls it."""

from __future__ import annotations

from collections.abc import Iterable

_OF_A_CLIENT = "it belongs to a Client, and not to one call"
_OF_A_CALL = "it belongs to a call, and not to a Client"
_ALWAYS_STREAMS = "a response always streams: read body_file, body_stream() or payload_stream"

# What other libraries call what restkit has, or does by itself; and restkit's own in wrong places.
_HINTS = {
    "files": "payload= takes a file as it is, and a dict or a FormData with files in it",
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
    "proxies": "restkit calls it proxy: one URL, or the environment's by itself",
    "proxy_url": "restkit calls it proxy",
    "use_proxy": "restkit uses the environment's proxies by itself; trust_env=False at a Client",
    "max_retries": "restkit calls it max_tries, or retries= with urllib3's Retry",
    "retry": "restkit calls it max_tries, or retries= with urllib3's Retry",
    "event_hooks": "restkit calls them filters",
    "hooks": "restkit calls them filters",
    "decode_content": "restkit calls it decompress",
    "fields": "restkit calls it params in the URL, payload in the body",
    "query": "restkit calls it params",
    "chunked": "restkit chunks what has no length; the header Transfer-Encoding: chunked forces it",
    "read_timeout": "restkit calls it timeout=Timeout(idle=...)",
    "connect_timeout": "restkit calls it timeout=Timeout(connect=...)",
    "maxsize": "restkit calls it pool_size, at a Client",
    "pool_maxsize": "restkit calls it pool_size, at a Client",
    "pool_connections": "restkit calls it pool_size, at a Client",
    "limits": "restkit calls them pool_size and max_connections, at a Client",
    "unix_socket": "restkit calls it uds, at a Client",
    "local_address": "restkit calls it source_address, at a Client",
    "http2": "restkit speaks HTTP/1.1",
    "pool_size": _OF_A_CLIENT,
    "max_idle": _OF_A_CLIENT,
    "max_connections": _OF_A_CLIENT,
    "base_url": _OF_A_CLIENT,
    "cookies": f"{_OF_A_CLIENT}: its jar is client.cookies, and a call can give a Cookie header",
    "trust_env": _OF_A_CLIENT,
    "uds": _OF_A_CLIENT,
    "source_address": _OF_A_CLIENT,
    "socket_options": _OF_A_CLIENT,
    "connect": _OF_A_CLIENT,
    "resolve": _OF_A_CLIENT,
    "json": _OF_A_CALL,
    "body": _OF_A_CALL,
    "data": _OF_A_CALL,
    "payload": _OF_A_CALL,
    "method": _OF_A_CALL,
    "url": f"{_OF_A_CALL}; a Client's is base_url",
}


def unknown_option(name: str, known: Iterable[str]) -> str:
    """What to say of an option that is none: what restkit calls it, or else which there are."""
    hint = _HINTS.get(name)
    if hint is None:
        hint = f"the options are {', '.join(known)}, and for one call params, json, body and data"
    return f"{name}= is no option here: {hint}"
