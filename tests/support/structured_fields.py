"""The types of structured fields, for tests: parse, write, and show a value with its types."""

from __future__ import annotations

from typing import Any

from restkit.http1.structured_fields import (
    InnerList,
    Item,
    format_dictionary,
    format_item,
    format_list,
    parse_dictionary,
    parse_item,
    parse_list,
)

PARSERS: dict[str, Any] = {"item": parse_item, "list": parse_list, "dictionary": parse_dictionary}
FORMATTERS: dict[str, Any] = {
    "item": format_item,
    "list": format_list,
    "dictionary": format_dictionary,
}


def describe(value: object) -> str:
    """Return a text that shows types, so that a Token differs from a String, and True from 1."""
    if isinstance(value, (Item, InnerList)):
        return f"{type(value).__name__}({', '.join(map(describe, value))})"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(describe, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {describe(each)}' for key, each in value.items())}}}"
    return f"{type(value).__name__} {value!r}"
