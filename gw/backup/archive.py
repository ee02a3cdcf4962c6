"""The file of a backup: a ZIP with rows as MessagePack, files, and a manifest with checksums.

The manifest is written last, so that a file that was cut off has none. Members:

    tables/<table>.msgpack    frames: 4 bytes of length (big endian), then an array of rows
    files/<name>              uploads of devices
    data/<name>               small files of the data directory
    manifest.json
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

import msgspec

from gw.store.snapshot import Rows

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
_MAX_FRAME: Final = 1 << 30
_MAX_MANIFEST: Final = 1 << 28
_BLOCK: Final = 1 << 20
_BROKEN: Final = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, OSError, RuntimeError,
)  # fmt: skip
"""What reading a damaged ZIP may raise."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}\Z")
_TABLE: Final = re.compile(r"[a-z][a-z0-9_]{0,62}\Z")


class ArchiveError(Exception):
    """A backup cannot be used, or not be written; says why."""


class Table(msgspec.Struct):
    """The rows of a table."""

    columns: list[str]
    rows: int = 0
    bytes: int = 0
    sha256: str = ""
    days: list[int] = msgspec.field(default_factory=list)
    """Of telemetry: numbers of the days, since 1970, for which there are rows."""


class Kept(msgspec.Struct):
    """A file."""

    bytes: int
    sha256: str
    modified: int
    """Unix seconds: uploads are kept for a time from then on."""


class Manifest(msgspec.Struct, kw_only=True):
    """What a backup is, and what is in it."""

    format: int = FORMAT
    gw: str
    """Version of gw that made it."""
    made: int
    """When: Unix seconds."""
    engine: str
    """Database that it was made from; it can be put into either."""
    schema: int
    """Number of the schema."""
    seal: str = ""
    """A text that the sealing key opens; empty: nothing is sealed."""
    left_out: list[str] = msgspec.field(default_factory=list)
    """Parts that were not wanted."""
    tables: dict[str, Table] = msgspec.field(default_factory=dict)
    files: dict[str, Kept] = msgspec.field(default_factory=dict)
    """By member of the archive."""


class Writer:
    """Writes a backup beside its place; only `finish` puts it there. Readable by its owner only."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.manifest = manifest
        self._path = path
        self._part = path.with_name(f".{path.name}.part")
        self._zip: zipfile.ZipFile | None = None

    def __enter__(self) -> Self:
        try:
            descriptor = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        except OSError as error:
            raise ArchiveError(f"{self._part} cannot be made: {error.strerror}") from None
        self._file = os.fdopen(descriptor, "w+b")
        self._zip = zipfile.ZipFile(self._file, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # After a fault there is no whole archive to be closed.
        with contextlib.suppress(OSError, ValueError):
            self._archive().close()
        with contextlib.suppress(OSError):
            self._file.close()
        self._part.unlink(missing_ok=True)

    def _archive(self) -> zipfile.ZipFile:
        if self._zip is None:
            raise ArchiveError(f"{self._path}: is not being written")
        return self._zip

    def table(self, name: str, columns: tuple[str, ...]) -> TableWriter:
        """Begin a table; the one before must be closed."""
        entry = self.manifest.tables[name] = Table(list(columns))
        member = self._archive().open(f"tables/{name}.msgpack", "w", force_zip64=True)
        return TableWriter(member, entry)

    def add(self, member: str, source: Path) -> bool:
        """Add a file; False if it is gone. Its name must be a plain one."""
        if not _NAME.match(member.partition("/")[2]):
            return False
        try:
            reading = source.open("rb")
        except FileNotFoundError:
            return False
        digest, size = hashlib.sha256(), 0
        with reading, self._archive().open(member, "w", force_zip64=True) as out:
            while block := reading.read(_BLOCK):
                digest.update(block)
                size += len(block)
                out.write(block)
            modified = int(os.fstat(reading.fileno()).st_mtime)
        self.manifest.files[member] = Kept(size, digest.hexdigest(), modified)
        return True

    def finish(self) -> int:
        """Write the manifest, and put the file in its place; returns its size in bytes."""
        archive = self._archive()
        archive.writestr(MANIFEST, msgspec.json.format(msgspec.json.encode(self.manifest)))
        archive.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        size = self._part.stat().st_size
        # Never in the place of another backup.
        try:
            os.link(self._part, self._path)
        except FileExistsError:
            raise ArchiveError(f"{self._path} exists already") from None
        return size


class TableWriter:
    """Writes the rows of one table."""

    def __init__(self, member: IO[bytes], entry: Table) -> None:
        self.entry = entry
        self._member = member
        self._digest = hashlib.sha256()
        self._encoder = msgspec.msgpack.Encoder()

    def write(self, rows: Rows) -> None:
        """Add rows."""
        body = self._encoder.encode(rows)
        frame = len(body).to_bytes(4, "big") + body
        self._member.write(frame)
        self._digest.update(frame)
        self.entry.rows += len(rows)
        self.entry.bytes += len(frame)

    def close(self) -> None:
        """End the table."""
        self._member.close()
        self.entry.sha256 = self._digest.hexdigest()


class Reader:
    """Reads a backup. Raises ArchiveError over one that is broken, cut off, or none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except OSError as error:
            raise ArchiveError(f"{path} cannot be read: {error.strerror or error}") from None
        except _BROKEN:
            raise ArchiveError(f"{path} is not a backup of gw, or it is cut off") from None
        try:
            self.manifest = self._manifest()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._zip.close()

    def _manifest(self) -> Manifest:
        try:
            if self._zip.getinfo(MANIFEST).file_size > _MAX_MANIFEST:
                raise ArchiveError(f"{self._path}: its {MANIFEST} is too large")
            raw = self._zip.read(MANIFEST)
            form = msgspec.json.decode(raw, type=dict[str, Any]).get("format")
            if form != FORMAT:
                raise ArchiveError(
                    f"{self._path} has format {form}, this gw knows {FORMAT}: use its own gw"
                )
            manifest = msgspec.json.decode(raw, type=Manifest)
        except KeyError:
            raise ArchiveError(f"{self._path} is not a backup of gw: no {MANIFEST}") from None
        except (msgspec.MsgspecError, *_BROKEN) as error:
            raise self._broken(MANIFEST, error) from None
        for table, entry in manifest.tables.items():
            for name in (table, *entry.columns):
                if not _TABLE.match(name):
                    raise ArchiveError(f"{self._path}: {name[:80]!r} names no table or column")
        for member in manifest.files:
            folder, _, name = member.partition("/")
            if folder not in ("files", "data") or not _NAME.match(name):
                raise ArchiveError(f"{self._path}: {member[:80]!r} is no name of a file")
        return manifest

    def _broken(self, member: str, error: Exception) -> ArchiveError:
        return ArchiveError(f"{self._path}: {member} is broken: {error}")

    def rows(self, table: str) -> Iterator[Rows]:
        """Yield the rows of a table in chunks, checked at the end: all of it, or ArchiveError."""
        entry = self.manifest.tables[table]
        member = f"tables/{table}.msgpack"
        decoder = msgspec.msgpack.Decoder(list[tuple[Any, ...]])
        digest, count = hashlib.sha256(), 0
        try:
            with self._zip.open(member) as reading:
                while head := reading.read(4):
                    size = int.from_bytes(head, "big")
                    if size > _MAX_FRAME:
                        raise ArchiveError(f"{self._path}: {member} is broken: too large a frame")
                    body = reading.read(size)
                    digest.update(head + body)
                    chunk = decoder.decode(body)
                    if any(len(row) != len(entry.columns) for row in chunk):
                        raise ArchiveError(f"{self._path}: {member} is broken: cells are missing")
                    count += len(chunk)
                    yield chunk
        except (KeyError, msgspec.MsgspecError, *_BROKEN) as error:
            raise self._broken(member, error) from None
        if (count, digest.hexdigest()) != (entry.rows, entry.sha256):
            raise ArchiveError(
                f"{self._path}: {member} is broken: it has {count} rows, the manifest says "
                f"{entry.rows}, or its checksum is another"
            )

    def extract(self, member: str, target: Path | None) -> None:
        """Copy a file out of the archive, readable by its owner only; None: only check it."""
        kept = self.manifest.files[member]
        digest, size = hashlib.sha256(), 0
        out = None
        try:
            if target is not None:
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
                out = os.fdopen(os.open(target, flags, 0o600), "wb")
            with self._zip.open(member) as reading:
                while block := reading.read(_BLOCK):
                    digest.update(block)
                    size += len(block)
                    if out is not None:
                        out.write(block)
        except (KeyError, *_BROKEN) as error:
            raise self._broken(member, error) from None
        finally:
            if out is not None:
                out.close()
        if (size, digest.hexdigest()) != (kept.bytes, kept.sha256):
            raise ArchiveError(f"{self._path}: {member} is broken: its checksum is another")
        if target is not None:
            os.utime(target, (kept.modified, kept.modified))

    def verify(self) -> Iterator[tuple[str, int]]:
        """Read everything and compare it with the manifest; yields members and rows so far."""
        for table in self.manifest.tables:
            count = 0
            for chunk in self.rows(table):
                count += len(chunk)
                yield table, count
        for number, member in enumerate(self.manifest.files, start=1):
            self.extract(member, None)
            yield "files", number
