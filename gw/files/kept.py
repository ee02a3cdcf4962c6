"""Where uploaded files are kept: one per command, in a directory or in the database."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

from gw.core.settings import Files
from gw.store.interface import Reader

_PART_BYTES: Final = 1_048_576
"""What crosses the queue to the coordinator at a time."""
_TIDY_SECONDS: Final = 60.0
"""Time between two looks at the age of the files, which read the whole directory."""
_TIDY: Final = 1000
"""Files that one look deletes."""


class Coordinator(Protocol):
    """Who writes."""

    async def request(self, operation: str, arguments: dict[str, Any], body: bytes = b"") -> Any:
        """Ask for an operation."""


class KeptFiles:
    """Keeps, reads and deletes the files of commands.

    With several gateways on one database only `files.store = database` lets each of them answer
    for all files.
    """

    def __init__(
        self,
        settings: Files,
        data: str,
        reader: Reader,
        coordinator: Coordinator,
        retention_seconds: int,
        removed: Callable[[], object] = lambda: None,
    ) -> None:
        """`removed` is called for each file that is deleted because of its age."""
        self.folder = Path(settings.directory or Path(data) / "files")
        self._in_database = settings.store == "database"
        self._reader = reader
        self._coordinator = coordinator
        self._retention = retention_seconds
        self._removed = removed
        self._tidied = 0.0

    async def keep(self, uuid: str, arrived: Path) -> None:
        """Keep a file that has arrived whole in the folder; it is moved, or removed from there."""
        if not self._in_database:
            await asyncio.to_thread(arrived.replace, self.folder / uuid)
            await asyncio.to_thread(self._tidy)
            return
        part = 0
        with arrived.open("rb") as file:
            while content := await asyncio.to_thread(file.read, _PART_BYTES):
                arguments = {"uuid": uuid, "part": part}
                await self._coordinator.request("file.part", arguments, content)
                part += 1

    async def read(self, uuid: str) -> bytes | None:
        """Return a file; None if there is none."""
        if self._in_database:
            return await self._reader.file(uuid)
        try:
            return await asyncio.to_thread((self.folder / uuid).read_bytes)
        except FileNotFoundError:
            return None

    async def delete(self, uuid: str) -> bool:
        """Delete a file; False if there is none."""
        if self._in_database:
            there = await self._reader.has_file(uuid)
            await self._coordinator.request("file.delete", {"uuid": uuid})
            return there
        try:
            await asyncio.to_thread((self.folder / uuid).unlink)
        except FileNotFoundError:
            return False
        return True

    async def of_commands(self, serial: str, start: int = 0, end: int = 0) -> list[str]:
        """Return which files go when commands of a device are deleted; see `deleted`."""
        if self._in_database:
            return []  # there they go with their commands
        return await self._reader.commands_with_files(serial, start=start, end=end)

    async def deleted(self, files: list[str]) -> None:
        """The commands of these files are deleted."""

        def remove() -> None:
            for uuid in files:
                (self.folder / uuid).unlink(missing_ok=True)

        if files:
            await asyncio.to_thread(remove)

    def _tidy(self) -> None:
        """Delete files that are older than they are to be kept, now and then."""
        if self._tidied and time.monotonic() < self._tidied + _TIDY_SECONDS:
            return
        self._tidied = time.monotonic()
        limit = time.time() - self._retention
        with contextlib.suppress(OSError):
            old = [file for file in self.folder.iterdir() if _age(file) < limit]
            for file in sorted(old, key=_age)[:_TIDY]:
                file.unlink(missing_ok=True)
                self._removed()


def _age(file: Path) -> float:
    return file.stat().st_mtime
