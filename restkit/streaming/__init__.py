"""Streams made of streams: made again, zipped, compressed, taken apart, summed up."""

from restkit.streaming.digest import hashing
from restkit.streaming.gzip import gunzip_stream, gzip_stream
from restkit.streaming.names import name_deduplicator_default
from restkit.streaming.replay import ResourceStream, ResourceStreamFunction, replayable
from restkit.streaming.zip import ZipStream, create_zip_stream_resource, stream_zip
from restkit.streaming.zip_entry import ZipStreamFile
from restkit.streaming.zip_records import (
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
