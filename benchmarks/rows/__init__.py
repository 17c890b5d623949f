"""All rows in the order of the budget. Each row has a file, with the code of its peers."""

from __future__ import annotations

from benchmarks.row import over_tls
from benchmarks.rows import (
    download,
    form,
    generator,
    gzips,
    imports,
    read_1024,
    save,
    serving,
    small_get,
    upload,
    zips,
)

ROWS = {
    row.name: row
    for row in (
        small_get.ROW,
        download.ROW,
        save.ROW,
        upload.ROW,
        generator.ROW,
        read_1024.ROW,
        imports.ROW,
        form.ROW,
        zips.SMALL,
        zips.BIG,
        gzips.ROW,
        serving.TAKING,
        serving.GIVING,
        over_tls(small_get.ROW),
        over_tls(download.ROW),
        over_tls(upload.ROW),
    )
}
