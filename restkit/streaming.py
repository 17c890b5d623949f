"""Public names for streams: replayable ones, zip archives, gzip files, digests."""

from restkit.content_digest.payloads import hashing
from restkit.content_encoding.payloads import gunzip_stream, gzip_stream
from restkit.payload.replay import ResourceStream, ResourceStreamFunction, replayable
from restkit.zip.archive import ZipStream, create_zip_stream_resource, stream_zip
from restkit.zip.entry import ZipStreamFile
from restkit.zip.names import name_deduplicator_default
from restkit.zip.records import (
    COMPRESSION_METHOD_BZIP2,
    COMPRESSION_METHOD_DEFLATE,
    COMPRESSION_METHOD_LZMA,
    COMPRESSION_METHOD_NONE,
)

__all__ = [
    "COMPRESSION_METHOD_BZIP2",
    "COMPRESSION_METHOD_DEFLATE",
    "COMPRESSION_METHOD_LZMA",
    "COMPRESSION_METHOD_NONE",
    "ResourceStream",
    "ResourceStreamFunction",
    "ZipStream",
    "ZipStreamFile",
    "create_zip_stream_resource",
    "gunzip_stream",
    "gzip_stream",
    "hashing",
    "name_deduplicator_default",
    "replayable",
    "stream_zip",
]
