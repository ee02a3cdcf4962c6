"""A queue on disk: what cannot be passed on just now, in segment files, in order, up to a bound.

Used where the party behind a queue is away: in front of the store, and in front of a broker.
Entries are appended at one end and released at the other; each has a position, which only grows,
and which the owner chooses. What `append` returned for survives a crash of process and machine.

A folder holds segments, `<position of the first entry, 20 digits>.spool`: 8 bytes of magic, then
entries. An entry is a header (length of the payload; CRC-32 of what follows; position; stamp) and
its payload. A file `released` holds the position up to which all is done; it is not synced, so
after a power cut entries that were released may be there again, never the other way round.

Nothing here is asynchronous or safe for several threads: one call at a time, in a thread of its own
(`asyncio.to_thread`), since `append` waits for the disk.
"""

from __future__ import annotations

import bisect
import contextlib
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

SUFFIX: Final = ".spool"
MAGIC: Final = b"GWSPOOL1"
_HEADER: Final = struct.Struct("<IIQq")
"""Length of the payload; CRC-32 of position, stamp and payload; position; stamp."""
_CHECKED: Final = struct.Struct("<Qq")
_MARK: Final = struct.Struct("<QI")
ENTRY_OVERHEAD: Final = _HEADER.size
"""Bytes that an entry takes beside its payload."""
MAX_PAYLOAD_BYTES: Final = 2**30
_POINT_BYTES: Final = 65_536
"""One point of the index for so many bytes of a segment."""


class SpoolError(Exception):
    """The folder holds what is not a spool of this version."""


class SpoolFullError(Exception):
    """The entries do not fit below the bound; nothing of them was written."""


class Entry(NamedTuple):
    """One entry."""

    position: int
    """Greater than that of any entry before, below 2**64."""
    stamp: int
    """When it arose, Unix time in nanoseconds; for the age, and for the owner."""
    payload: bytes


class Dropped(NamedTuple):
    """What made room."""

    records: int
    size: int
    """Bytes on disk."""


class _Point(NamedTuple):
    """Where in a segment an entry begins."""

    position: int
    offset: int
    before: int
    """Entries before it in the segment."""
    stamp: int


class _Segment:
    """What is known of one file."""

    __slots__ = ("count", "last", "path", "points", "size")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        """Good bytes, 0 for a file that is not made yet."""
        self.count = 0
        self.last = -1
        """Position of the last entry."""
        self.points: list[_Point] = []

    def note(self, position: int, stamp: int, offset: int, end: int) -> None:
        """An entry is in the file, from `offset` to `end`."""
        if not self.points or offset - self.points[-1].offset >= _POINT_BYTES:
            self.points.append(_Point(position, offset, self.count, stamp))
        self.count += 1
        self.last = position
        self.size = end

    def point(self, after: int) -> _Point:
        """Return the last point from which all entries above `after` can be found."""
        place = bisect.bisect_right(self.points, after, key=lambda one: one.position)
        return self.points[max(0, place - 1)]


class Spool:
    """The queue of one folder. Only one process at a time may have it open."""

    def __init__(self, folder: Path, *, max_bytes: int, segment_bytes: int = 8_388_608) -> None:
        """Open a folder, which is made if need be, and find what is in it.

        `max_bytes`: what the segments may take on disk together; `segment_bytes`: size from which
        the next append begins another segment. Raises OSError, and SpoolError for foreign files.
        """
        self.folder = folder
        self.max_bytes = max_bytes
        self.torn_bytes = 0
        """Cut from the end of the newest segment when it was opened: never acknowledged, unless
        the disk lost it."""
        self.damaged_bytes = 0
        """What was acknowledged and cannot be read back."""
        self.released = -1
        """Everything up to this position is done."""
        self.end = -1
        """Position of the newest entry ever appended, or released; -1: none yet."""
        self._segment_bytes = segment_bytes
        self._segments: list[_Segment] = []
        self._writing = -1
        """Descriptor of the last segment while entries are appended to it."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._mark = os.open(folder / "released", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with contextlib.suppress(OSError):
            # Its block now: on a full disk, giving space back must not need any.
            os.posix_fallocate(self._mark, 0, _MARK.size)
        try:
            self._recover()
        except BaseException:
            self.close()
            raise

    # -- what is in it

    @property
    def bytes(self) -> int:
        """Bytes on disk."""
        return sum(one.size for one in self._segments)

    @property
    def records(self) -> int:
        """Entries that are not released; what is released of a segment is counted in steps."""
        if not self._segments:
            return 0
        done = self._segments[0].point(self.released).before
        return sum(one.count for one in self._segments) - done

    @property
    def oldest(self) -> int:
        """Stamp of the oldest entry, to the accuracy of `records`; 0 if there is none."""
        return self._segments[0].point(self.released).stamp if self._segments else 0

    @property
    def empty(self) -> bool:
        """True if all entries are released."""
        return not self._segments

    # -- both ends

    def append(self, entries: Sequence[Entry]) -> None:
        """Add entries at the end; they are on disk when it returns.

        Raises SpoolFullError if they do not fit, OSError if the disk fails or is full (nothing is
        added then: the same entries may be tried again), ValueError for a position that does not
        grow, or a payload that is too large.
        """
        if not entries:
            return
        data = bytearray()
        last = self.end
        for position, stamp, payload in entries:
            if position <= last:
                raise ValueError(f"position {position} is not above {last}")
            if len(payload) > MAX_PAYLOAD_BYTES:
                raise ValueError(f"an entry of {len(payload)} bytes, more than {MAX_PAYLOAD_BYTES}")
            last = position
            crc = zlib.crc32(payload, zlib.crc32(_CHECKED.pack(position, stamp)))
            data += _HEADER.pack(len(payload), crc, position, stamp)
            data += payload
        if self.bytes + len(data) + len(MAGIC) > self.max_bytes:
            raise SpoolFullError(f"{len(data)} bytes more than the spool may hold")
        segment = self._open_segment(entries[0].position)
        start = segment.size or len(MAGIC)
        try:
            _write(self._writing, data if segment.size else MAGIC + data, segment.size)
            os.fdatasync(self._writing)
        except OSError:
            self._take_back(segment)
            raise
        if not segment.size:
            segment.size = len(MAGIC)
            self._segments.append(segment)
        for position, stamp, payload in entries:
            end = start + ENTRY_OVERHEAD + len(payload)
            segment.note(position, stamp, start, end)
            start = end
        self.end = last

    def read(self, after: int, max_records: int = 256, max_bytes: int = 2_097_152) -> list[Entry]:
        """Return the entries behind position `after`, in order; at least one if there is any.

        Where the disk gives back something else than was written, the rest of that segment is
        lost, and counted in `damaged_bytes`. Raises OSError.
        """
        found: list[Entry] = []
        left = max_bytes
        for segment in list(self._segments):
            if segment.last <= after:
                continue
            with _opened(segment.path) as file:
                for entry, end in _entries(file, segment.point(after).offset, segment.size):
                    if entry is None:
                        self._lose_rest(segment, end)
                        break
                    if entry.position <= after:
                        continue
                    left -= ENTRY_OVERHEAD + len(entry.payload)
                    if found and left < 0:
                        return found
                    found.append(entry)
                    if len(found) >= max_records:
                        return found
        return found

    def release(self, position: int) -> None:
        """Everything up to `position` is done: give its space back. Raises OSError."""
        if position <= self.released:
            return
        self.released = position
        self.end = max(self.end, position)
        packed = position.to_bytes(8, "little")
        os.pwrite(self._mark, _MARK.pack(position, zlib.crc32(packed)), 0)
        self._remove_done()

    def drop_oldest(self) -> Dropped:
        """Remove the oldest segment, whatever is in it, and return what was not released of it.

        Raises OSError.
        """
        if not self._segments:
            return Dropped(0, 0)
        first = self._segments[0]
        dropped = Dropped(first.count - first.point(self.released).before, first.size)
        self.release(first.last)
        return dropped

    # -- its life

    def close(self) -> None:
        """Let go of the files; what is in them stays."""
        for descriptor in (self._writing, self._mark):
            if descriptor >= 0:
                os.close(descriptor)
        self._writing = self._mark = -1

    def remove(self) -> None:
        """Close it, and delete the folder for good: it is on disk that it is gone.

        Raises OSError.
        """
        self.close()
        for path in list(self.folder.iterdir()):
            path.unlink()
        self.folder.rmdir()
        _sync_folder(self.folder.parent)

    def _recover(self) -> None:
        self.released = self.end = self._read_mark()
        for path in sorted(self.folder.glob("*" + SUFFIX)):
            if not path.stem.isdigit():
                raise SpoolError(f"{path} is no segment of a spool")
            segment = self._scan(path)
            if segment.last <= self.released:  # it was about to be deleted, or holds nothing
                path.unlink()
                continue
            # A failed append may have left entries that were then appended once more.
            while self._segments and segment.points[0].position <= self._segments[-1].last:
                self._cut(self._segments[-1], segment.points[0].position)
            self._segments.append(segment)
        if self._segments:
            self.end = max(self.end, self._segments[-1].last)

    def _read_mark(self) -> int:
        data = os.pread(self._mark, _MARK.size, 0)
        if len(data) < _MARK.size:
            return -1
        position, crc = _MARK.unpack(data)
        return position if crc == zlib.crc32(data[:8]) else -1

    def _scan(self, path: Path) -> _Segment:
        """Find what is good in a segment, and cut off the rest if it is the newest."""
        segment = _Segment(path)
        size = path.stat().st_size
        with _opened(path) as file:
            magic = os.pread(file, len(MAGIC), 0)
            if magic != MAGIC[: len(magic)]:
                raise SpoolError(f"{path} is no segment of a spool of this version")
            offset = min(size, len(MAGIC))
            for entry, end in _entries(file, offset, size):
                if entry is None or entry.position <= segment.last:
                    break
                segment.note(entry.position, entry.stamp, offset, end)
                offset = end
        if offset < size:
            if path == max(self.folder.glob("*" + SUFFIX)):
                self.torn_bytes += size - offset
            else:
                self.damaged_bytes += size - offset
            os.truncate(path, offset)
        return segment

    def _cut(self, segment: _Segment, position: int) -> None:
        """Forget the entries of a segment from a position on; it goes if none is left."""
        kept = _Segment(segment.path)
        with _opened(segment.path) as file:
            offset = len(MAGIC)
            for entry, end in _entries(file, offset, segment.size):
                if entry is None or entry.position >= position:
                    break
                kept.note(entry.position, entry.stamp, offset, end)
                offset = end
        place = self._segments.index(segment)
        if kept.count:
            os.truncate(segment.path, offset)
            self._segments[place] = kept
        else:
            segment.path.unlink()
            del self._segments[place]

    # -- files

    def _open_segment(self, position: int) -> _Segment:
        """Return the segment that takes the next entries; `_writing` is its file."""
        if self._writing >= 0:
            if self._segments[-1].size < self._segment_bytes:
                return self._segments[-1]
            self._stop_writing()
        path = self.folder / f"{position:020d}{SUFFIX}"
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        self._writing = os.open(path, flags, 0o600)
        try:
            _sync_folder(self.folder)
        except OSError:
            self._stop_writing()
            raise
        return _Segment(path)

    def _take_back(self, segment: _Segment) -> None:
        """An append failed: leave nothing of it, or at least nothing that is appended to."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._writing, segment.size)
        self._stop_writing()
        if not segment.size:
            with contextlib.suppress(OSError):
                segment.path.unlink()

    def _stop_writing(self) -> None:
        os.close(self._writing)
        self._writing = -1

    def _remove_done(self) -> None:
        while self._segments and self._segments[0].last <= self.released:
            if len(self._segments) == 1 and self._writing >= 0:
                self._stop_writing()
            self._segments[0].path.unlink(missing_ok=True)
            del self._segments[0]

    def _lose_rest(self, segment: _Segment, offset: int) -> None:
        """What follows in a segment is not what was written."""
        self.damaged_bytes += segment.size - offset
        if segment is self._segments[-1] and self._writing >= 0:
            self._stop_writing()
        self._cut(segment, segment.last + 1)
        self._remove_done()


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _entries(file: int, offset: int, size: int) -> Iterator[tuple[Entry | None, int]]:
    """Yield the entries of a segment and the offset behind each.

    At what is no entry: (None, offset of the end of the last good one), and the end.
    """
    data = b""
    at = 0
    while offset < size:
        if len(data) - at < ENTRY_OVERHEAD:
            data, at = os.pread(file, _READ_BYTES, offset), 0
        if min(len(data) - at, size - offset) < ENTRY_OVERHEAD:
            yield None, offset
            return
        length, crc, position, stamp = _HEADER.unpack_from(data, at)
        whole = ENTRY_OVERHEAD + length
        if offset + whole > size or length > MAX_PAYLOAD_BYTES:
            yield None, offset
            return
        if len(data) - at < whole:
            data, at = os.pread(file, max(_READ_BYTES, whole), offset), 0
        payload = data[at + ENTRY_OVERHEAD : at + whole]
        checked = zlib.crc32(payload, zlib.crc32(_CHECKED.pack(position, stamp)))
        if len(payload) != length or checked != crc:
            yield None, offset
            return
        at += whole
        offset += whole
        yield Entry(position, stamp, payload), offset


_READ_BYTES: Final = 1_048_576


def _write(file: int, data: bytes | bytearray, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, offset)
        offset += written
        view = view[written:]


def _sync_folder(folder: Path) -> None:
    """Make what was created or removed in a folder last."""
    with _opened(folder) as descriptor:
        os.fsync(descriptor)
