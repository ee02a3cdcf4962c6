"""Shadows: what the coordinator knows of each device, in memory while it is of use."""

from __future__ import annotations

import math
import time
from typing import Any, Final

import msgspec

from gw.coordinator.work import Committer
from gw.protocol.configuration import Facts
from gw.store import rows
from gw.store.interface import PatchDevice, Reader

_TIDY_SLICE: Final = 1000
_IDLE_SECONDS: Final = 120.0
"""A shadow that nobody touched for so long, and whose device is away, is let go."""


class InFlight(msgspec.Struct):
    """A `configure` that the device may still answer."""

    command: str
    uuid: int
    hash: str
    session: int
    deadline: float
    """Monotonic, seconds."""
    system: bool
    """Sent by the gateway to repair, not for an operator."""


class Shadow:
    """One device. All changes go through `set`, which writes them as well."""

    __slots__ = ("barred", "given", "in_flight", "probe", "row", "session", "strict", "touched")

    def __init__(self, row: rows.ShadowRow) -> None:
        self.row = row
        self.session: int = 0
        """Session that acts for the device; 0: it is away."""
        self.in_flight: InFlight | None = None
        self.probe = ""
        """UUID of a `ping` that asks for the active configuration."""
        self.given = 0
        """Highest configuration id that was sent: it names that content only, also if cancelled."""
        self.barred = ""
        """Why no configuration is sent for now, such as its firmware; empty: no reason."""
        self.strict = False
        """The change under way is to end as `failed` if the device refuses it."""
        self.touched = time.monotonic()

    @property
    def serial(self) -> str:
        """Serial number."""
        return self.row.serial_number

    def facts(self) -> Facts:
        """Return what the rules of configuration need to know."""
        row = self.row
        return Facts(
            row.config_uuid,
            row.config_hash,
            row.pending_uuid,
            row.pending_hash,
            row.rejected_uuid,
            row.rejected_hash,
            row.applied_hash,
            row.sends,
            row.last_sent,
            self.in_flight is not None,
            row.device_type == "switch",
            row.quarantined,
            self.barred,
            self.given,
        )

    def set(self, work: Committer, **values: Any) -> None:
        """Change columns of the device, in memory and in the store; equal values write nothing.

        Columns that are not part of the shadow are written always.
        """
        changed = {}
        for name, value in values.items():
            if name in _FIELDS:
                if getattr(self.row, name) == value:
                    continue
                setattr(self.row, name, value)
            changed[name] = value
        if changed:
            work.write(PatchDevice(self.serial, changed))


_FIELDS: Final = frozenset(rows.ShadowRow.__struct_fields__)


def from_device(row: rows.DeviceRow) -> Shadow:
    """Return the shadow of a device row."""
    return Shadow(rows.ShadowRow(**{name: getattr(row, name) for name in _FIELDS}))


class Shadows:
    """All shadows in memory, by serial number."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._to_look_at: list[str] = []
        self._known: dict[str, Shadow] = {}
        self._gone: dict[str, float] = {}
        """Deleted devices, and since when that is durable; infinite while it is not yet."""

    def __len__(self) -> int:
        return len(self._known)

    def cached(self, serial: str) -> Shadow | None:
        """Return a shadow if it is in memory."""
        shadow = self._known.get(serial)
        if shadow is not None:
            shadow.touched = time.monotonic()
        return shadow

    def connected(self) -> list[Shadow]:
        """Return those whose device is here."""
        return [shadow for shadow in self._known.values() if shadow.session]

    def missing(self, serials: set[str]) -> list[str]:
        """Return those that are not in memory."""
        return [serial for serial in serials if serial not in self._known]

    async def load(self, serials: list[str]) -> None:
        """Bring devices into memory; unknown ones stay absent."""
        for start in range(0, len(serials), 500):
            began = time.monotonic()
            found = await self._reader.shadows(serials[start : start + 500])
            for serial, row in found.items():
                if self._gone.get(serial, 0.0) >= began:
                    continue  # read before it was deleted
                # A device that was created meanwhile is newer than what was read.
                self._known.setdefault(serial, Shadow(row))

    async def get(self, serial: str) -> Shadow | None:
        """Return a shadow, read from the store if need be. None: unknown device."""
        if serial not in self._known:
            await self.load([serial])
        return self.cached(serial)

    def add(self, shadow: Shadow) -> None:
        """A device was created."""
        self._gone.pop(shadow.serial, None)
        self._known[shadow.serial] = shadow

    def drop(self, serial: str) -> Shadow | None:
        """A device is being deleted: it is unknown from now on."""
        self._gone[serial] = math.inf
        return self._known.pop(serial, None)

    def dropped(self, serial: str) -> None:
        """The deletion is durable."""
        if serial in self._gone:
            self._gone[serial] = time.monotonic()

    def tidy(self) -> None:
        """Let go of shadows of devices that are away; looks at some of them each time."""
        limit = time.monotonic() - _IDLE_SECONDS
        if not self._to_look_at:
            self._to_look_at = list(self._known)
            self._gone = {one: since for one, since in self._gone.items() if since > limit}
        for serial in self._to_look_at[-_TIDY_SLICE:]:
            one = self._known.get(serial)
            if one and not one.session and one.in_flight is None and one.touched < limit:
                del self._known[serial]
        del self._to_look_at[-_TIDY_SLICE:]
