"""Archives that restkit writes, read by zipfile and by stream-unzip.

An input is the files, separated by two LFs: an octet that chooses the options, the name, LF, and
the content.
"""

from __future__ import annotations

import io
import random
import stat
import zipfile
from datetime import datetime, timezone
from typing import NamedTuple

from stream_unzip import stream_unzip

from fuzz.target import Mismatch, Target, make_random, split_at_random
from restkit import PayloadError
from restkit.streaming import ZipStream, ZipStreamFile
from support.payloads import SizedPayload

_STORED, _DEFLATED = 0, 8


class Member(NamedTuple):
    """A file as a reader returns it."""

    name: str
    data: bytes
    mode: int
    comment: str
    modified_at: tuple[int, ...]


def make_file(record: bytes, source: random.Random) -> tuple[ZipStreamFile, Member, bool]:
    """Return a file, its expected member, and whether it can be read as a stream."""
    options = record[0] if record else 0
    name_bytes, _, data = record[1:].partition(b"\n")
    name = name_bytes.decode("utf-8", "surrogateescape")
    data = b"" if name.endswith("/") else data * (1 + options // 64 * 20)
    kind = options % 3
    stream = [data, SizedPayload(data), iter(split_at_random(data, source))][kind]
    if name.endswith("/"):
        stream = b""
    method = _DEFLATED if options & 4 else _STORED
    modified_at = datetime.fromtimestamp(source.randrange(315532800, 4354819198), timezone.utc)
    is_folder = name.endswith("/")
    mode = (stat.S_IFDIR if is_folder else stat.S_IFREG) | source.choice([0o644, 0o600, 0o755])
    comment = source.choice(["", "gr\u00fcn", "x" * 300])
    file = ZipStreamFile(
        name,
        stream,
        compression_method=method,
        modified_at=modified_at,
        mode=mode,
        comment=comment,
        zip64=bool(options & 8),
    )
    time = (*modified_at.timetuple()[:5], modified_at.second // 2 * 2)
    # Stored data of unknown size has no end that a stream shows.
    streamable = method == _DEFLATED or kind != 2
    return file, Member(name, data, mode, comment, time), streamable


def read_with_zipfile(archive: bytes) -> list[Member]:
    with zipfile.ZipFile(io.BytesIO(archive)) as read:
        return [
            Member(
                info.filename,
                read.read(info),
                info.external_attr >> 16,
                info.comment.decode("utf-8"),
                info.date_time,
            )
            for info in read.infolist()
        ]


def read_with_stream_unzip(parts: list[bytes]) -> list[tuple[str, bytes]]:
    return [
        (name.decode("utf-8"), b"".join(chunks)) for name, _, chunks in stream_unzip(iter(parts))
    ]


def check(data: bytes) -> None:
    """Write the files of an input, and read them."""
    source = make_random(data)
    try:
        made = [make_file(record, source) for record in data.split(b"\n\n")]
    except PayloadError:
        return
    files = [file for file, _, _ in made]
    wanted = [member for _, member, _ in made]
    payload = ZipStream(files, name_deduplicator=None)
    archive = b"".join(bytes(chunk) for chunk in payload)
    if payload.length not in (None, len(archive)):
        raise Mismatch("the length is wrong", f"{payload.length}, not {len(archive)}")
    if payload.replayable and archive != b"".join(bytes(chunk) for chunk in payload):
        raise Mismatch("the second pass has other bytes", repr(files))
    found = read_with_zipfile(archive)
    if found != wanted:
        raise Mismatch("zipfile reads other files", f"{found}\nnot {wanted}")
    if all(streamable for _, _, streamable in made):
        streamed = read_with_stream_unzip(split_at_random(archive, source))
        if streamed != [(member.name, member.data) for member in wanted]:
            raise Mismatch("stream-unzip reads other files", f"{streamed}\nnot {wanted}")


TARGET = Target(
    check,
    seeds=[
        b"\x04a.txt\nhello",
        b"\x00a\nstored\n\n\x05b/\n\n\n\x06c/d.txt\nlines and lines and lines",
        b"\xccgr\xc3\xbc\xc3\x9fe.bin\n" + bytes(range(11, 256)),
        b"\x0azip64\nPK\x07\x08PK\x03\x04PK\x01\x02PK\x05\x06",
        b"\x03same\n1\n\n\x07same\n2",
    ],
    words=[b"\n\n", b"PK\x03\x04", b"PK\x07\x08", b"PK\x01\x02", b"PK\x05\x06", b"/", b"\xc3\xbc"],
    max_length=600,
)
