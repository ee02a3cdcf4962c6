"""Making a backup: the tables as of one moment, uploads, and small files of the data directory."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import gw
from gw.backup.archive import Manifest, Writer
from gw.core.retention import DAY
from gw.core.settings import Settings
from gw.security.internal_key import KEY_FILE as INTERNAL_KEY_FILE
from gw.security.sealing import KEY_FILE as SEALING_KEY_FILE
from gw.security.sealing import Sealer, sealing_key
from gw.store.migrations import load
from gw.store.snapshot import Snapshot, snapshot_of
from gw.store.writes import TELEMETRY

Progress = Callable[[str, int, int], None]
"""Told the part, how much of it is done, and how much it may be (0: unknown)."""

SEAL: Final = "gw backup"
"""What is sealed to try a key with, and what for."""
KEY_FILES: Final = (SEALING_KEY_FILE, INTERNAL_KEY_FILE)
DATA_FILES: Final = ("system.id",)
"""Small files of the data directory that make the gateway the one that it is."""


async def make_backup(
    settings: Settings,
    target: Path,
    *,
    telemetry: bool = True,
    files: bool = True,
    keys: bool = False,
    progress: Progress = lambda part, done, total: None,
) -> tuple[Manifest, int]:
    """Write a backup to `target`; returns its manifest and its size in bytes.

    The gateway may run. `telemetry`: with statistics, health checks, logs and events; `files`: with
    what devices uploaded; `keys`: with the keys of the data directory. Raises StoreError or
    ArchiveError; then there is no file.
    """
    data = Path(settings.run.data)
    async with snapshot_of(settings.store, settings.run.data) as snapshot:
        manifest = Manifest(
            gw=gw.__version__,
            made=int(time.time()),
            engine=snapshot.engine,
            schema=len(load("sqlite")),
            seal=_seal(settings),
        )
        with Writer(target, manifest) as archive:
            await _tables(snapshot, archive, telemetry, progress)
            if files:
                _files(archive, files_of(settings), progress)
            names = (*DATA_FILES, *(KEY_FILES if keys else ()))
            for name in names:
                archive.add(f"data/{name}", data / name)
            wanted = {"telemetry": telemetry, "files": files, "keys": keys}
            manifest.left_out = [name for name, is_in in wanted.items() if not is_in]
            return manifest, archive.finish()


def files_of(settings: Settings) -> Path:
    """Return the directory of the uploads."""
    return Path(settings.files.directory or Path(settings.run.data) / "files")


def key_of(settings: Settings) -> str:
    """Return the sealing key that there is; empty: none was ever made. Raises ValueError."""
    kept = Path(settings.run.data) / SEALING_KEY_FILE
    if not settings.security.sealing_key and not kept.exists():
        return ""
    return sealing_key(settings.security.sealing_key, settings.run.data)


def _seal(settings: Settings) -> str:
    key = key_of(settings)
    return Sealer(key).seal(SEAL, SEAL) if key else ""


async def _tables(snapshot: Snapshot, archive: Writer, telemetry: bool, progress: Progress) -> None:
    for name, columns in snapshot.tables.items():
        if name in TELEMETRY and not telemetry:
            continue
        total = await snapshot.estimate(name)
        writer = archive.table(name, columns)
        days: set[int] = set()
        try:
            async for rows in snapshot.rows(name):
                writer.write(rows)
                if name in TELEMETRY:
                    at = columns.index("recorded")
                    days.update(row[at] // DAY for row in rows)
                progress(name, writer.entry.rows, total)
        finally:
            writer.close()
        writer.entry.days = sorted(days)


def _files(archive: Writer, folder: Path, progress: Progress) -> None:
    found = []
    if folder.is_dir():
        # Those that are still arriving are left out.
        found = sorted(one for one in folder.iterdir() if one.suffix != ".part" and one.is_file())
    for number, file in enumerate(found, start=1):
        # One that was deleted meanwhile is not missed.
        archive.add(f"files/{file.name}", file)
        progress("files", number, len(found))
