"""Encode query parameters.

Parameters as callers have them, turned into the query of a URL.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from restkit.errors import InvalidUrl

ParamItem: TypeAlias = str | bytes | int | float | bool | None
ParamItems: TypeAlias = Sequence[ParamItem | Callable[[], ParamItem]]
ParamValue: TypeAlias = ParamItem | ParamItems | Callable[[], ParamItem | ParamItems]
Params: TypeAlias = str | Mapping[str, ParamValue] | Iterable[tuple[str, ParamValue]]

_STRAY_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")
_QUERY_CHARACTERS = "!$&'()*+,;=:@/?%"


def encode_query(params: Params) -> str:
    """The query that a mapping, pairs or a text mean, percent-encoded; raises InvalidUrl.

    A list or tuple gives its name once for each item, None is the empty value, True is
    ``true``, a space is ``+``, as in a form; what can be called is called. A text is a query
    already: in it, only what may not stand in a query is encoded.
    """
    try:
        if isinstance(params, str):
            return _encode_text(params)
        return "&".join(_encode_pairs(params))
    except UnicodeEncodeError as exc:
        raise InvalidUrl(
            f"params have half a character (U+{ord(exc.object[exc.start]):04X}) in them; bytes "
            "that are no text can be given as bytes"
        ) from None


def kept_params(params: Params | None) -> Params | None:
    """Parameters for many calls, whatever becomes of what they were in; raises InvalidUrl.

    What is to be called is called by each call.
    """
    if params is None or isinstance(params, str):
        encode_query(params or "")
        return params
    pairs = [(name, tuple(_items(value))) for name, value in _pairs(params)]
    encode_query([(name, [each for each in items if not callable(each)]) for name, items in pairs])
    return [(name, items[0] if len(items) == 1 else items) for name, items in pairs]


def merged_params(defaults: Params | None, given: Params | None) -> Params | None:
    """The defaults, but for those that are given anew, and what is given behind them."""
    if not defaults or not given:
        return given or defaults
    if isinstance(defaults, str) or isinstance(given, str):
        return f"{encode_query(defaults)}&{encode_query(given)}"
    pairs = _pairs(given)
    names = {_text(name, name) for name, _ in pairs}
    return [*(pair for pair in _pairs(defaults) if _text(pair[0], pair[0]) not in names), *pairs]


def text_of(value: object) -> str | None:
    """What a str, a number or a truth says, in a query as in a form; None for anything else."""
    # Not str(): the member of an enum that is one of these is its value here.
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return float.__repr__(value)
    return None


def stray_percents_encoded(text: str) -> str:
    """The text with each ``%`` that begins no escape as ``%25``; escapes stay as they are."""
    return _STRAY_PERCENT.sub("%25", text) if "%" in text else text


def _encode_text(query: str) -> str:
    from urllib.parse import quote

    return quote(stray_percents_encoded(query), safe=_QUERY_CHARACTERS)


def _encode_pairs(
    params: Mapping[str, ParamValue] | Iterable[tuple[str, ParamValue]],
) -> Iterable[str]:
    from urllib.parse import quote_plus

    for name, given in _pairs(params):
        encoded = quote_plus(_text(name, name))
        value = given() if callable(given) else given
        for item in _items(value):
            text = _text(item() if callable(item) else item, name)
            yield f"{encoded}={quote_plus(text)}"


def _pairs(params: object) -> list[tuple[Any, Any]]:
    try:
        pairs: Any = params.items() if isinstance(params, Mapping) else params
        return [(name, value) for name, value in pairs]
    except (TypeError, ValueError) as exc:
        raise InvalidUrl("params= is a mapping, pairs of (name, value), or text") from exc


def _items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else (value,)


def _text(value: object, name: object) -> str | bytes:
    if isinstance(value, bytes):
        return value
    text = "" if value is None else text_of(value)
    if text is not None:
        return text
    # Anything has a str(), and that of most is nothing a server knows what to do with.
    raise InvalidUrl(
        f"the parameter {name!r} is of type {type(value).__name__}; str, bytes, int, float, "
        "bool, None or a list of these would do"
    )
