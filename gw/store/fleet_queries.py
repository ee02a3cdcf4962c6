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
        found, values = _search(wanted, after, limit)
        sql = (
            f"SELECT {FLEET_DEVICE.select()} FROM devices WHERE {found} "
            "ORDER BY serial_number LIMIT ?"
        )
        return await self._all(FLEET_DEVICE, sql, *values, limit)

    async def count_found(self, wanted: rows.FleetSearch, *, most: int) -> int:
        """Number of devices of a search, counted up to `most`."""
        found, values = _search(wanted, "", most)
        sql = (
            f"SELECT count(*) FROM (SELECT serial_number FROM devices WHERE {found} LIMIT ?) "
            "AS found"
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


def _search(wanted: rows.FleetSearch, after: str, limit: int) -> tuple[str, list[Any]]:
    """Return the condition of a search and its parameters.

    A text may begin several things. Each has an index of its own that also holds the serial
    number, so each is looked for alone, and `limit` of each are enough.
    """
    conditions, values = _filters(wanted, after)
    text = wanted.text.strip()
    if not text:
        return " AND ".join(conditions), values
    parts: list[str] = []
    together: list[Any] = []
    for number, (column, start) in enumerate(_beginnings(text)):
        where = " AND ".join((f"{column} >= ?", f"{column} < ?", *conditions))
        parts.append(
            "SELECT serial_number FROM (SELECT serial_number FROM devices "
            f"WHERE {where} ORDER BY serial_number LIMIT ?) AS part{number}"
        )
        together += [start, start + _AFTER, *values, limit]
    return f"serial_number IN ({' UNION '.join(parts)})", together


def _filters(wanted: rows.FleetSearch, after: str) -> tuple[list[str], list[Any]]:
    # Also for the first page: so the list is walked along the index of its order.
    conditions = ["serial_number > ?"]
    values: list[Any] = [after]
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
    return conditions, values


def _beginnings(text: str) -> list[tuple[str, str]]:
    """Return what a text may be the start of: (column, start)."""
    digits = _SEPARATORS.sub("", text.lower())
    if not _HEX.match(digits):
        found = [("compatible", text), ("firmware", text)]
        return found if text == text.lower() else [*found, ("compatible", text.lower())]
    found = [("serial_number", digits), ("compatible", text.lower())]
    if _LEAST_OF_TAIL <= len(digits) <= 6:
        found.append(("substr(serial_number, 7)", digits))
    if _LEAST_OF_TAIL <= len(digits) <= 4:
        found.append(("substr(serial_number, 9)", digits))
    return found
