"""A client of the REST API: `Client` blocks, `AsyncClient` is for asyncio; both do the same.

`calls` describes the requests, `session` signs in and decides what is tried again, `sync` and
`asynchronous` send. Answers are the structs that the API itself is documented by.
"""

from gw.client.asynchronous import AsyncClient
from gw.client.calls.commands import File
from gw.client.calls.devices import DeviceWithStatus, Status
from gw.client.errors import ApiError, ClientError, UnexpectedAnswerError, UnreachableError
from gw.client.options import Options
from gw.client.sync import Client

__all__ = [
    "ApiError",
    "AsyncClient",
    "Client",
    "ClientError",
    "DeviceWithStatus",
    "File",
    "Options",
    "Status",
    "UnexpectedAnswerError",
    "UnreachableError",
]
