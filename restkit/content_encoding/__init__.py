"""Content codings: gzip, deflate, brotli and zstd, in both directions."""
