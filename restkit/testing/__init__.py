"""For tests of code that speaks HTTP: a server that misbehaves on demand, and a client of an app.

With pytest, the fixture ``restkit_server`` is a ``LocalServer`` for one test.
"""

from restkit.testing.app_client import AppClient
from restkit.testing.arrivals import Received
from restkit.testing.faults import Delay, Drop, Fault, Reset, Truncate
from restkit.testing.local_server import LocalServer

__all__ = ["AppClient", "Delay", "Drop", "Fault", "LocalServer", "Received", "Reset", "Truncate"]
