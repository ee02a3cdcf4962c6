"""Searches and counts of the fleet, for consoles: all answered by indexes of `devices`."""

from __future__ import annotations

import re
from abc import abstractmethod
from typing import Any, Final, TypeVar

from gw.store import rows
from gw.store.tables import FLEET_DEVICE, Shape

# S608 below: what is put into statements are columns and conditions of this module; values are
# always bound.
# ruff: noqa: S608

R = TypeVar("R", bound=rows.Row)

_SEPARATORS: Final = re.compile(r"[:.\-\s]")
_HEX: Final = re.compile(r"[0-9a-f]{1,12}\Z")
_AFTER: Final = "\x7f"
"""Behind whatever begins with a text of ASCII."""
_LEAST_OF_TAIL: Final = 3
"""Digits from which on the ends of serial numbers are searched too."""
COUNTED: Final = ("configuration_state", "firmware", "compatible", "device_type")
"""Columns by which the fleet is counted; an index has each."""


class FleetQueries:
    """What a `Reader` has for lists of the fleet."""

    @abstractmethod
    async def _cells(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a SELECT."""

    @abstractmethod
    async def _all(self, shape: Shape[R], sql: str, *values: Any) -> list[R]:
        """Return the rows of a SELECT of the columns of `shape`."""

    async def find_devices(
        self, wanted: rows.FleetSearch, *, after: str = "", limit: int = 100
    ) -> list[rows.FleetDeviceRow]:
        """Devices of a search, by serial number, those behind `after`."""
        conditions, values = _conditions(wanted)
        if after:
            conditions.append("serial_number > ?")
            values.append(after)
        sql = (
            f"SELECT {FLEET_DEVICE.select()} FROM devices WHERE {' AND '.join(conditions)} "
            "ORDER BY serial_number LIMIT ?"
        )
        return await self._all(FLEET_DEVICE, sql, *values, limit)

    async def count_found(self, wanted: rows.FleetSearch, *, most: int) -> int:
        """Number of devices of a search, counted up to `most`."""
        conditions, values = _conditions(wanted)
        sql = (
            "SELECT count(*) FROM (SELECT serial_number FROM devices "
            f"WHERE {' AND '.join(conditions)} LIMIT ?) AS found"
        )
        return int((await self._cells(sql, *values, most))[0][0])

    async def count_by(self, column: str) -> dict[str, int]:
        """Number of devices for each value of one of `COUNTED`."""
        if column not in COUNTED:
            raise ValueError(column)
        sql = f"SELECT {column}, count(*) FROM devices GROUP BY {column}"
        return {value: int(count) for value, count in await self._cells(sql)}

    async def count_certificates(self, before: int) -> int:
        """Number of devices whose certificate ends before a time."""
        sql = "SELECT count(*) FROM devices WHERE certificate_expiry > 0 AND certificate_expiry < ?"
        return int((await self._cells(sql, before))[0][0])


def _conditions(wanted: rows.FleetSearch) -> tuple[list[str], list[Any]]:
    conditions: list[str] = []
    values: list[Any] = []
    for column, value in (
        ("configuration_state", wanted.state),
        ("firmware", wanted.firmware),
        ("compatible", wanted.compatible),
        ("device_type", wanted.platform),
    ):
        if value:
            conditions.append(f"{column} = ?")
            values.append(value)
    if wanted.certificate_before:
        conditions.append("certificate_expiry > 0 AND certificate_expiry < ?")
        values.append(wanted.certificate_before)
    if text := wanted.text.strip():
        any_of = [(column, text) for column in ("compatible", "firmware")]
        digits = _SEPARATORS.sub("", text.lower())
        if _HEX.match(digits):
            any_of = [("serial_number", digits), ("compatible", text.lower())]
            if _LEAST_OF_TAIL <= len(digits) <= 6:
                any_of.append(("substr(serial_number, 7)", digits))
            if _LEAST_OF_TAIL <= len(digits) <= 4:
                any_of.append(("substr(serial_number, 9)", digits))
        elif text != text.lower():
            any_of.append(("compatible", text.lower()))
        ranges = [f"({column} >= ? AND {column} < ?)" for column, _ in any_of]
        conditions.append(f"({' OR '.join(ranges)})")
        for _, start in any_of:
            values += [start, start + _AFTER]
    return conditions or ["true"], values
