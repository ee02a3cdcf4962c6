"""Serial numbers as they come in paths, queries and bodies (northbound.md 2.6)."""

from __future__ import annotations

from gw.core.errors import ApiError
from gw.core.ids import normalize_serial


def path_serial(text: str, number: int = 1001) -> str:
    """Return a serial number in canonical form; separators are taken out.

    Raises ApiError `number` if it is not one.
    """
    try:
        return normalize_serial(text, separators=True)
    except ValueError as error:
        raise ApiError(number, str(error)) from None


def same_serial(body: str, path: str) -> None:
    """Raise ApiError 1030 unless the body names the (normalised) serial number of the path."""
    if body != path:
        raise ApiError(1030)
