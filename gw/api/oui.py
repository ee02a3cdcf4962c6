"""Vendors of MAC addresses, out of a list that the operator provides (IEEE's, or a plain one)."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Final

import structlog

from gw.core.watched_files import WatchedFiles

_log = structlog.get_logger("gw.api")

_MAX_BYTES: Final = 64_000_000
_DIGITS: Final = re.compile(r"[0-9A-Fa-f]{6,9}\Z")
_SEPARATORS: Final = str.maketrans("", "", ":-.")
_LENGTHS: Final = (9, 7, 6)
"""Digits of MA-S, MA-M and MA-L blocks; the longest that fits counts."""
_MAX_NAME: Final = 128


def parse(text: str) -> dict[str, str]:
    """Return vendor names by upper-case prefix, of 6, 7 or 9 hexadecimal digits.

    Understood are IEEE's `oui.txt` (its lines with `(hex)`), IEEE's CSV files (also those of
    28 and 36 bits, one after the other), and lines of a prefix, white space and a name. Lines of
    any other kind are left out.
    """
    found: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith(("MA-L,", "MA-M,", "MA-S,")):
            cells = next(csv.reader([line]))
            prefix, name = cells[1], cells[2] if len(cells) > 2 else ""
        else:
            prefix, _, name = line.strip().partition("\t" if "\t" in line else " ")
            prefix = prefix.replace("(hex)", "").strip().translate(_SEPARATORS)
            # Wireshark's lines have a short name first.
            name = name.replace("(hex)", "").strip().rpartition("\t")[2]
        if _DIGITS.match(prefix) and len(prefix) in _LENGTHS and name.strip():
            found[prefix.upper()] = name.strip()[:_MAX_NAME]
    return found


class Vendors:
    """The list in use. Without one, no address has a vendor."""

    def __init__(self, file: str = "") -> None:
        """Read the file. Raises OSError or ValueError if it cannot be used."""
        self._file = file
        self._files = WatchedFiles((file,))
        self._names = _read(file) if file else {}

    def reload(self) -> None:
        """Read the file again if it has changed; keep the old list if it cannot be used."""
        if not self._file or not self._files.changed():
            return
        signature = self._files.signature()
        try:
            self._names = _read(self._file)
        except (OSError, ValueError) as error:
            _log.error("list of vendors not reloaded", file=self._file, error=str(error))
            return
        self._files.take(signature)

    def of(self, address: str) -> str:
        """Return the vendor of a MAC address or serial number; empty if none is known."""
        digits = address.translate(_SEPARATORS).upper()
        for length in _LENGTHS:
            name = self._names.get(digits[:length])
            if name is not None:
                return name
        return ""


def _read(file: str) -> dict[str, str]:
    path = Path(file)
    if path.stat().st_size > _MAX_BYTES:
        raise ValueError(f"more than {_MAX_BYTES} bytes")
    found = parse(path.read_text("utf-8", "replace"))
    if not found:
        raise ValueError("no line of it names a vendor")
    return found
