"""For tests of code that speaks HTTP: a server that misbehaves on demand, and a client of an app.

With pytest, the fixture ``restkit_server`` is a ``LocalServer`` for one test.
"""

from restkit.testing.faults import Delay, Drop, Fault, Reset, Truncate
from restkit.testing.local_server import AppClient, LocalServer
from restkit.testing.recording import Received

__all__ = ["AppClient", "Delay", "Drop", "Fault", "LocalServer", "Received", "Reset", "Truncate"]
