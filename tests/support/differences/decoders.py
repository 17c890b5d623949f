"""Coded bodies that restkit, and a library in one call, decode differently.

``zstd-in-parts`` is restkit itself, if the body arrives in parts.
"""

from __future__ import annotations

from support.differences import ACCEPTED, ANY, Difference

DIFFERENCES = [
    Difference(
        *("zstd-in-parts", "Data corruption detected", ACCEPTED, ANY),
        "8878 3.1.1.1.4: libzstd 1.5.7 compares the declared size with that of the content, except "
        "if it gets the last block in parts and that block is empty",
    ),
]
