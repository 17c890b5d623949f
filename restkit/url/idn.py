"""Encode host names with non-ASCII characters, in the way of browsers (UTS 46, nontransitional).

With the package ``idna`` (``pip install restkit[idna]``), a name is mapped, checked and encoded as
UTS 46 demands. Only its mapping and its checks are used, because its own ``encode`` also rejects
names that browsers accept, such as emoji.

Without it, the codec of the standard library encodes the name: IDNA2003 (RFC 3490), with the case
folding of Unicode 3.2. A name that idna rejects, or encodes as another host, raises ValueError, and
so do some that idna accepts. So a name that is accepted leads to the same host on every machine.

Call ``encode_name`` only for names with a non-ASCII character, because it imports modules.
"""

from __future__ import annotations

import re

_OTHER_DOTS = "\u3002\uff0e\uff61"  # RFC 3490 3.1
# Characters that the codec rewrites or drops and UTS 46 keeps: its four deviations, the capital of
# the first of them, and one that Unicode has since removed from the list of dropped characters.
# Then capitals that UTS 46 rejected before Unicode 16, as idna 3.10 does.
_DEVIATIONS = re.compile("[\u00df\u03c2\u200c\u200d\u1e9e\u1806\u04c0\u10a0-\u10c5\u2132\u2183]")
# Characters that UTS 46 drops or rejects, and that no other check here rejects.
_NOT_KEPT = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2ff0-\u2fff\u3164\u31ef\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)
_RIGHT_TO_LEFT = frozenset(["R", "AL", "AN"])
_JOINERS = "\u200c\u200d"
_ACE_PREFIX = "xn--"
_HOW_TO = "install restkit[idna] to encode it as browsers do, or write the name in its xn-- form"


def encode_name(name: str) -> str:
    """Return a host name in lower-case ASCII; raise ValueError if it is not valid.

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
        # U+2024 and others are mapped to text with a dot, which UTS 46 rejects.
        if "." in encoded:
            raise UnicodeError("one label must not become two")
        is_same = _is_same_in_browsers(label, encoded)
    except UnicodeError as exc:
        raise ValueError(
            "the host has characters that are not allowed in a name (RFC 3491); "
            f"if newer rules allow them, {_HOW_TO}"
        ) from exc
    if not is_same:
        raise ValueError(f"without the package idna, restkit cannot encode this host: {_HOW_TO}")
    return encoded


def _is_same_in_browsers(label: str, encoded: str) -> bool:
    import unicodedata
    from stringprep import in_table_b1

    # Browsers map with today's Unicode, which may fold further than the codec did.
    mapped = "".join([character for character in label if not in_table_b1(character)])
    for _ in range(2):
        mapped = unicodedata.normalize("NFKC", mapped.casefold())
    folded = encoded.encode("ascii").decode("idna")
    return (
        mapped == folded
        and not _DEVIATIONS.search(label)
        and not unicodedata.category(folded[0]).startswith("M")
        and all(unicodedata.category(character) not in ("Cn", "Cf") for character in folded)
        and not _NOT_KEPT.search(folded)
        and _has_one_direction(folded)
    )


def _has_one_direction(label: str) -> bool:
    """Whether a label has no right-to-left characters, or hardly any others.

    All such labels satisfy the Bidi Rule of RFC 5893, which the codec does not know.
    """
    from unicodedata import bidirectional

    directions = [bidirectional(character) for character in label]
    if _RIGHT_TO_LEFT.isdisjoint(directions):
        return True
    ends = {directions[0], directions[-1]}
    return ends <= {"R", "AL"} and {"R", "AL", "NSM", "EN", "ES"}.issuperset(directions)
