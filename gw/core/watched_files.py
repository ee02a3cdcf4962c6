"""Files that may be replaced while they are in use."""

from __future__ import annotations

import os
from collections.abc import Iterable

Signature = tuple[tuple[int, ...], ...]
"""What tells one content of the files from another, without reading them."""


class WatchedFiles:
    """Tells whether files were replaced or written to since they were last taken over.

    It looks at inode, size and time of change: it costs a `stat` per file.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = tuple(dict.fromkeys(path for path in paths if path))
        self._taken = self.signature()

    def signature(self) -> Signature:
        """Return what the files look like now. Take it before reading them."""
        return tuple(_look(path) for path in self._paths)

    def changed(self) -> bool:
        """Tell whether the files are not those that were last taken over."""
        return self.signature() != self._taken

    def take(self, signature: Signature) -> None:
        """Note that the files are in use as they were when `signature` was taken."""
        self._taken = signature


def _look(path: str) -> tuple[int, ...]:
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
