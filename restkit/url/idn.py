"""Encode host names with non-ASCII characters, in the way of browsers (UTS 46, nontransitional).

With the package ``idna`` (``pip install restkit[idna]``), a name is mapped, checked and encoded as
UTS 46 demands. Its own ``encode`` also rejects names that browsers accept, such as emoji, so that
only its mapping and its checks are used here.

Without it, the codec of the standard library encodes the name: IDNA2003 (RFC 3490), with the case
folding of Unicode 3.2. A name that browsers read as another host raises ValueError. So a name that
is accepted leads to the same host on every machine.

``encode_name`` is only called for names that have a non-ASCII character: no other name may cause
an import.
"""

from __future__ import annotations

_OTHER_DOTS = "\u3002\uff0e\uff61"  # RFC 3490 3.1
# Characters that the codec rewrites or drops and UTS 46 keeps: its four deviations, the capital of
# the first of them, and one that Unicode has since removed from the list of dropped characters.
_DEVIATIONS = frozenset("\u00df\u03c2\u200c\u200d\u1e9e\u1806")
_JOINERS = "\u200c\u200d"
_ACE_PREFIX = "xn--"
_HOW_TO = "install restkit[idna] to encode it as browsers do, or write the name in its xn-- form"


def encode_name(name: str) -> str:
    """Return a host name in ASCII and lower case; raise ValueError if it is none.

    The result may still have labels that are empty, too long or have other ASCII characters.

    >>> encode_name('M\u00fcnchen.example')
    'xn--mnchen-3ya.example'
    """
    try:
        import idna
    except ImportError:
        return _encode_by_codec(name)
    try:
        labels = idna.uts46_remap(name, std3_rules=False).split(".")
        return ".".join([label if label.isascii() else _encode_label(label) for label in labels])
    except ValueError as exc:
        raise ValueError("the host has characters that are not allowed in a name (UTS 46)") from exc


def _encode_label(label: str) -> str:
    """Check a label by the validity criteria of UTS 46, and encode it."""
    import idna

    idna.check_initial_combiner(label)
    idna.check_bidi(label)
    if label.startswith(_ACE_PREFIX):
        raise ValueError("an encoded label has non-ASCII characters")
    for at, character in enumerate(label):
        if character in _JOINERS and not idna.valid_contextj(label, at):
            raise ValueError("a joiner is not allowed at this place")
    return _ACE_PREFIX + label.encode("punycode").decode("ascii")


def _encode_by_codec(name: str) -> str:
    for dot in _OTHER_DOTS:
        name = name.replace(dot, ".")
    return ".".join([_encode_label_by_codec(label) for label in name.split(".")])


def _encode_label_by_codec(label: str) -> str:
    if label.isascii():
        return label.lower()
    try:
        encoded = label.encode("idna").decode("ascii")
        if "." in encoded:
            raise UnicodeError("a character is mapped to a dot, such as U+2024")
        is_same = _is_same_in_browsers(label, encoded)
    except UnicodeError as exc:
        raise ValueError(
            "the host has characters that are not allowed in a name (RFC 3491); "
            f"if it is valid today, {_HOW_TO}"
        ) from exc
    if not is_same:
        raise ValueError(f"without the package idna, restkit cannot encode this host: {_HOW_TO}")
    return encoded


def _is_same_in_browsers(label: str, encoded: str) -> bool:
    import unicodedata

    # Browsers fold with today's Unicode, which may fold further than the codec did.
    folded = encoded.encode("ascii").decode("idna")
    return (
        _DEVIATIONS.isdisjoint(label)
        and not unicodedata.category(label[0]).startswith("M")
        and unicodedata.normalize("NFKC", folded.casefold()) == folded
        and all(unicodedata.category(character) != "Cn" for character in label)
    )
