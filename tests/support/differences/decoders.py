"""Coded bodies that restkit, and a library in one call, decode differently."""

from __future__ import annotations

from support.differences import ACCEPTED, Difference

DIFFERENCES = [
    Difference(
        *("zstd zstd-in-parts", "Data corruption detected", ACCEPTED, rb""),
        "8878 3.1.1.1.4: libzstd 1.5.7 compares the declared size with that of the content, except "
        "if it gets the last block in parts and that block is empty",
    ),
    Difference(
        *("zstd zstd-in-parts", ACCEPTED, "Data corruption detected", rb""),
        "the same, the other way round",
    ),
]
