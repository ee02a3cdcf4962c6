"""GET /deviceDashboard: the fleet in numbers (northbound.md 4.9)."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

import msgspec
from litestar import get
from litestar.di import NamedDependency

from gw.api.context import Context
from gw.api.documented import documented
from gw.api.envelope import Answer, document
from gw.protocol.state import StateSummary, summarize
from gw.store.rows import FleetRow

_HOUR: Final = 3600
_AGES: Final = (
    (_HOUR, "now"), (86_400, ">hour"), (7 * 86_400, ">day"), (30 * 86_400, ">week"),
)  # fmt: skip
_OLDEST: Final = ">month"
_PERCENTS: Final = ((5, "< 5%"), (25, "< 25%"), (50, "< 50%"), (75, "< 75%"))
_MOST: Final = ">75%"
_HEALTHS: Final = ((100, "100%"), (90, ">90%"), (60, ">60%"))
_SICK: Final = "<60%"
_CERTIFICATES: Final = {
    "NO_CERTIFICATE": "no certificate",
    "VALID_CERTIFICATE": "non TIP certificate",
    "MISMATCH_SERIAL": "serial mismatch",
    "VERIFIED": "verified",
    "SIMULATED": "simulated",
}
_UNKNOWN: Final = "Unknown"
"""Vendor of an address that no list names."""
_SESSIONS_AT_ONCE: Final = 500
"""Sessions per request: an answer has to fit the head of a ring's record (64 KiB)."""
_STATES_AT_ONCE: Final = 50
"""State documents of tens of kilobytes in memory at a time."""


class TagCount(msgspec.Struct):
    """How many there are of something."""

    tag: str
    value: int


class DeviceDashboard(msgspec.Struct, rename="camel", kw_only=True):
    """The fleet in numbers. Of what only a connected device tells, those without are left out."""

    snapshot: int
    """When the numbers were taken: epoch seconds."""
    number_of_devices: int
    commands: list[TagCount]
    """Commands that are kept, by name."""
    up_times: list[TagCount]
    last_contact: list[TagCount]
    memory_used: list[TagCount]
    load1: list[TagCount]
    load5: list[TagCount]
    load15: list[TagCount]
    vendors: list[TagCount]
    status: list[TagCount]
    device_type: list[TagCount]
    """By `compatible`."""
    healths: list[TagCount]
    certificates: list[TagCount]
    associations: list[TagCount]
    """Clients by band."""


class _Reader(Protocol):
    async def fleet(self, *, after: str = "", limit: int = 1000) -> list[FleetRow]: ...
    async def newest_states(self, serials: list[str]) -> dict[str, bytes]: ...
    async def count_commands(self) -> dict[str, int]: ...


Sessions = Callable[[list[str]], Awaitable[dict[str, Sequence[Any]]]]
"""Returns (last contact, sanity, certificate verdict, time of the last state) by serial."""


class _Counts:
    """The tallies of one pass over the fleet."""

    def __init__(self) -> None:
        self.devices = 0
        self.tallies: dict[str, Counter[str]] = {
            name: Counter()
            for name in DeviceDashboard.__struct_fields__
            if name not in ("snapshot", "number_of_devices")
        }

    def of(self, name: str, tag: str, count: int = 1) -> None:
        self.tallies[name][tag] += count


class Dashboard:
    """Makes the summary, at most once per `seconds`, however many ask for it.

    States are read again only of devices that have sent one since the pass before.
    """

    def __init__(
        self,
        reader: _Reader,
        sessions: Sessions,
        vendor: Callable[[str], str],
        seconds: float,
    ) -> None:
        self._reader = reader
        self._sessions = sessions
        self._vendor = vendor
        self._seconds = seconds
        self._made: asyncio.Task[DeviceDashboard] | None = None
        self._until = 0.0
        self._states: dict[str, tuple[int, StateSummary]] = {}
        """By serial number: when the newest state came, and what it told."""

    async def read(self) -> DeviceDashboard:
        """Return the summary; it is made anew if it is too old."""
        made = self._made
        stale = made is None or (made.done() and time.monotonic() >= self._until)
        if made is None or stale or (made.done() and (made.cancelled() or made.exception())):
            made = self._made = asyncio.create_task(self._make())
        # Who goes away must not take the summary from the others that wait for it.
        return await asyncio.shield(made)

    async def _make(self) -> DeviceDashboard:
        counts = _Counts()
        now = int(time.time())
        states: dict[str, tuple[int, StateSummary]] = {}
        after = ""
        while page := await self._reader.fleet(after=after, limit=_SESSIONS_AT_ONCE):
            after = page[-1].serial_number
            sessions = await self._sessions([row.serial_number for row in page])
            fresh = await self._summaries(sessions)
            states |= fresh
            for row in page:
                self._count(counts, row, sessions.get(row.serial_number), fresh, now)
        self._states = states
        for name, count in (await self._reader.count_commands()).items():
            counts.of("commands", name, count)
        self._until = time.monotonic() + self._seconds
        return DeviceDashboard(
            snapshot=now,
            number_of_devices=counts.devices,
            **{
                name: [TagCount(tag, tally[tag]) for tag in sorted(tally)]
                for name, tally in counts.tallies.items()
            },
        )

    async def _summaries(
        self, sessions: dict[str, Sequence[Any]]
    ) -> dict[str, tuple[int, StateSummary]]:
        found: dict[str, tuple[int, StateSummary]] = {}
        wanted = []
        for serial, (*_, at) in sessions.items():
            kept = self._states.get(serial)
            if kept is not None and kept[0] == at:
                found[serial] = kept
            elif at:
                wanted.append(serial)
        for start in range(0, len(wanted), _STATES_AT_ONCE):
            documents = await self._reader.newest_states(wanted[start : start + _STATES_AT_ONCE])
            for serial, state in documents.items():
                found[serial] = (sessions[serial][-1], summarize(state))
        return found

    def _count(
        self,
        counts: _Counts,
        row: FleetRow,
        session: Sequence[Any] | None,
        states: dict[str, tuple[int, StateSummary]],
        now: int,
    ) -> None:
        counts.devices += 1
        counts.of("vendors", self._vendor(row.serial_number) or _UNKNOWN)
        counts.of("device_type", row.compatible or _UNKNOWN)
        if session is None:
            counts.of("status", "not connected")
            counts.of("last_contact", _age(now - row.last_recorded_contact))
            return
        contact, sanity, verdict, _ = session
        counts.of("status", "connected")
        counts.of("last_contact", _age(now - contact))
        counts.of("healths", _health(sanity))
        counts.of("certificates", _CERTIFICATES.get(verdict, "no certificate"))
        if row.serial_number not in states:
            return
        state = states[row.serial_number][1]
        counts.of("up_times", _age(state.uptime))
        counts.of("memory_used", _percent(state.memory_used))
        for name, load in zip(("load1", "load5", "load15"), state.loads, strict=True):
            counts.of(name, _percent(load * 100))
        for band, clients in state.associations.items():
            if clients:
                counts.of("associations", band, clients)


def _age(seconds: int) -> str:
    return next((tag for limit, tag in _AGES if seconds < limit), _OLDEST)


def _percent(percent: float) -> str:
    return next((tag for limit, tag in _PERCENTS if percent < limit), _MOST)


def _health(sanity: int) -> str:
    return next((tag for least, tag in _HEALTHS if sanity >= least), _SICK)


@get(
    "/deviceDashboard",
    **documented("Read the fleet in numbers", tag="Devices", answer=DeviceDashboard),
)
async def read_dashboard(
    context: NamedDependency[Context], dashboard: NamedDependency[Dashboard]
) -> Answer:
    """Answer the summary of the fleet; it is a few seconds old (`api.dashboard_seconds`)."""
    return document(await dashboard.read())


def dashboard_of(context: Context) -> Dashboard:
    """Return the dashboard of a listener."""

    async def sessions(serials: list[str]) -> dict[str, Sequence[Any]]:
        return await fleet_sessions(context, serials)

    return Dashboard(
        context.reader,
        sessions,
        context.vendors.of,
        context.settings.api.dashboard_seconds,
    )


async def fleet_sessions(context: Context, serials: list[str]) -> dict[str, Sequence[Any]]:
    """Return the sessions of up to 500 devices in short; absent: not connected."""
    answer = await context.coordinator.request("fleet.sessions", {"serials": serials})
    found: dict[str, Sequence[Any]] = answer.result["sessions"]
    return found
