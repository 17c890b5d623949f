"""A receiver for a server that is started in a folder of its own."""

from __future__ import annotations

from restkit.server import receive

app = receive("received_files")
