"""Tools for tests of HTTP code: a server with faults, a client of an application, recordings.

With pytest, the fixture ``restkit_server`` is a ``LocalServer`` for one test.
"""

from restkit.testing.cassette import Cassette, UnknownRequest
from restkit.testing.faults import Delay, Drop, Fault, Reset, Truncate
from restkit.testing.local_server import AppClient, LocalServer
from restkit.testing.recording import Received

__all__ = [
    "AppClient",
    "Cassette",
    "Delay",
    "Drop",
    "Fault",
    "LocalServer",
    "Received",
    "Reset",
    "Truncate",
    "UnknownRequest",
]
