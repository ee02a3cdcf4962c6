"""Files of a running gateway: the lock of its data directory, and the ready file."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import time
from pathlib import Path
from typing import Final

import msgspec

from gw.ops import logs
from gw.supervisor_processes import StartError

LOCK_NAME: Final = "gw.lock"
_POLL_SECONDS: Final = 0.1
_PATIENCE_SECONDS: Final = 5.0

log = logs.get("supervisor")


class Pids(msgspec.Struct):
    """Pids of the roles."""

    supervisor: int
    coordinator: int
    api: int
    workers: list[int]
    radius: int | msgspec.UnsetType = msgspec.UNSET
    """Sidecars are named only if they run."""
    rtty: int | msgspec.UnsetType = msgspec.UNSET


class Ready(msgspec.Struct, kw_only=True):
    """What the ready file says: where everything is, without paths."""

    devices: str
    api: str
    security: str
    files: str
    metrics: str
    private_api: str
    private_security: str = ""
    """Empty with an external security service; `security` is that one's then."""
    security_check: str = ""
    pids: Pids
    device_listeners: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    """Further listeners for devices by name; only if there are any."""
    rtty: str | msgspec.UnsetType = msgspec.UNSET
    """Where devices reach the remote terminal; only if it runs."""
    rtty_viewer: str | msgspec.UnsetType = msgspec.UNSET
    """Where browsers do."""


class ReadyFile:
    """The file of `--ready-file`; it is there exactly while every role serves."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()

    def prepare(self) -> None:
        """Remove what an earlier run left. Raises StartError if it could not be written."""
        if not self._path.parent.is_dir():
            raise StartError(f"--ready-file {self._path}: there is no such directory")
        self.remove()

    def remove(self) -> None:
        """Remove the file, if it is there."""
        with contextlib.suppress(OSError):
            self._path.unlink()

    def write(self, ready: Ready) -> None:
        """Write the file whole or not at all, by renaming it into place. Raises StartError."""
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            temporary.write_bytes(msgspec.json.format(msgspec.json.encode(ready)) + b"\n")
            temporary.replace(self._path)
        except OSError as exc:
            raise StartError(
                f"--ready-file {self._path}: cannot be written: {exc.strerror}"
            ) from None


async def lock_data_directory(data: Path, drain_seconds: float) -> int:
    """Make the data directory and lock it for this tree; returns the descriptor that holds it.

    Two coordinators must not write one store. Every role inherits the lock, so that it is held
    until the last one of a tree is gone, also if its supervisor was killed; those are waited for.
    """
    lock = _open_lock(data)
    try:
        await _wait_for_lock(lock, data, drain_seconds + _PATIENCE_SECONDS)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    except BaseException:
        os.close(lock)
        raise
    return lock


def _open_lock(data: Path) -> int:
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(data / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise StartError(
            f"run.data: {exc.filename} cannot be written: {exc.strerror}; see who owns {data}, "
            "or choose another directory with --data DIR"
        ) from None


async def _wait_for_lock(lock: int, data: Path, seconds: float) -> None:
    patience = time.monotonic() + seconds
    told = False
    while not _try_lock(lock):
        holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
        if _is_alive(holder) or time.monotonic() > patience:
            raise StartError(
                f"run.data: {data} is in use by another gw (pid {holder or 'unknown'}): "
                "stop it, or choose another directory with --data DIR"
            )
        if not told:
            log.warning("waiting for the rest of an earlier gateway to end", pid=holder)
            told = True
        await asyncio.sleep(_POLL_SECONDS)


def running_pid(data: Path) -> int | None:
    """Return the pid of the supervisor that runs on a data directory, if there is one."""
    try:
        lock = os.open(data / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if _try_lock(lock, fcntl.LOCK_SH):
            return None
        holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
        return int(holder) if _is_alive(holder) else None
    finally:
        os.close(lock)


def _try_lock(lock: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except OSError as exc:
        if exc.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


def _is_alive(pid: str) -> bool:
    if not pid.isdigit():
        return False
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state not in (b"Z", b"X")
