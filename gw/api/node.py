"""GET /node: the processes of this node, and what they do. Ours, not owgw's."""

from __future__ import annotations

import socket
import time

import msgspec
from litestar import get
from litestar.di import NamedDependency

import gw
from gw.api.context import Context
from gw.api.documented import documented
from gw.api.envelope import Answer, document
from gw.ops.processes import NodeTotals, ProcessDocument


class NodeDocument(msgspec.Struct, rename="camel", kw_only=True):
    """This node. Rates are differences of two answers, by `now`."""

    name: str
    version: str
    started: int
    """When the API process started: epoch seconds."""
    now: float
    """Epoch seconds."""
    devices_connected: int
    commands_open: int
    certificate_expiry_date: int
    """Of the API's own certificate: epoch seconds."""
    store: str
    """sqlite or postgresql."""
    totals: NodeTotals
    processes: list[ProcessDocument]


@get(
    "/node",
    **documented(
        "Read the processes of the node",
        tag="System",
        answer=NodeDocument,
        details="Totals of all processes since the node started, for rates.",
    ),
)
async def read_node(context: NamedDependency[Context]) -> Answer:
    """Answer what the node does now."""
    processes = context.processes
    certificate = context.certificate
    postgres = context.settings.store.url.startswith("postgres")
    found = NodeDocument(
        name=socket.gethostname(),
        version=gw.__version__,
        started=int(context.started),
        now=time.time(),
        devices_connected=processes.devices_connected,
        commands_open=processes.commands_open,
        certificate_expiry_date=certificate.expires if certificate else 0,
        store="postgresql" if postgres else "sqlite",
        totals=processes.totals(),
        processes=processes.each(),
    )
    return document(found)
