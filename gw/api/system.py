"""/system of both listeners: what runs here, what it uses, and its logs (northbound.md 4.12)."""

from __future__ import annotations

import os
import platform
import re
import signal
import socket
import time
from pathlib import Path
from typing import Final

import msgspec
import structlog
from litestar import get, post
from litestar.di import NamedDependency

import gw
from gw.api import body, query
from gw.api.authentication import Caller
from gw.api.context import Context, LogLevels
from gw.api.documented import Combined, documented
from gw.api.envelope import Answer, AnyRequest, Success, document, success
from gw.api.system_document import (
    Certificate,
    ExtraConfiguration,
    Names,
    SystemInfo,
    SystemResources,
    TagList,
    TagValue,
)
from gw.core.errors import ApiError
from gw.security.roles import Operation

_log = structlog.get_logger("gw.api")

_STATUS_LINE: Final = re.compile(r"^(VmRSS|VmHWM|VmSize|VmPeak):\s+(\d+) kB$", re.MULTILINE)


class SystemQuery(query.Query):
    """Parameters of GET."""

    command: str = ""
    """info, resources or extraConfiguration."""


LEVELS: Final = {
    "debug": "debug",
    "trace": "debug",
    "info": "info",
    "information": "info",
    "notice": "info",
    "warning": "warning",
    "error": "error",
    "critical": "error",
    "fatal": "error",
}
"""Names of levels that clients may use, and ours."""

_SHOWN: Final = {"debug": "debug", "info": "information", "warning": "warning", "error": "error"}
"""Our levels as clients know them."""


class SystemBody(msgspec.Struct):
    """What is to be done."""

    command: str = ""
    """setloglevel, getloglevels, getloglevelnames, getsubsystemnames or reload (in any case)."""
    subsystems: list[TagValue | str] = []
    """For setloglevel, kinds of processes and levels; for reload, names: `daemon` is everything."""


@get(
    "/system",
    **documented(
        "Read what runs here",
        tag="System",
        answer=Combined("anyOf", (SystemInfo, SystemResources, ExtraConfiguration)),
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
        return document(ExtraConfiguration())
    raise ApiError(1031, command[:40])


@post(
    "/system",
    **documented(
        "Change log levels, or read files again",
        tag="System",
        answer=Combined("anyOf", (TagList, Names, Success)),
        body=SystemBody,
        details=(
            "A level that is set holds for all processes of a kind, until the gateway or its api "
            "process starts again."
        ),
    ),
)
async def change_system(
    request: AnyRequest, context: NamedDependency[Context], caller: NamedDependency[Caller]
) -> Answer:
    """Carry out a command. Those that change something are for those who run the system."""
    asked = await body.read(request, SystemBody)
    command = asked.command.lower()
    levels = context.log_levels
    match command:
        case "getloglevels":
            found = [TagValue(role, _SHOWN[level]) for role, level in levels.read().items()]
            return document(TagList(found))
        case "getloglevelnames":
            return document(Names(list(_SHOWN.values())))
        case "getsubsystemnames":
            return document(Names(list(levels.read())))
        case "setloglevel":
            caller.require(Operation.RUN_SYSTEM)
            _set_levels(levels, asked.subsystems, caller.email)
        case "reload":
            caller.require(Operation.RUN_SYSTEM)
            _log.info("reload", by=caller.email)
            context.reload()
            if "daemon" in asked.subsystems:
                os.kill(os.getppid(), signal.SIGHUP)  # the supervisor, who tells all processes
        case "stats":
            raise ApiError(1018, "stats is not offered")
        case _:
            raise ApiError(1031, asked.command[:40])
    return success(request.method, command)


def _set_levels(levels: LogLevels, wanted: list[TagValue | str], by: str) -> None:
    """Set what is asked for, all or nothing. Raises ApiError 1018 for an unknown name."""
    known = levels.read()
    chosen = []
    for one in wanted:
        level = LEVELS.get(one.value.lower()) if isinstance(one, TagValue) else None
        if not isinstance(one, TagValue) or one.tag not in known or level is None:
            raise ApiError(1018, "subsystems wants tags of getsubsystemnames and levels")
        chosen.append((one.tag, level))
    if not chosen:
        raise ApiError(1018, "subsystems is needed")
    for role, level in chosen:
        levels.set(role, level)
        _log.info("log level set", role=role, level=level, by=by)


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
