"""Basic, Bearer, callable and netrc credentials, and their base class Auth."""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NoReturn

from restkit.errors import RequestError
from restkit.message.request import Request
from restkit.message.response import HttpResponse
from restkit.url.host import normalize_name

_NOT_SENDABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_NOT_VISIBLE = re.compile("[^!-~]")


class Auth(ABC):
    """The base class of credentials; a subclass implements ``authorize()``.

    With ``answers_challenges``, a 401 is passed to ``answer()``, and a one-shot payload is sent
    only after the server has accepted the credentials. With ``every_origin``, it is also used after
    a redirect to another origin; by default credentials stay with their origin. One object may
    serve several threads at once.

    >>> class KeyAuth(Auth):
    ...     def authorize(self, request):
    ...         request.headers['X-Api-Key'] = 'a key'
    """

    __slots__ = ()

    answers_challenges: bool = False
    every_origin: bool = False

    @abstractmethod
    def authorize(self, request: Request) -> None:
        """Set the credentials on ``request``, a copy for this attempt, or leave it unchanged."""

    def answer(self, request: Request, response: HttpResponse) -> bool:  # noqa: ARG002
        """Learn from a 401; return whether another attempt can succeed."""
        return False

    def for_other_origin(self) -> Auth | None:
        """Return the auth to use after a redirect to another origin, or None."""
        return self if self.every_origin else None

    # Not abstract: most subclasses have nothing to learn.
    def learn(self, request: Request, response: HttpResponse) -> None:  # noqa: B027
        """Examine a response, of any status, to a request with this auth."""


# No dataclass: a frozen one would forbid a subclass to set attributes of its own.
class _HeaderAuth(Auth):
    """Credentials with the same ``Authorization`` header for every request."""

    __slots__ = ("_header",)
    _header: str

    def authorize(self, request: Request) -> None:
        request.headers["Authorization"] = self._header

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._header == other._header

    def __hash__(self) -> int:
        return hash(self._header)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class BasicAuth(_HeaderAuth):
    """User name and password in plain text (RFC 7617), in UTF-8. Without TLS anyone can read them.

    Raises RequestError for a colon in the user name, and for control characters in either.

    >>> BasicAuth('us@er', 'p:w') == BasicAuth('us@er', 'p:w')
    True
    """

    __slots__ = ()

    def __init__(self, user: str, password: str) -> None:
        from base64 import b64encode

        check_credential("user name", user)
        check_credential("password", password)
        if ":" in user:
            raise RequestError(
                "the user name must not contain a colon, which separates it from the password in "
                "Basic; DigestAuth can send it"
            )
        self._header = f"Basic {b64encode(f'{user}:{password}'.encode()).decode('ascii')}"


class BearerAuth(_HeaderAuth):
    """A token that authorizes its bearer (RFC 6750).

    Raises RequestError if the token is not visible ASCII, for example if it ends with a newline.

    >>> BearerAuth('mF_9.B5f-4.1JqM')
    <BearerAuth>
    """

    __slots__ = ()

    def __init__(self, token: str) -> None:
        check_text("token", token)
        fault = _NOT_VISIBLE.search(token)
        if fault or not token:
            found = f"contains U+{ord(fault[0]):04X} at {fault.start()}" if fault else "is empty"
            raise RequestError(
                f"the token {found}; it must be letters, digits and -._~+/= (RFC 6750 2.1). If it "
                "comes from a file, strip() it"
            )
        self._header = f"Bearer {token}"


class CallableAuth(Auth):
    """A function that changes the headers of the request, called for each attempt.

    It must return None or the request that it was given, else TypeError is raised. An exception of
    the function is raised to the caller unchanged.
    """

    __slots__ = ("_function",)

    def __init__(self, function: Callable[[Request], object]) -> None:
        self._function = function

    def authorize(self, request: Request) -> None:
        returned = self._function(request)
        if returned is not None and returned is not request:
            raise TypeError(
                f"{self!r} must change the request that it is given and return it or None; it "
                f"returned {type(returned).__name__}"
            )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CallableAuth):
            return NotImplemented
        return self._function == other._function

    def __hash__(self) -> int:
        return hash(self._function)

    def __repr__(self) -> str:
        # Not the repr of the function: that of a partial shows its arguments.
        function = self._function
        return f"<CallableAuth {getattr(function, '__qualname__', type(function).__name__)}>"


class NetrcAuth(Auth):
    """Logins from a netrc file, one for each host, sent as Basic.

    Without ``path``, the file is that of the variable ``NETRC``, else ``~/.netrc``. It is read
    once, at the first request. A machine name may have non-ASCII characters, as in a URL. A host
    without a login gets no credentials. A missing file has no logins; one that cannot be parsed
    raises RequestError. User info in the URL overrides the file.
    After a redirect, the login of the new host is used, but not the ``default`` entry: any server
    could obtain it by a redirect.

    >>> NetrcAuth('/etc/logins')
    NetrcAuth('/etc/logins')
    """

    __slots__ = ("_default", "_logins", "_path")
    every_origin = True

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._path = None if path is None else os.path.expanduser(os.fspath(path))
        self._logins: Logins | None = None
        self._default = True

    def for_other_origin(self) -> NetrcAuth:
        other = NetrcAuth(self._path)
        other._logins, other._default = self._logins, False
        return other

    def authorize(self, request: Request) -> None:
        url = request.url
        if url.username is not None:
            login: tuple[str, str] | None = (url.username, url.password or "")
        else:
            login = self._read_logins(request).find(url.host, default=self._default)
        if login is not None:
            BasicAuth(*login).authorize(request)

    def _read_logins(self, request: Request) -> Logins:
        # Two threads may both read the file, with the same result.
        if self._logins is None:
            try:
                self._logins = read_logins(self._path)
            except RequestError as error:
                error.request = request
                raise
        return self._logins

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NetrcAuth):
            return NotImplemented
        return (self._path, self._default) == (other._path, other._default)

    def __hash__(self) -> int:
        return hash((self._path, self._default))

    def __repr__(self) -> str:
        return f"NetrcAuth({'' if self._path is None else repr(self._path)})"


def as_auth(value: object) -> Auth | None:
    """Convert the option ``auth``; raises RequestError, which does not show the value."""
    if value is None or isinstance(value, Auth):
        return value
    if isinstance(value, (tuple, list)):
        if len(value) != 2:
            _raise_wrong_auth(f"a {type(value).__name__} of {len(value)}")
        return BasicAuth(*value)
    if isinstance(value, str):
        if value != "netrc":
            _raise_wrong_auth("another str")
        return NetrcAuth()
    if isinstance(value, type):
        _raise_wrong_auth(f"the class {value.__name__}")
    if not callable(value):
        _raise_wrong_auth(type(value).__name__)
    return CallableAuth(value)


def _raise_wrong_auth(found: str) -> NoReturn:
    raise RequestError(
        "auth must be ('user', 'password'), an Auth such as BearerAuth('token'), a function of the "
        f"request, 'netrc' or None; got {found}"
    )


def check_text(name: str, value: object) -> None:
    """Raise RequestError if the value is not a str. The error does not show it."""
    if not isinstance(value, str):
        raise RequestError(f"the {name} must be a str; got {type(value).__name__}")


def check_credential(name: str, value: str) -> None:
    """Raise RequestError if a user name or password cannot be sent. The error does not show it."""
    check_text(name, value)
    fault = _NOT_SENDABLE.search(value)
    if fault:
        raise RequestError(
            f"the {name} contains U+{ord(fault[0]):04X} at {fault.start()}, which cannot be sent: "
            "control characters are not allowed (RFC 7617 2), lone surrogates have no UTF-8"
        )


_DEFAULT = "default"


class Logins:
    """The logins of a netrc file, (user, password) by host, and that of its ``default`` entry."""

    __slots__ = ("_by_host",)

    def __init__(self, by_host: dict[str, tuple[str, str]]) -> None:
        self._by_host = {_normalize_machine(host): login for host, login in by_host.items()}

    def find(self, host: str, *, default: bool = True) -> tuple[str, str] | None:
        """Return the login of a host, or else the default login if it is allowed."""
        found = self._by_host.get(host) if host != _DEFAULT else None
        if found is None and default:
            found = self._by_host.get(_DEFAULT)
        return found if found is not None and any(found) else None

    def __repr__(self) -> str:
        return f"<Logins at {len(self._by_host)} hosts>"


def _normalize_machine(name: str) -> str:
    """Return a machine name in the form of a host in a URL."""
    try:
        return normalize_name(name)
    except ValueError:
        return name.lower()  # an address, or a name that no URL can have


def read_logins(path: str | None) -> Logins:
    """Read the file at ``path``, else that of ``NETRC``, else ``~/.netrc``; empty if it is missing.

    Raises RequestError if it cannot be read or parsed. ``~/.netrc`` must belong to the user, and
    nobody else may have permission to read it. Quotes are part of a password in Python 3.10, and
    not in later versions.
    """
    from netrc import NetrcParseError, netrc

    file_name = path or os.environ.get("NETRC") or None
    shown_name = file_name or "~/.netrc"
    try:
        # It checks owner and permissions only if it is called without a name.
        found = netrc(file_name)
    except FileNotFoundError:
        return Logins({})
    except NetrcParseError as exc:
        # Not chained, and without its message: that repeats the word at which it failed, which is
        # the password if the word "password" before it is missing.
        raise RequestError(f"{shown_name}: {_explain_fault(exc.lineno)}") from None
    except UnicodeDecodeError:
        # Not chained: it contains the bytes.
        raise RequestError(f"{shown_name} must be text in UTF-8 or the locale's encoding") from None
    except OSError as exc:
        raise RequestError(f"{shown_name} cannot be read: {exc.strerror}") from exc
    return Logins({host: (entry[0], entry[2] or "") for host, entry in found.hosts.items()})


def _explain_fault(line: int | None) -> str:
    if line is None:
        return "it must belong to you, and nobody else may read it (chmod 600)"
    return (
        f"line {line}, or the entry that ends there, is invalid; an entry must be machine NAME "
        "login USER password SECRET, in a file that only its owner may read"
    )
