"""SQLite when something goes wrong beside it: other processes, kill -9, locks, full disks."""

import asyncio
import contextlib
import sqlite3
import sys
import threading
from pathlib import Path

import pytest

from gw.store import sqlite, sqlite_queries
from gw.store.errors import BatchError, StoreError
from gw.store.interface import (
    Batch,
    InsertStatistics,
    PositionConflictError,
    PutDevice,
    RingPosition,
)
from gw.store.rows import DeviceRow
from gw.store.sqlite import SqliteReader, SqliteStore
from gw.store.sqlite_connection import open_for_reading, open_for_writing
from gw.store.sqlite_threads import ConnectionThreads

A = "aabbccddee01"
WRITER = Path(__file__).with_name("committing.py")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "gw.db"


@pytest.fixture
async def store(path):
    async with SqliteStore(path) as made:
        await made.migrate()
        yield made


def reports(first, count, size=100):
    return [InsertStatistics(A, n, n, b"x" * size) for n in range(first, first + count)]


@contextlib.asynccontextmanager
async def committing(path):
    """Run committing.py on `path`; it is killed with SIGKILL at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, WRITER, path, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        # Also ends the pipe, so that no transport is left to the collector.
        await process.communicate()


async def said(process):
    line = await asyncio.wait_for(process.stdout.readline(), 60)
    assert line, "the writer ended"
    return int(line)


# other processes


async def test_a_reader_follows_a_writer_in_another_process(path):
    async with committing(path) as process, SqliteReader(path) as reader:
        assert await said(process) == 0
        for _ in range(40):
            committed = await said(process)
            # What was committed before the question is in the answer, and whole batches only.
            found = await reader.count_statistics(A)
            assert found >= committed
            assert found % 50 == 0
            newest = await reader.statistics(A, newest=True, limit=1)
            assert newest[0].uuid >= found - 1


async def test_a_reader_may_open_before_the_first_checkpoint(path, store):
    await store.commit(Batch(reports(0, 5)))
    assert Path(f"{path}-wal").stat().st_size > 0
    async with SqliteReader(path) as reader:
        assert await reader.count_statistics(A) == 5
        await store.commit(Batch(reports(5, 5)))
        assert await reader.count_statistics(A) == 10


async def test_a_reader_outlives_the_writer_and_meets_the_next(path):
    async with SqliteReader(path) as reader:
        for count in (5, 10):
            async with SqliteStore(path) as store:
                await store.migrate()
                await store.commit(Batch(reports(count, 5)))
                assert await reader.count_statistics(A) == count
            assert await reader.count_statistics(A) == count


async def test_a_reader_alone_recovers_what_a_killed_writer_left(path):
    async with committing(path) as process:
        for _ in range(5):
            committed = await said(process)
    async with SqliteReader(path) as reader:
        assert await reader.count_statistics(A) >= committed > 0


async def test_closing_puts_everything_into_one_file(path, store):
    await store.commit(Batch(reports(0, 5)))
    assert await store.count_statistics(A) == 5
    await store.close()
    assert [file.name for file in path.parent.iterdir()] == ["gw.db"]


async def test_a_read_only_connection_cannot_write(path, store):
    connection = open_for_reading(path)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM devices")
    connection.close()


# kill -9


async def test_what_a_killed_writer_committed_is_there_and_nothing_by_halves(path):
    committed = 0
    for _ in range(3):
        async with committing(path) as process:
            # The next life begins where the positions say.
            assert await said(process) >= committed
            for _ in range(7):
                committed = await said(process)
        async with SqliteStore(path) as store:
            await store.migrate()
            incarnation, position = (await store.positions())["up0"]
            assert incarnation == 1
            assert position >= committed
            assert await store.count_statistics(A) == position
            assert len(await store.healthchecks(A, limit=-1)) == position
            rows = await store.statistics(A, limit=-1)
            assert [row.uuid for row in rows] == list(range(position))
            committed = position
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_of_two_coordinators_one_is_stopped_by_the_positions(path, store):
    async with SqliteStore(path) as zombie:
        await store.commit(Batch(reports(0, 10), [RingPosition("up0", 1, 0, 10)]))
        with pytest.raises(PositionConflictError):
            await zombie.commit(Batch(reports(0, 10), [RingPosition("up0", 1, 0, 10)]))
        assert await store.count_statistics(A) == 10


async def test_writers_that_race_each_write_once(path, store):
    async with SqliteStore(path) as other:
        results = await asyncio.gather(
            *(
                each.commit(Batch(reports(n, 1), [RingPosition("up0", 1, n, n + 1)]))
                for n in range(20)
                for each in (store, other)
            ),
            return_exceptions=True,
        )
    conflicts = [r for r in results if isinstance(r, PositionConflictError)]
    assert [r for r in results if r is not None and r not in conflicts] == []
    _, position = (await store.positions())["up0"]
    assert len(results) - len(conflicts) == position
    assert [row.uuid for row in await store.statistics(A)] == list(range(position))


# locks, full disks, files that vanish


async def test_a_lock_that_is_held_too_long_is_retriable(path, store, monkeypatch):
    def impatient(*args):
        connection = open_for_writing(*args)
        connection.execute("PRAGMA busy_timeout = 1")
        return connection

    monkeypatch.setattr(sqlite, "open_for_writing", impatient)
    async with SqliteStore(path) as locked_out:
        blocker = open_for_writing(path, "full")
        blocker.execute("BEGIN IMMEDIATE")
        batch = Batch(reports(0, 3), [RingPosition("up0", 1, 0, 3)])
        with pytest.raises(StoreError, match="BUSY") as caught:
            await locked_out.commit(batch)
        assert caught.value.retriable
        assert not isinstance(caught.value, BatchError)
        # Reads go on meanwhile.
        assert await locked_out.count_statistics(A) == 0
        blocker.execute("ROLLBACK")
        blocker.close()
        await locked_out.commit(batch)
        assert await locked_out.count_statistics(A) == 3


async def test_a_full_disk_is_retriable_and_leaves_the_batch_unwritten(path, monkeypatch):
    made = []

    def remembered(*args):
        made.append(open_for_writing(*args))
        return made[-1]

    monkeypatch.setattr(sqlite, "open_for_writing", remembered)
    async with SqliteStore(path) as store:
        await store.migrate()
        await store.commit(Batch(reports(0, 5), [RingPosition("up0", 1, 0, 5)]))

        def limit(pages):
            return lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}")

        pages = await store._writer.run(
            lambda connection: connection.execute("PRAGMA page_count").fetchone()[0]
        )
        await store._writer.run(limit(pages + 10))
        big = Batch(reports(5, 100, 3000), [RingPosition("up0", 1, 5, 105)])
        for _ in range(2):
            with pytest.raises(StoreError, match="FULL") as caught:
                await store.commit(big)
            assert caught.value.retriable
            assert not isinstance(caught.value, BatchError)
            assert await store.count_statistics(A) == 5
            assert await store.positions() == {"up0": (1, 5)}
        # What is small still goes in, and all once there is room.
        await store.commit(Batch(reports(900, 1)))
        await store._writer.run(limit(1_000_000))
        await store.commit(big)
        assert await store.count_statistics(A) == 106
        assert await store.positions() == {"up0": (1, 105)}
        assert len(made) == 1


async def test_a_broken_connection_is_replaced(path, store, monkeypatch):
    real = sqlite.write_batch
    failures = [sqlite3.SQLITE_IOERR]

    def failing(connection, batch):
        if failures:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = failures.pop()
            error.sqlite_errorname = "SQLITE_IOERR"
            raise error
        real(connection, batch)

    opened = []

    def counted(*args):
        opened.append(args)
        return open_for_writing(*args)

    monkeypatch.setattr(sqlite, "write_batch", failing)
    monkeypatch.setattr(sqlite, "open_for_writing", counted)
    with pytest.raises(StoreError, match="IOERR") as caught:
        await store.commit(Batch(reports(0, 1)))
    assert caught.value.retriable
    await store.commit(Batch(reports(0, 1)))
    assert len(opened) == 1
    assert await store.count_statistics(A) == 1


async def test_a_folder_that_is_not_there_is_retriable(tmp_path):
    async with SqliteStore(tmp_path / "later" / "gw.db") as store:
        with pytest.raises(StoreError, match=r"gw\.db") as caught:
            await store.migrate()
        assert caught.value.retriable
        (tmp_path / "later").mkdir()
        await store.migrate()
        assert await store.devices() == []


async def test_a_path_with_signs_that_mean_something_in_urls(tmp_path):
    async with SqliteStore(tmp_path / "a b?c#d%20é.db") as store:
        await store.migrate()
        await store.commit(Batch([PutDevice(DeviceRow(serial_number=A))]))
        assert await store.serial_numbers() == [A]


# the WAL


async def test_the_wal_begins_anew_although_readers_overlap(path, monkeypatch):
    monkeypatch.setattr(sqlite, "WAL_BYTES", 200_000)
    monkeypatch.setattr(sqlite, "_TRIM_SECONDS", 0.0)
    async with SqliteStore(path) as store:
        await store.migrate()
        wal = Path(f"{path}-wal")
        # An old reader holds the WAL for a while, as a long page does.
        reader = open_for_reading(path)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM statistics").fetchall()
        monkeypatch.setattr(sqlite, "_TRIM_WAIT_SECONDS", 0.001)
        for n in range(5):
            await store.commit(Batch(reports(n * 100, 100, 3000)))
        held = wal.stat().st_size
        assert held > 400_000
        reader.close()
        for n in range(5, 8):
            await store.commit(Batch(reports(n * 100, 100, 3000)))
        assert wal.stat().st_size <= held + 500_000
        assert await store.count_statistics(A) == 800


# threads and their queue


async def test_more_queries_than_there_is_room_for_are_refused(path, store, monkeypatch):
    monkeypatch.setattr(sqlite_queries, "THREADS", 1)
    monkeypatch.setattr(sqlite_queries, "WAITING", 3)
    async with SqliteReader(path) as reader:
        gate = threading.Event()
        waiting = [asyncio.ensure_future(reader._readers.run(lambda _: gate.wait()))]
        waiting += [asyncio.ensure_future(reader.count_devices()) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(StoreError, match="too many") as caught:
            await reader.count_devices()
        assert caught.value.retriable
        gate.set()
        assert await asyncio.gather(*waiting) == [True, 0, 0]
        assert await reader.count_devices() == 0


async def test_a_query_has_a_deadline(path, store, monkeypatch):
    monkeypatch.setattr(sqlite_queries, "SECONDS", 0.2)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    async with SqliteReader(path) as reader:
        with pytest.raises(StoreError, match="INTERRUPT") as caught:
            await reader._cells(endless)
        assert caught.value.retriable
        assert await reader.count_devices() == 0


async def test_a_query_that_waited_past_its_deadline_is_not_begun(path):
    threads = ConnectionThreads(
        path, lambda: sqlite3.connect(":memory:"), name="t", count=1, capacity=5, seconds=0.0
    )
    with pytest.raises(StoreError, match="waited"):
        await threads.run(lambda connection: connection.execute("SELECT 1").fetchall())
    await threads.close()


async def test_a_caller_that_gives_up_takes_its_waiting_query_along(path):
    threads = ConnectionThreads(
        path, lambda: sqlite3.connect(":memory:"), name="t", count=1, capacity=3
    )
    gate, ran = threading.Event(), []
    first = asyncio.ensure_future(threads.run(lambda _: gate.wait()))
    second = asyncio.ensure_future(threads.run(lambda _: ran.append(1)))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    gate.set()
    await first
    # Its place in the queue is free again once the thread has come by it.
    for n in range(5):
        assert await threads.run(lambda _, n=n: n) == n
    assert ran == []
    await threads.close()


async def test_no_thread_is_left_after_closing(path, store):
    await store.count_devices()
    await store.close()
    left = [thread for thread in threading.enumerate() if thread.name.startswith("store-")]
    for thread in left:
        thread.join(10)
        assert not thread.is_alive()
