"""Threads that own one SQLite connection each, and the bounded queue in front of them."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, TypeVar

from gw.store.errors import StoreError
from gw.store.sqlite_connection import is_connection_gone, store_error

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]

_LOOK_EVERY: Final = 20_000
"""Instructions of SQLite's machine between two looks at the clock."""


class ConnectionThreads:
    """Run jobs, each with the connection of the thread that takes it.

    Threads start with the first job and open their connection then; a connection that failed is
    opened again for the next job. `capacity` bounds the jobs that wait or run: one more is
    refused as retriable. `seconds` bounds waiting and running of a job together; a job that is
    over it is interrupted. Call from one event loop only.
    """

    def __init__(
        self,
        path: Path,
        connect: Callable[[], sqlite3.Connection],
        *,
        name: str,
        count: int,
        capacity: int,
        seconds: float | None = None,
    ) -> None:
        self._path = path
        self._connect = connect
        self._name = name
        self._count = count
        self._seconds = seconds
        self._room = threading.Semaphore(capacity)
        self._jobs: queue.SimpleQueue[tuple[Job[Any], Future[Any], float] | None] = (
            queue.SimpleQueue()
        )
        self._ended: list[Future[None]] = []
        self._closed = False

    async def run(self, job: Job[T]) -> T:
        """Return what `job` returns. If the caller is cancelled, a job that waits is dropped."""
        if self._closed:
            raise StoreError(f"{self._path}: the store is closed")
        if not self._room.acquire(blocking=False):
            raise StoreError(f"{self._path}: too many queries at a time", retriable=True)
        if not self._ended:
            self._start()
        future: Future[T] = Future()
        self._jobs.put((job, future, time.monotonic()))
        return await asyncio.wrap_future(future)

    async def close(self) -> None:
        """Finish what was handed in, close the connections, end the threads. May be repeated."""
        if not self._closed:
            self._closed = True
            for _ in self._ended:
                self._jobs.put(None)
        for ended in self._ended:
            await asyncio.wrap_future(ended)

    def _start(self) -> None:
        for index in range(self._count):
            ended: Future[None] = Future()
            # A daemon, so that a store that nobody closed does not keep the process from exiting.
            threading.Thread(
                target=self._work, args=(ended,), name=f"{self._name}-{index}", daemon=True
            ).start()
            self._ended.append(ended)

    def _work(self, ended: Future[None]) -> None:
        lane = _Lane(self._path, self._connect, self._seconds)
        while (item := self._jobs.get()) is not None:
            try:
                lane.answer(*item)
            finally:
                self._room.release()
            # It may hold a batch of megabytes: not until the next one comes.
            del item
        lane.close()
        ended.set_result(None)


class _Lane:
    """One thread's connection."""

    def __init__(
        self, path: Path, connect: Callable[[], sqlite3.Connection], seconds: float | None
    ) -> None:
        self._path = path
        self._connect = connect
        self._seconds = seconds
        self._deadline = 0.0
        self._connection: sqlite3.Connection | None = None

    def answer(self, job: Job[T], future: Future[T], since: float) -> None:
        """Run a job that was handed in at `since`, unless its caller has given it up."""
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(self._run(job, since))
        except sqlite3.Error as error:
            if is_connection_gone(error):
                self.close()
            future.set_exception(store_error(error, self._path))
        except OSError as error:
            future.set_exception(StoreError(f"{self._path}: {error.strerror}", retriable=True))
        except BaseException as error:  # noqa: BLE001 - handed to the caller; the thread goes on
            future.set_exception(error)

    def _run(self, job: Job[T], since: float) -> T:
        if self._seconds is not None:
            self._deadline = since + self._seconds
            if self._is_late():
                raise StoreError(f"{self._path}: the query waited too long", retriable=True)
        if self._connection is None:
            self._connection = self._connect()
            if self._seconds is not None:
                self._connection.set_progress_handler(self._is_late, _LOOK_EVERY)
        return job(self._connection)

    def _is_late(self) -> bool:
        return time.monotonic() > self._deadline

    def close(self) -> None:
        """Close the connection, if there is one; the next job opens another."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None
