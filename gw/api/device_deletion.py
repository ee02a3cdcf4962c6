"""DELETE /devices: many devices at once (northbound.md 4.1)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from typing import Final

import msgspec
import structlog
from litestar import delete
from litestar.di import NamedDependency

from gw.api import query
from gw.api.authentication import Caller
from gw.api.context import Context
from gw.api.documented import documented
from gw.api.envelope import Answer, AnyRequest, empty
from gw.api.serials import path_serial
from gw.core.errors import ApiError
from gw.security.roles import Operation
from gw.store.errors import StoreError
from gw.store.rows import ShadowRow

_log = structlog.get_logger("gw.api")

_PATTERN: Final = re.compile(r"[0-9a-f*]{1,24}\Z")
_CHUNK: Final = 1000
_AT_A_TIME: Final = 32
"""Deletions in flight: they share the coordinator's batches, and leave room for others."""
_background: Final[set[asyncio.Task[None]]] = set()


class DeletionQuery(query.Query):
    """Which devices to delete; the first that is there decides."""

    simulated_devices: bool = False
    """All simulated devices, in the background."""
    select: list[str] = msgspec.field(default_factory=list)
    """Serial numbers, separated by commas."""
    oldest_contact: str = ""
    """Devices whose last contact was before this time: epoch seconds."""
    mac_pattern: str = ""
    """Serial numbers that match: hexadecimal digits, and `*` for any number of them."""
    simulated_only: bool = False
    """Of those by contact or pattern, only simulated ones."""


@delete(
    "/devices",
    **documented(
        "Delete many devices",
        tag="Devices",
        query=DeletionQuery,
        details="Root and admin only. Sessions of deleted devices end.",
    ),
)
async def delete_devices(
    request: AnyRequest, context: NamedDependency[Context], caller: NamedDependency[Caller]
) -> Answer:
    """Delete devices by list, age or pattern."""
    caller.require(Operation.DELETE_DEVICES)
    asked = query.read(request.scope, DeletionQuery)
    if asked.simulated_devices:
        task = asyncio.create_task(_delete_simulated(context))
        _background.add(task)
        task.add_done_callback(_background.discard)
        return empty()
    if asked.select:
        chosen = query.chosen(asked.select, context.max_page)
        await _delete(context, [path_serial(one, 1018) for one in chosen])
        return empty()
    wanted = _condition(asked)
    simulated_only = asked.simulated_only
    await _delete(
        context,
        await _matching(context, lambda row: wanted(row) and (row.simulated or not simulated_only)),
    )
    return empty()


def _condition(asked: DeletionQuery) -> Callable[[ShadowRow], bool]:
    if asked.oldest_contact:
        before = query.integer(asked.oldest_contact)
        if before is None:
            raise ApiError(1018, "oldestContact is a time in epoch seconds")
        return lambda row: row.last_recorded_contact < before
    pattern = asked.mac_pattern.strip().lower()
    if not _PATTERN.match(pattern):
        raise ApiError(1018, "macPattern is made of hexadecimal digits and *")
    # Stars in a row mean what one means, and would make the search slow.
    expression = re.compile(re.sub(r"\*+", "[0-9a-f]*", pattern))
    return lambda row: expression.fullmatch(row.serial_number) is not None


async def _matching(context: Context, wanted: Callable[[ShadowRow], bool]) -> list[str]:
    serials = await context.reader.serial_numbers()
    found: list[str] = []
    for at in range(0, len(serials), _CHUNK):
        shadows = await context.reader.shadows(serials[at : at + _CHUNK])
        found += [row.serial_number for row in shadows.values() if wanted(row)]
    return found


async def _delete(context: Context, serials: Iterable[str]) -> None:
    """Delete devices, some at a time; those that are gone already are passed over."""
    todo = iter(dict.fromkeys(serials))

    async def work() -> None:
        for serial in todo:
            try:
                await context.delete_device(serial)
            except ApiError as error:
                if error.http != 404 and error.number != 1019:
                    raise

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_A_TIME):
                group.create_task(work())
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None


async def _delete_simulated(context: Context) -> None:
    try:
        found = await _matching(context, lambda row: row.simulated)
        await _delete(context, found)
        _log.info("simulated devices deleted", count=len(found))
    except (ApiError, StoreError) as error:
        _log.error("simulated devices not deleted", error=str(error))
