"""Basic, Bearer and netrc credentials, and the base class Auth.

Who the caller is: what puts credentials on a request, and the plain kinds of it.

``auth=`` takes any of them; ``digest.py`` has the one that answers challenges, ``oauth1.py`` the
one that signs.

The logins of a netrc file, by host; read with the standard library's ``netrc``.

Its messages repeat the word that it stumbled over, and that may be a password (where the word
"password" before it is missing): what is said of a broken file is said here. Quotes around a
password are part of it in Python 3.10, and none since.
"""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NoReturn

from restkit.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from restkit.message.request import Request
    from restkit.message.response import HttpResponse


_UNFIT = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_NOT_VISIBLE = re.compile("[^!-~]")


class Auth(ABC):
    """What makes a request one of somebody's; a subclass writes ``authorize()``.

    ``answers_challenges``: a 401 is shown to ``answer()``, and a payload that can be sent once is
    not sent before the server has let it in. ``every_origin``: it is asked after a redirect to
    another origin, too; all others stay behind. One object may serve several threads at once.

    >>> class KeyAuth(Auth):
    ...     def authorize(self, request):
    ...         request.headers['X-Api-Key'] = 'a key'
    """

    __slots__ = ()

    answers_challenges: bool = False
    every_origin: bool = False

    @abstractmethod
    def authorize(self, request: Request) -> None:
        """Put the credentials on this try's own copy of the request, where there are any."""

    def answer(self, request: Request, response: HttpResponse) -> bool:  # noqa: ARG002
        """Learn what a 401 to ``request`` asks for; whether ``authorize`` would now do better."""
        return False

    def elsewhere(self) -> Auth | None:
        """What is asked after a redirect to another origin, in place of this one; None for none."""
        return self if self.every_origin else None

    # Most have nothing to learn, and need not say so.
    def learn(self, request: Request, response: HttpResponse) -> None:  # noqa: B027
        """Look at an answer, of any status, to a request of a call with this auth."""


class _OneHeader(Auth):
    """Credentials that are the same ``Authorization`` for every request: a value."""

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


class BasicAuth(_OneHeader):
    """User name and password as they are (RFC 7617), in UTF-8; over TLS, or anyone can read them.

    Raises RequestError for a colon in the user name, and for control characters in either.

    >>> BasicAuth('us@er', 'p:w') == BasicAuth('us@er', 'p:w')
    True
    """

    __slots__ = ()

    def __init__(self, user: str, password: str) -> None:
        from base64 import b64encode

        user, password = as_credential("user name", user), as_credential("password", password)
        if ":" in user:
            raise RequestError(
                "the user name has a colon in it, at which Basic parts it from the password; "
                "DigestAuth can send it"
            )
        self._header = f"Basic {b64encode(f'{user}:{password}'.encode()).decode('ascii')}"


class BearerAuth(_OneHeader):
    """A token that lets in whoever has it (RFC 6750).

    Raises RequestError for one with anything but visible ASCII in it, such as a line end.
    """

    __slots__ = ()

    def __init__(self, token: str) -> None:
        fault = _NOT_VISIBLE.search(as_text("token", token))
        if fault or not token:
            what = f"U+{ord(fault[0]):04X} at {fault.start()}" if fault else "nothing"
            raise RequestError(
                f"the token has {what} in it; a token is letters, digits and -._~+/= "
                "(RFC 6750 2.1): if it comes from a file, strip() it"
            )
        self._header = f"Bearer {token}"


class CallableAuth(Auth):
    """A function that is called with the request of each try, to change its headers.

    It returns None, or the request it was given; anything else is a TypeError. What it raises
    reaches the caller as it is.
    """

    __slots__ = ("_function",)

    def __init__(self, function: Callable[[Request], object]) -> None:
        self._function = function

    def authorize(self, request: Request) -> None:
        returned = self._function(request)
        if returned is not None and returned is not request:
            raise TypeError(
                f"{self!r} returned an object of type {type(returned).__name__}; it is to change "
                "the request it is given, and to return that or None"
            )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CallableAuth):
            return NotImplemented
        return self._function == other._function

    def __hash__(self) -> int:
        return hash(self._function)

    def __repr__(self) -> str:
        # Not its own repr: that of a partial shows what it was made with.
        function = self._function
        return f"<CallableAuth {getattr(function, '__qualname__', type(function).__name__)}>"


class NetrcAuth(Auth):
    """Logins out of a netrc file, by host and as Basic; none where the file has none.

    Without a ``path`` it is the file that the variable ``NETRC`` names, or else ``~/.netrc``. It
    is read once, when it is first needed; one that is missing has no logins, one that cannot be
    understood is a RequestError. User info in the URL goes before it. After a redirect it is
    asked again, for the new host; its ``default`` entry then has nothing to say, as anybody could
    redirect to himself to be told it.
    """

    __slots__ = ("_default", "_logins", "_path")
    every_origin = True

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._path = None if path is None else os.path.expanduser(os.fspath(path))
        self._logins: Logins | None = None
        self._default = True

    def elsewhere(self) -> NetrcAuth:
        other = NetrcAuth(self._path)
        other._logins, other._default = self._logins, False
        return other

    def authorize(self, request: Request) -> None:
        url = request.url
        if url.username is not None:
            login: tuple[str, str] | None = (url.username, url.password or "")
        else:
            login = self._read(request).at(url.host, default=self._default)
        if login is not None:
            BasicAuth(*login).authorize(request)

    def _read(self, request: Request) -> Logins:
        # Of two threads that come first both may read it, to the same end.
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
    """What ``auth=`` means; raises RequestError, which does not repeat what it was given."""
    if value is None or isinstance(value, Auth):
        return value
    if isinstance(value, (tuple, list)):
        if len(value) != 2:
            _refuse(f"{len(value)} values in a row")
        return BasicAuth(*value)
    if isinstance(value, str):
        if value != "netrc":
            _refuse("a text")
        return NetrcAuth()
    if isinstance(value, type) or not callable(value):
        _refuse(f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__)
    return CallableAuth(value)


def _refuse(what: str) -> NoReturn:
    raise RequestError(
        f"auth= was given {what}: ('user', 'password') is wanted, an Auth such as "
        "BearerAuth('token'), a function of the request, or 'netrc'"
    )


def as_text(what: str, value: object) -> str:
    """A str as it is; raises RequestError for anything else, without showing it."""
    if not isinstance(value, str):
        raise RequestError(f"the {what} is of type {type(value).__name__}; str is wanted")
    return value


def as_credential(what: str, value: object) -> str:
    """A user name or a password that can be sent; raises RequestError, without showing it."""
    text = as_text(what, value)
    fault = _UNFIT.search(text)
    if fault:
        raise RequestError(
            f"the {what} has U+{ord(fault[0]):04X} at {fault.start()}, which cannot be sent: "
            "control characters are not allowed (RFC 7617 2), half characters have no UTF-8"
        )
    return text


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
