"""The schemas in use: our own or the operator's files, and changed ones without a restart."""

from __future__ import annotations

import functools
import time
from importlib import resources
from pathlib import Path
from typing import Final

from gw.validation.schema import MAX_BYTES, Schema, SchemaError

SWITCH: Final = "switch"
ACCESS_POINT: Final = "ap"
_OWN: Final = {ACCESS_POINT: "access_point.json", SWITCH: "switch.json"}
_LOOK_SECONDS: Final = 1.0
"""Least time between two looks at the files."""

_Stamp = tuple[int, int, int]


class Schemas:
    """One schema for access points and one for switches, chosen by a device's type."""

    def __init__(self, access_point: str = "", switch: str = "") -> None:
        """Load; each is the path of a file, or empty for our own. Raises SchemaError."""
        self._files = {ACCESS_POINT: access_point, SWITCH: switch}
        self._stamps = {kind: _stamp(file) for kind, file in self._files.items()}
        self._in_use = {kind: _load(kind, file) for kind, file in self._files.items()}
        self._looked = time.monotonic()

    def of(self, device_type: str) -> Schema:
        """Return the schema for a type of device: `switch`, and all else is an access point."""
        return self._in_use[SWITCH if device_type.lower() == SWITCH else ACCESS_POINT]

    def changed(self) -> bool:
        """Tell whether a file is another one than when it was last read."""
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return False
        self._looked = now
        return any(_stamp(file) != self._stamps[kind] for kind, file in self._files.items())

    def reload(self) -> list[str]:
        """Read the files again; return what is wrong with them. What is wrong is not used."""
        faults = []
        for kind, file in self._files.items():
            if not file:
                continue
            self._stamps[kind] = _stamp(file)
            try:
                self._in_use[kind] = _load(kind, file)
            except SchemaError as error:
                faults.append(str(error))
        return faults


def _stamp(file: str) -> _Stamp | None:
    if not file:
        return None
    try:
        found = Path(file).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _load(kind: str, file: str) -> Schema:
    if not file:
        return _own(kind)
    try:
        with Path(file).open("rb") as opened:
            return Schema(opened.read(MAX_BYTES + 1), file)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SchemaError(f"{file}: {reason}") from None


@functools.cache
def _own(kind: str) -> Schema:
    name = _OWN[kind]
    return Schema((resources.files("gw.validation") / "schema" / name).read_bytes(), name)
