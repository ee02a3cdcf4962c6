"""The number by which other services know this gateway: made once, kept in the data directory."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

_FILE: Final = "system.id"
_LARGEST: Final = 2**63 - 1


def system_id(data: str) -> int:
    """Return the number kept in a data directory, from 1 to 2**63 - 1; make it if there is none.

    Only the coordinator calls this. Raises OSError if the file cannot be read or made, and
    ValueError if it holds something else.
    """
    file = Path(data) / _FILE
    try:
        text = file.read_text("ascii").strip()
    except FileNotFoundError:
        number = secrets.randbelow(_LARGEST) + 1
        draft = file.with_name(_FILE + ".new")
        with draft.open("w", encoding="ascii") as out:
            out.write(f"{number}\n")
            out.flush()
            os.fsync(out.fileno())
        draft.replace(file)
        return number
    if not text.isdecimal() or not 0 < int(text) <= _LARGEST:
        raise ValueError(f"{file} does not hold a number from 1 to {_LARGEST}")
    return int(text)
