"""Cells of owgw's rows as values of ours; what cannot be one is said, with the column."""

from __future__ import annotations

from typing import Any

import msgspec

from gw.owgw.source import Raw


class RowError(ValueError):
    """A row cannot be taken; says why."""


_LARGEST = 2**63 - 1


def text(row: Raw, *names: str) -> str:
    """Return the text of the first column that there is; empty if there is none."""
    for name in names:
        value = row.get(name)
        if value is not None:
            return value if isinstance(value, str) else str(value)
    return ""


def number(row: Raw, name: str) -> int:
    """Return a number that is not negative; 0 if there is none. Raises RowError."""
    value = row.get(name)
    if value is None or value == "":
        return 0
    try:
        found = int(value)
    except (TypeError, ValueError, OverflowError):
        raise RowError(f"{name}: {str(value)[:40]!r} is no number") from None
    if not 0 <= found <= _LARGEST:
        raise RowError(f"{name}: {found} is not from 0 to 2^63 - 1")
    return found


def flag(row: Raw, name: str) -> bool:
    """Return a flag, however it is kept."""
    value = row.get(name)
    return value.lower() in ("1", "t", "true") if isinstance(value, str) else bool(value)


def array(row: Raw, name: str) -> list[Any]:
    """Return a column with a JSON array. Raises RowError."""
    raw = text(row, name).strip()
    if not raw:
        return []
    try:
        return msgspec.json.decode(raw, type=list[Any])
    except (msgspec.MsgspecError, RecursionError):
        raise RowError(f"{name}: is no JSON array") from None


def names_in(row: Raw, name: str) -> list[str]:
    """Return a column with a JSON array of texts. Raises RowError."""
    found = array(row, name)
    if not all(isinstance(one, str) for one in found):
        raise RowError(f"{name}: holds more than texts")
    return found


def notes(row: Raw) -> list[dict[str, Any]]:
    """Return the notes: objects of {created, createdBy, note}. Raises RowError."""
    found = array(row, "notes")
    if not all(isinstance(one, dict) for one in found):
        raise RowError("notes: holds more than objects")
    return [
        {
            "created": one.get("created", 0) if isinstance(one.get("created", 0), int) else 0,
            "createdBy": str(one.get("createdBy", "")),
            "note": str(one.get("note", "")),
        }
        for one in found
    ]
