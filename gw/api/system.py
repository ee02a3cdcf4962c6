"""GET /system of both listeners: what runs here, and what it uses (northbound.md 4.12)."""

from __future__ import annotations

import os
import platform
import re
import socket
import time
from pathlib import Path
from typing import Final

from litestar import get
from litestar.di import NamedDependency

import gw
from gw.api import query
from gw.api.context import Context
from gw.api.documented import Combined, documented
from gw.api.envelope import Answer, AnyRequest, document
from gw.api.system_document import (
    Certificate,
    SystemInfo,
    SystemResources,
)
from gw.core.errors import ApiError

_STATUS_LINE: Final = re.compile(r"^(VmRSS|VmHWM|VmSize|VmPeak):\s+(\d+) kB$", re.MULTILINE)


class SystemQuery(query.Query):
    """Parameters of GET."""

    command: str = ""
    """info, resources or extraConfiguration."""


@get(
    "/system",
    **documented(
        "Read what runs here",
        tag="System",
        answer=Combined("anyOf", (SystemInfo, SystemResources)),
        query=SystemQuery,
    ),
)
async def read_system(request: AnyRequest, context: NamedDependency[Context]) -> Answer:
    """Answer facts about this process and its host."""
    command = query.read(request.scope, SystemQuery).command
    if command == "info":
        return document(_info(context))
    if command == "resources":
        return document(_resources())
    if command == "extraConfiguration":
        return document({})
    raise ApiError(1031, command[:40])


def _info(context: Context) -> SystemInfo:
    held = context.certificate
    certificates = [] if held is None else [Certificate(held.file, held.expires)]
    return SystemInfo(
        version=gw.__version__,
        uptime=int(time.time() - context.started),
        start=int(context.started),
        os=f"{platform.system()} {platform.release()}",
        processors=os.cpu_count() or 1,
        hostname=socket.gethostname(),
        certificates=certificates,
    )


def _resources() -> SystemResources:
    # procfs answers from memory, so reading it does not hold up the loop.
    status = Path("/proc/self/status").read_text()
    memory = {name: int(size) for name, size in _STATUS_LINE.findall(status)}
    return SystemResources(
        number_of_file_descriptors=len(os.listdir("/proc/self/fd")),
        curr_real_mem=memory.get("VmRSS", 0),
        peak_real_mem=memory.get("VmHWM", 0),
        curr_virt_mem=memory.get("VmSize", 0),
        peak_virt_mem=memory.get("VmPeak", 0),
    )
