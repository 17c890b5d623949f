"""Query parameters: encode, copy and merge them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from restkit.errors import InvalidUrl

ParamItem: TypeAlias = str | bytes | int | float | bool | None
ParamItems: TypeAlias = Sequence[ParamItem | Callable[[], ParamItem]]
ParamValue: TypeAlias = ParamItem | ParamItems | Callable[[], ParamItem | ParamItems]
# Values are not ParamValue: of {'a': 1, 'b': ['x', 2]}, mypy infers dict[str, object].
Params: TypeAlias = str | Mapping[str, object] | Iterable[tuple[str, object]]

_STRAY_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")
_PLAIN = re.compile("[A-Za-z0-9_.~ -]*")  # what quote_plus() leaves unchanged, and a space
_QUERY_CHARACTERS = "!$&'()*+,;=:@/?%"


def encode_query(params: Params) -> str:
    """Return the query of a mapping, pairs or a text, percent-encoded; raises InvalidUrl.

    A list or tuple repeats its name for each item. None is left out. True becomes ``true``, and a
    space ``+``, as in a form. A callable is called for its value. A str is a complete query: only
    characters that are not allowed in a query are encoded.

    >>> encode_query({'q': 'a b', 'page': [1, 2], 'all': True, 'after': None})
    'q=a+b&page=1&page=2&all=true'
    """
    try:
        if isinstance(params, str):
            return _encode_text(params)
        return "&".join(_encode_pairs(params))
    except UnicodeEncodeError as exc:
        raise InvalidUrl(
            f"params contain the lone surrogate U+{ord(exc.object[exc.start]):04X}; give bytes "
            "that are not text as bytes"
        ) from None


def copy_params(params: Params | None) -> Params | None:
    """Copy and check parameters that are used by many calls; raises InvalidUrl.

    A later change of the given mapping or list has no effect. Each call calls the callables again.
    """
    if params is None or isinstance(params, str):
        encode_query(params or "")
        return params
    pairs = [(name, tuple(_items(value))) for name, value in _pairs(params)]
    encode_query([(name, [each for each in items if not callable(each)]) for name, items in pairs])
    return [(name, items[0] if len(items) == 1 else items) for name, items in pairs]


def merge_params(defaults: Params | None, given: Params | None) -> Params | None:
    """Return the defaults, except those with a given name, followed by the given parameters.

    So a parameter that is given as None removes a default.
    """
    if not defaults or not given:
        return given or defaults
    if isinstance(defaults, str) or isinstance(given, str):
        return f"{encode_query(defaults)}&{encode_query(given)}"
    pairs = _pairs(given)
    names = {_to_text(name, name) for name, _ in pairs}
    kept = [(name, value) for name, value in _pairs(defaults) if _to_text(name, name) not in names]
    return [*kept, *pairs]


def scalar_to_text(value: object) -> str | None:
    """Return a str, number or bool as text for a query or a form; None for any other type."""
    # Not str(): an enum member that is also one of these types stands for its value here.
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return float.__repr__(value)
    return None


def quote_text(text: str | bytes) -> str:
    """Percent-encode a name or a value of a query or a form; a space becomes ``+``.

    >>> quote_text("a b&c")
    'a+b%26c'
    """
    characters = text if isinstance(text, str) else text.decode("latin-1")
    if _PLAIN.fullmatch(characters):  # as most are, and quote_plus() is slow
        return characters.replace(" ", "+")
    from urllib.parse import quote_plus

    return quote_plus(text)


def encode_stray_percents(text: str) -> str:
    """Replace each ``%`` that begins no escape by ``%25``. Valid escapes are unchanged."""
    return _STRAY_PERCENT.sub("%25", text) if "%" in text else text


def _encode_text(query: str) -> str:
    from urllib.parse import quote

    return quote(encode_stray_percents(query), safe=_QUERY_CHARACTERS)


def _encode_pairs(
    params: Mapping[str, object] | Iterable[tuple[str, object]],
) -> Iterable[str]:
    for name, given in _pairs(params):
        encoded = quote_text(_to_text(name, name))
        value = given() if callable(given) else given
        for item in _items(value):
            item_value = item() if callable(item) else item
            if item_value is not None:
                yield f"{encoded}={quote_text(_to_text(item_value, name))}"


def _pairs(params: object) -> list[tuple[Any, Any]]:
    try:
        pairs: Any = params.items() if isinstance(params, Mapping) else params
        return [(name, value) for name, value in pairs]
    except (TypeError, ValueError) as exc:
        raise InvalidUrl("params must be a mapping, pairs of (name, value), or a str") from exc


def _items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else (value,)


def _to_text(value: object, name: object) -> str | bytes:
    if isinstance(value, bytes):
        return value
    text = "" if value is None else scalar_to_text(value)
    if text is not None:
        return text
    # Every object has a str(); that of most types means nothing to a server.
    raise InvalidUrl(
        f"the parameter {name!r} must be str, bytes, int, float, bool, None or a list of these; "
        f"got {type(value).__name__}"
    )
