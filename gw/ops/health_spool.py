"""What `gw doctor` looks at of the spool in front of the store."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gw.core.settings import Settings
from gw.core.spool_file import SUFFIX
from gw.ops.health_finding import Finding, good, warning

_MIB: Final = 1024 * 1024


def spool_findings(settings: Settings) -> Iterator[Finding]:
    """Yield what is to be said of what waits on disk, and of the room that is left for more."""
    if not settings.run.data:
        return
    folder = Path(settings.run.data) / "spool"
    waiting = 0
    for path in folder.glob(f"store-*/*{SUFFIX}"):
        try:
            waiting += path.stat().st_size
        except FileNotFoundError:
            continue  # a gateway that runs has just stored it
    bound = settings.store.spool_bytes
    if not bound:
        if waiting:
            yield warning(
                "spool",
                f"{_mib(waiting)} of earlier messages are in {folder} and are not read",
                "set store.spool_bytes above 0 until they are stored",
            )
        return
    if waiting:
        yield warning(
            "spool",
            f"{_mib(waiting)} wait in {folder}: the database is away, or was",
            "bring the database back; a gateway that runs stores them",
        )
    place = folder
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < bound - waiting:
        yield warning(
            "spool",
            f"store.spool_bytes may take {_mib(bound)}, and {_mib(free)} are free",
            "make room, or lower it: on a full disk devices have to wait",
        )
    elif not waiting:
        yield good("spool", f"empty, up to {_mib(bound)}")


def _mib(size: int) -> str:
    return f"{-(-size // _MIB)} MiB"
