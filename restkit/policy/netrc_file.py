"""The logins of a netrc file, by host; read with the standard library's ``netrc``.

Its messages repeat the word that it stumbled over, and that may be a password (where the word
"password" before it is missing): what is said of a broken file is said here. Quotes around a
password are part of it in Python 3.10, and none since.
"""

from __future__ import annotations

import os

from restkit.errors import RequestError

_DEFAULT = "default"


class Logins:
    """Who to be at which host: (user, password), by host and for all others together."""

    __slots__ = ("_by_host",)

    def __init__(self, by_host: dict[str, tuple[str, str]]) -> None:
        self._by_host = {host.lower(): login for host, login in by_host.items()}

    def at(self, host: str, *, default: bool = True) -> tuple[str, str] | None:
        """The login at a host; where it has no entry, that of the ``default`` one if it counts."""
        found = self._by_host.get(host) if host != _DEFAULT else None
        if found is None and default:
            found = self._by_host.get(_DEFAULT)
        return found if found is not None and any(found) else None

    def __repr__(self) -> str:
        return f"<Logins at {len(self._by_host)} hosts>"


def read_logins(path: str | None) -> Logins:
    """The logins in this file, or else in that of ``NETRC`` or ``~/.netrc``; none if it is missing.

    Raises RequestError where it cannot be read. ``~/.netrc`` must belong to the user, who alone
    may read it.
    """
    from netrc import NetrcParseError, netrc

    named = path or os.environ.get("NETRC") or None
    shown = named or "~/.netrc"
    try:
        # Only without a name does it look at who may read the file.
        found = netrc(named)
    except FileNotFoundError:
        return Logins({})
    except NetrcParseError as exc:
        # Not chained, and without its words: see above.
        raise RequestError(f"{shown}: {_fault(exc.lineno)}") from None
    except UnicodeDecodeError:
        # Not chained: it has the bytes.
        raise RequestError(f"{shown} is no text in UTF-8, nor in this locale's encoding") from None
    except OSError as exc:
        raise RequestError(f"{shown} cannot be read: {exc.strerror}") from exc
    return Logins({host: (entry[0], entry[2] or "") for host, entry in found.hosts.items()})


def _fault(line: int | None) -> str:
    if line is None:
        return "it must belong to you, and nobody else may read it (chmod 600)"
    return (
        f"line {line}, or the entry that ends there, is not understood: machine NAME "
        "login USER password SECRET is wanted, in a file that only its owner may read"
    )
