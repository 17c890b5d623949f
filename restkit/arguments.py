"""What callers give a Resource and its methods: which keyword is a parameter, and which is not.

Its methods take parameters of the query as keywords. One that has the name of an option, or of a
payload where there is none, was meant as that: sent in the query it would be lost, and seen by all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from restkit.choices import RequestOptions, with_options
from restkit.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from restkit.query import ParamValue

    ParamsDict = Mapping[str, ParamValue]

_OF_A_PAYLOAD = frozenset(("payload", "body", "data"))
_OF_A_CALL = RequestOptions.__optional_keys__ - {"json"}


def options_of(options: dict[str, Any]) -> dict[str, Any]:
    """The options, if a call takes them: said at once, and not at the first call."""
    for name in sorted(options.keys() & {"headers", "params"}):
        raise TypeError(
            f"{name}= is no option here, where the client is there already: give them to the "
            f"Client, or override make_{name}"
        )
    with_options(Settings(), options)
    return options


def params_of(params: ParamsDict, params_dict: ParamsDict | None) -> ParamsDict:
    """The parameters of a call; raises TypeError for what was not meant to be one."""
    for name in params:
        if name in _OF_A_PAYLOAD:
            otherwise = "request() sends a payload with any method"
        elif name == "params":
            otherwise = "parameters are keywords"
        elif name in _OF_A_CALL:
            otherwise = f"clone({name}=...) is the same resource with that option"
        else:
            continue
        raise TypeError(f"{name}= is no parameter: use params_dict for one so named; {otherwise}")
    return {**params, **params_dict} if params_dict else params


def payload_of(payload: object, body: object, data: object) -> object:
    """The one that is given of three names for a payload; raises TypeError for two."""
    given = {"payload": payload, "body": body, "data": data}
    found = [name for name, value in given.items() if value is not None]
    if len(found) > 1:
        raise TypeError(f"{' and '.join(found)} are given, and there is one payload")
    return given[found[0]] if found else None
