"""The client: Client, its options, and how one call is run."""

from restkit.client.client import Client
from restkit.client.options import CallOptions, ClientOptions, CommonOptions, RequestOptions
from restkit.message.response import HttpResponse

__all__ = [
    "CallOptions",
    "Client",
    "ClientOptions",
    "CommonOptions",
    "HttpResponse",
    "RequestOptions",
]
