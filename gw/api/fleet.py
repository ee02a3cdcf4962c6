"""/fleet: the fleet in lists and numbers, as a console wants them. Ours, not owgw's.

Unlike `/devices` a list has no configurations in it, is paged by key, and may be searched and
filtered; every search is answered by an index, except that who is connected is asked of the
coordinator, a page at a time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final, get_args

import msgspec
from litestar import get
from litestar.di import NamedDependency

from gw.api import query
from gw.api.context import Context
from gw.api.dashboard import fleet_sessions
from gw.api.device_document import ConfigurationState
from gw.api.documented import documented
from gw.api.envelope import Answer, AnyRequest, document
from gw.core.errors import ApiError
from gw.core.ids import normalize_serial
from gw.store.rows import FleetDeviceRow, FleetSearch

_TAG = "Fleet"
_STATES: Final = get_args(ConfigurationState)
_PLATFORMS: Final = ("ap", "switch")
_CONNECTED: Final = {"": None, "true": True, "false": False}
_SESSIONS_AT_ONCE: Final = 500
_MOST_LOOKED_AT: Final = 10_000
"""Devices whose sessions one request asks for, while it looks for those (not) connected."""
_MOST_COUNTED: Final = 1_000_000
_MOST_VALUES: Final = 50
"""Firmware versions and types that a summary lists; the rest is one number."""
FRESH_SECONDS: Final = 3.0
"""A summary is not made more often: a console asks for it all the time."""
CERTIFICATE_SECONDS: Final = 30 * 86_400
"""A certificate that ends within this time is to be renewed."""


class FleetQuery(query.Query):
    """Which devices; what is not given does not matter."""

    q: str = ""
    """Start of a serial number (also with colons), or of its last six or four digits; start of a
    type or of a firmware version."""
    state: str = ""
    """in_step, pending, drifted, rejected, held, unmanaged or unknown."""
    firmware: str = ""
    compatible: str = ""
    """Type of device, such as edgecore_eap101."""
    platform: str = ""
    """ap or switch."""
    connected: str = ""
    """true or false."""
    expiring: bool = False
    """Only devices whose certificate ends within 30 days, or has ended."""
    after: str = ""
    """`next` of the page before."""
    limit: int = 100
    count: bool = False
    """Count all that match as well; not with `connected`."""


class FleetDevice(msgspec.Struct, rename="camel", kw_only=True):
    """A device in short."""

    serial_number: str
    device_type: str
    compatible: str
    firmware: str
    venue: str
    entity: str
    simulated: bool
    quarantined: bool
    connected: bool
    last_contact: int
    """Epoch seconds; 0: never."""
    sanity: int
    """Percent, of the last health check; -1: there is no session."""
    certificate_expiry_date: int
    uuid: int = msgspec.field(name="UUID")
    applied_uuid: int = msgspec.field(name="appliedUUID")
    configuration_state: ConfigurationState
    hold: str
    rejected_text: str
    rejected_at: int


class FleetPage(msgspec.Struct, kw_only=True):
    """Devices by serial number."""

    devices: list[FleetDevice]
    next: str
    """`after` of the next page; empty: there is none. A page may be short, or empty, before."""
    count: int | msgspec.UnsetType = msgspec.UNSET


class Share(msgspec.Struct):
    """How many devices have a value."""

    value: str
    count: int


class FleetSummary(msgspec.Struct, rename="camel", kw_only=True):
    """The fleet in numbers."""

    at: int
    """Epoch seconds; it may be a few seconds old."""
    devices: int
    connected: int
    connecting: int
    states: dict[str, int]
    """Devices by configurationState, all of them named."""
    firmwares: list[Share]
    """The most frequent ones, most devices first."""
    types: list[Share]
    platforms: list[Share]
    other_firmwares: int
    """Devices with firmware that is not listed."""
    other_types: int
    certificates_expiring: int
    """Devices whose certificate ends within 30 days, or has ended."""


@get(
    "/fleet/devices",
    **documented("Search the fleet", tag=_TAG, answer=FleetPage, query=FleetQuery),
)
async def list_fleet(request: AnyRequest, context: NamedDependency[Context]) -> Answer:
    """Answer a page of devices."""
    asked = query.read(request.scope, FleetQuery)
    wanted = _wanted(asked)
    limit = query.bounded(asked.limit, context.max_page)
    connected = _CONNECTED[_one_of("connected", asked.connected, _CONNECTED)]
    after = _after(asked.after)
    found: list[FleetDevice] = []
    following = ""
    looked_at = 0
    while limit > 0:
        size = limit if connected is None else _SESSIONS_AT_ONCE
        page = await context.reader.find_devices(wanted, after=after, limit=size + 1)
        more = len(page) > size
        page = page[:size]
        looked_at += len(page)
        for device in await _with_sessions(context, page):
            if len(found) == limit:
                more = True
                break
            if connected is None or device.connected is connected:
                found.append(device)
                after = device.serial_number
            elif len(found) < limit:
                after = device.serial_number
        following = after if more else ""
        if not more or len(found) == limit or looked_at >= _MOST_LOOKED_AT:
            break
    answer = FleetPage(devices=found, next=following)
    if asked.count and connected is None:
        answer.count = await context.reader.count_found(wanted, most=_MOST_COUNTED)
    return document(answer)


class Summaries:
    """The summary, made at most every `seconds`; one at a time."""

    def __init__(self, context: Context, seconds: float) -> None:
        self._context = context
        self._seconds = seconds
        self._until = 0.0
        self._made: FleetSummary | None = None
        self._making = asyncio.Lock()

    async def read(self) -> FleetSummary:
        """Return the summary."""
        async with self._making:
            if self._made is None or time.monotonic() >= self._until:
                self._made = await self._make()
                self._until = time.monotonic() + self._seconds
            return self._made

    async def _make(self) -> FleetSummary:
        reader = self._context.reader
        now = int(time.time())
        live = (await self._context.coordinator.request("fleet.statistics", {})).result
        states = await reader.count_by("configuration_state")
        firmwares, other_firmwares = _frequent(await reader.count_by("firmware"))
        types, other_types = _frequent(await reader.count_by("compatible"))
        platforms, _ = _frequent(await reader.count_by("device_type"))
        return FleetSummary(
            at=now,
            devices=sum(states.values()),
            connected=live["connectedDevices"],
            connecting=live["connectingDevices"],
            states={state: states.get(state, 0) for state in _STATES},
            firmwares=firmwares,
            other_firmwares=other_firmwares,
            types=types,
            other_types=other_types,
            platforms=platforms,
            certificates_expiring=await reader.count_certificates(now + CERTIFICATE_SECONDS),
        )


@get("/fleet/summary", **documented("Read the fleet in short", tag=_TAG, answer=FleetSummary))
async def read_fleet(
    context: NamedDependency[Context], summaries: NamedDependency[Summaries]
) -> Answer:
    """Answer the numbers of the fleet; they are a few seconds old at most."""
    return document(await summaries.read())


async def _with_sessions(context: Context, page: list[FleetDeviceRow]) -> list[FleetDevice]:
    sessions: dict[str, Sequence[Any]] = {}
    for start in range(0, len(page), _SESSIONS_AT_ONCE):
        serials = [row.serial_number for row in page[start : start + _SESSIONS_AT_ONCE]]
        sessions |= await fleet_sessions(context, serials)
    found = []
    for row in page:
        session = sessions.get(row.serial_number)
        contact, sanity = (row.last_recorded_contact, -1) if session is None else session[:2]
        found.append(
            FleetDevice(
                serial_number=row.serial_number,
                device_type=row.device_type,
                compatible=row.compatible,
                firmware=row.firmware,
                venue=row.venue,
                entity=row.entity,
                simulated=row.simulated,
                quarantined=row.quarantined,
                connected=session is not None,
                last_contact=contact,
                sanity=sanity,
                certificate_expiry_date=row.certificate_expiry,
                uuid=row.config_uuid,
                applied_uuid=row.applied_uuid,
                configuration_state=msgspec.convert(row.configuration_state, ConfigurationState),
                hold=row.hold,
                rejected_text=row.rejected_text,
                rejected_at=row.rejected_at,
            )
        )
    return found


def _wanted(asked: FleetQuery) -> FleetSearch:
    return FleetSearch(
        text=asked.q[:100],
        state=_one_of("state", asked.state, ("", *_STATES)),
        firmware=asked.firmware,
        compatible=asked.compatible,
        platform=_one_of("platform", asked.platform, ("", *_PLATFORMS)),
        certificate_before=int(time.time()) + CERTIFICATE_SECONDS if asked.expiring else 0,
    )


def _one_of(name: str, value: str, values: Iterable[str]) -> str:
    known = list(values)
    if value not in known:
        names = ", ".join(one for one in known if one)
        raise ApiError(1018, f"{name} is one of {names}")
    return value


def _after(text: str) -> str:
    try:
        return normalize_serial(text) if text else ""
    except ValueError:
        raise ApiError(1018, "after is the `next` of a page") from None


def _frequent(counts: dict[str, int]) -> tuple[list[Share], int]:
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    rest = sum(count for _, count in ordered[_MOST_VALUES:])
    return [Share(value, count) for value, count in ordered[:_MOST_VALUES]], rest
