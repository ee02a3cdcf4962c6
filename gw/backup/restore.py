"""Putting a backup back: everything is checked before anything is changed."""

from __future__ import annotations

import shutil
from pathlib import Path

from gw.backup.archive import ArchiveError, Manifest, Reader
from gw.backup.make import KEY_FILES, SEAL, Progress, files_of, key_of
from gw.core.settings import Settings
from gw.security.sealing import KEY_FILE, Sealer, SealError
from gw.store.load import load_into
from gw.store.migrations import load


async def restore(
    settings: Settings,
    source: Path,
    *,
    replace: bool = False,
    check_only: bool = False,
    progress: Progress = lambda part, done, total: None,
) -> Manifest:
    """Put a backup into the store and the data directory that the settings name.

    No gateway may run on them. Without `replace`, a store that has rows or a directory of uploads
    that has files is refused. `check_only`: the backup is checked, and nothing is changed. Raises
    ArchiveError or StoreError; then nothing was changed.
    """
    with Reader(source) as archive:
        manifest = archive.manifest
        _check_schema(source, manifest)
        if not check_only:
            _check_key(settings, archive)
            _check_data(settings, manifest, replace)
        for part, done in archive.verify():
            total = manifest.tables[part].rows if part in manifest.tables else len(manifest.files)
            progress(f"checking {part}", done, total)
        if check_only:
            return manifest
        new_files = _unpack_files(settings, archive)
        try:
            await _load(settings, archive, replace, progress)
            _place_files(settings, archive, new_files)
        finally:
            shutil.rmtree(new_files, ignore_errors=True)
        return manifest


def _check_schema(source: Path, manifest: Manifest) -> None:
    known = len(load("sqlite"))
    if not 1 <= manifest.schema <= known:
        raise ArchiveError(
            f"{source} was made by gw {manifest.gw} with schema version {manifest.schema}, this gw "
            f"knows versions up to {known}: restore it with the newer gw"
        )


def _check_key(settings: Settings, archive: Reader) -> None:
    """Refuse a backup whose secrets could not be opened afterwards."""
    manifest = archive.manifest
    if not manifest.seal:
        return
    member = f"data/{KEY_FILE}"
    key = key_of(settings)
    if not key and member in manifest.files:
        return  # it comes with the backup
    if not key:
        raise ArchiveError(
            f"the secrets in this backup are sealed: put {KEY_FILE} of the gateway that it was "
            f"made from into {settings.run.data}, or set security.sealing_key"
        )
    try:
        Sealer(key).open(manifest.seal, SEAL)
    except SealError:
        raise ArchiveError(
            f"the sealing key here ({KEY_FILE} in {settings.run.data}, or security.sealing_key) is "
            "not the one of this backup: its secrets could not be opened"
        ) from None


def _check_data(settings: Settings, manifest: Manifest, replace: bool) -> None:
    folder = files_of(settings)
    uploads = any(member.startswith("files/") for member in manifest.files)
    if uploads and not replace and folder.is_dir() and any(folder.iterdir()):
        raise ArchiveError(f"{folder} is not empty: --replace replaces it")


async def _load(settings: Settings, archive: Reader, replace: bool, progress: Progress) -> None:
    tables = archive.manifest.tables
    filling = load_into(
        settings.store,
        settings.run.data,
        version=archive.manifest.schema,
        replace=replace,
        days={name: table.days for name, table in tables.items() if table.days},
    )
    async with filling:
        for name, table in tables.items():
            count = 0
            for rows in archive.rows(name):
                await filling.rows(name, table.columns, rows)
                count += len(rows)
                progress(name, count, table.rows)
        await filling.finish()


def _unpack_files(settings: Settings, archive: Reader) -> Path:
    """Copy the files of the archive beside their places; returns their directory."""
    folder = files_of(settings)
    new = folder.with_name(f".{folder.name}.restoring")
    shutil.rmtree(new, ignore_errors=True)
    try:
        for part in ("files", "data"):
            (new / part).mkdir(mode=0o700, parents=True)
        for member in archive.manifest.files:
            archive.extract(member, new / member)
    except OSError as error:
        shutil.rmtree(new, ignore_errors=True)
        raise ArchiveError(f"{error.filename or new}: {error.strerror}") from None
    return new


def _place_files(settings: Settings, archive: Reader, new: Path) -> None:
    data, folder = Path(settings.run.data), files_of(settings)
    if "files" not in archive.manifest.left_out:
        shutil.rmtree(folder, ignore_errors=True)
        (new / "files").rename(folder)
    for file in (new / "data").iterdir():
        # A key that is here already is the right one; see `_check_key`.
        if file.name not in KEY_FILES or not (data / file.name).exists():
            file.replace(data / file.name)
