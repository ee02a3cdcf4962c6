"""Identifiers: device serial numbers and configuration ids."""

from __future__ import annotations

import re
from typing import Final

MAX_CONFIG_UUID: Final = 2**31 - 1
"""Largest configuration id that an access point can follow (agents.md, configure)."""

_SERIAL = re.compile(r"[0-9a-f]{12}\Z")


def normalize_serial(text: str, *, separators: bool = False) -> str:
    """Return `text` as a canonical serial number: 12 lower-case hexadecimal digits.

    `separators` also strips `:` and `-`, as the REST paths do (northbound.md 2.6).
    Raises ValueError if the result is not a serial number.
    """
    serial = text.strip().lower()
    if separators:
        serial = serial.replace(":", "").replace("-", "")
    if not _SERIAL.match(serial):
        raise ValueError(f"a serial number has 12 hexadecimal digits, not {text[:40]!r}")
    return serial


def serial_to_int(serial: str) -> int:
    """Return the 48-bit number that `serial` spells."""
    return int(serial, 16)


def serial_from_int(number: int) -> str:
    """Return the canonical text of a 48-bit serial number."""
    return f"{number:012x}"


def mac_address(serial: str) -> str:
    """Return `serial` in colon form."""
    return ":".join(serial[i : i + 2] for i in range(0, 12, 2))
