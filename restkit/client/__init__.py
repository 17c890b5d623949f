"""The client: Client, its options, and how one call is run."""

from restkit.client.client import Client
from restkit.message.response import HttpResponse

__all__ = ["Client", "HttpResponse"]
