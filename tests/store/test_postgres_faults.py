"""PostgreSQL whose connections are cut, at every message of a commit, or that is too slow."""

import asyncio
import contextlib

import asyncpg
import msgspec
import pytest
from postgres_proxy import Proxy

from gw.store import interface as ops
from gw.store import rows
from gw.store.errors import BatchError, OutcomeUnknownError, StoreError
from gw.store.interface import Batch, PositionConflictError, RingPosition
from gw.store.postgres import PostgresReader, PostgresStore
from gw.store.postgres_connection import is_connection_gone, is_fault_of_data, store_error

A = "02a0e9000001"


def batch(number):
    """A batch with telemetry, other writes, and its place in a queue."""
    return Batch(
        [
            *(ops.InsertStatistics(A, number, n, b"x" * 40_000) for n in range(5)),
            ops.InsertLog(A, number, 1, 0, 1, "line", b"{}"),
            ops.PutDevice(rows.DeviceRow(serial_number=A, config_uuid=number)),
            ops.PatchDevice(A, {"firmware": str(number)}),
            ops.PutCommand(
                rows.CommandRow(uuid=f"u{number}", serial_number=A, command="c", status="pending")
            ),
        ],
        [RingPosition("worker-0", 1, 100 * number, 100 * number + 100)],
    )


async def insisted(attempt, *arguments):
    """Try until it works, as callers of the store do; returns the answer, and errors on the way."""
    errors = []
    async with asyncio.timeout(60):
        while True:
            try:
                return await attempt(*arguments), errors
            except StoreError as error:
                if not error.retriable:
                    raise
                errors.append(error)
                await asyncio.sleep(0.01)


async def insist(store, given):
    """Commit as the coordinator does; returns the errors on the way."""
    return (await insisted(store.commit, given))[1]


async def test_a_connection_cut_at_any_message_neither_loses_nor_doubles(postgres_server, database):
    name = database.url.partition("?")[0].rpartition("/")[2]
    async with Proxy(postgres_server.port) as proxy, PostgresReader(database) as reader:
        through = msgspec.structs.replace(
            database, url=postgres_server.url(name, port=proxy.port), commit_seconds=20.0
        )
        store = PostgresStore(through)
        await insist(store, batch(0))
        # The second batch meets prepared statements; from then on all are alike.
        await insist(store, batch(1))
        proxy.listen_to()
        await insist(store, batch(2))
        messages = list(proxy.seen)
        kinds = b"".join(kind for kind, _ in messages)
        assert b"d" in kinds, "there is a COPY"
        (committed,) = [
            n for n, (kind, body) in enumerate(messages) if kind == b"Q" and b"COMMIT" in body
        ]
        number = 3
        unknown = set()
        for at in range(len(messages)):
            for moment in ("before", "within", "after"):
                proxy.cut(at, moment)
                errors = await insist(store, batch(number))
                number += 1
                if at <= committed:
                    assert errors, (at, moment)
                if any(isinstance(error, OutcomeUnknownError) for error in errors):
                    unknown.add((at, moment))
                found = await reader.statistics(A, limit=10_000)
                counts = [sum(row.uuid == n for row in found) for n in range(number)]
                assert counts == [5] * number, (at, moment)
                assert (await reader.positions())["worker-0"] == (1, 100 * number)
                assert (await reader.device(A)).firmware == str(number - 1)
                # Kept small.
                await store.commit(Batch([ops.DeleteRecords("logs", A)]))
        assert unknown == {(committed, moment) for moment in ("before", "within", "after")}
        assert proxy.cuts >= 3 * committed
        await store.close()


def name_of(database):
    return database.url.partition("?")[0].rpartition("/")[2]


async def test_a_commit_that_arrives_late_is_not_doubled(postgres_server, database):
    """The network is cut, and what was on the way reaches the server after the reconnection."""
    async with Proxy(postgres_server.port) as proxy:
        url = postgres_server.url(name_of(database), port=proxy.port)
        async with PostgresStore(msgspec.structs.replace(database, url=url)) as store:
            await insist(store, batch(0))
            await insist(store, batch(1))
            arrives = proxy.hold(b"COMMIT")
            given = batch(2)
            with pytest.raises(OutcomeUnknownError):
                await store.commit(given)
            retry = asyncio.create_task(insist(store, given))
            await asyncio.sleep(0)
            arrives.set()
            await retry
            assert await store.count_statistics(A) == 15
            assert (await store.positions())["worker-0"] == (1, 300)
            await insist(store, batch(3))


async def test_another_batch_than_the_unsettled_one_is_written_by_itself(postgres_server, database):
    async with Proxy(postgres_server.port) as proxy:
        url = postgres_server.url(name_of(database), port=proxy.port)
        async with PostgresStore(msgspec.structs.replace(database, url=url)) as store:
            await insist(store, batch(0))
            await insist(store, batch(1))
            proxy.cut(b"COMMIT", "after")
            with pytest.raises(OutcomeUnknownError):
                await store.commit(Batch([ops.InsertStatistics(A, 9, 9, b"{}")]))
            # As a successor that never knew of it: only the positions can tell.
            with pytest.raises(PositionConflictError, match="worker-0"):
                await store.commit(batch(1))
            await insist(store, batch(2))
            assert [row.uuid for row in await store.statistics(A, start=9)] == [9]


async def test_what_a_killed_writer_had_sent_is_waited_for(postgres_server, database):
    """`positions` of a successor does not overlook a transaction that is still under way."""
    async with PostgresStore(database) as store:
        await insist(store, batch(0))
        other = await postgres_server.connect(name_of(database))
        await other.execute("BEGIN")
        await other.execute("UPDATE ring_positions SET position = 200 WHERE ring = 'worker-0'")
        asked = asyncio.create_task(store.positions())
        done, _ = await asyncio.wait([asked], timeout=0.2)
        assert not done
        await other.execute("COMMIT")
        assert (await asked)["worker-0"] == (1, 200)
        await other.close()


async def test_writers_that_race_each_write_once(database):
    async with PostgresStore(database) as store, PostgresStore(database) as other:
        results = await asyncio.gather(
            *(
                each.commit(
                    Batch([ops.InsertStatistics(A, n, n, b"{}")], [RingPosition("r", 1, n, n + 1)])
                )
                for n in range(20)
                for each in (store, other)
            ),
            return_exceptions=True,
        )
        conflicts = [r for r in results if isinstance(r, PositionConflictError)]
        assert [r for r in results if r is not None and r not in conflicts] == []
        _, position = (await store.positions())["r"]
        assert len(results) - len(conflicts) == position
        assert [row.uuid for row in await store.statistics(A)] == list(range(position))


async def test_of_two_coordinators_one_is_stopped_by_the_positions(database):
    async with PostgresStore(database) as store, PostgresStore(database) as zombie:
        await store.commit(batch(0))
        with pytest.raises(PositionConflictError, match="worker-0"):
            await zombie.commit(batch(0))
        assert await store.count_statistics(A) == 5


async def test_a_query_has_a_deadline_and_the_next_is_answered(database):
    store_settings = msgspec.structs.replace(database, query_seconds=0.3, read_connections=1)
    async with PostgresReader(store_settings) as reader:
        with pytest.raises(StoreError) as caught:
            await reader._cells("SELECT pg_sleep(?)", 20)
        assert caught.value.retriable
        count = None
        async with asyncio.timeout(60):
            while count is None:  # the same short limit is on it: on a busy machine not at once
                with contextlib.suppress(StoreError):
                    count = await reader.count_devices()
        assert count == 0


async def test_more_queries_than_there_is_room_for_are_refused(database, monkeypatch):
    monkeypatch.setattr("gw.store.postgres_queries.WAITING", 3)
    store_settings = msgspec.structs.replace(database, read_connections=1)
    async with PostgresReader(store_settings) as reader:
        waiting = [asyncio.ensure_future(reader._cells("SELECT pg_sleep(0.2)")) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(StoreError, match="too many") as caught:
            await reader.count_devices()
        assert caught.value.retriable
        await asyncio.gather(*waiting)
        assert await reader.count_devices() == 0


async def test_a_reader_cannot_write(database):
    async with PostgresReader(database) as reader:
        with pytest.raises(StoreError, match="read-only"):
            await reader._cells("DELETE FROM devices RETURNING id")


async def test_a_caller_that_gives_up_does_not_cut_a_commit_off(database):
    async with PostgresStore(database) as store:
        await insist(store, batch(0))
        given_up = asyncio.create_task(store.commit(batch(1)))
        await asyncio.sleep(0)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        await store.commit(batch(2))
        assert await store.count_statistics(A) == 15


async def test_a_password_that_is_wrong_is_said_and_not_tried_for_ever(postgres_server, database):
    from urllib.parse import quote

    url = database.url.replace(quote("p@ss/w:rd", safe=""), "wrong")
    async with PostgresReader(msgspec.structs.replace(database, url=url)) as reader:
        with pytest.raises(StoreError, match="password") as caught:
            await reader.count_devices()
        assert not caught.value.retriable
        assert "wrong" not in str(caught.value)


async def test_tls_with_the_servers_name_checked(postgres_server, database, pki_dir):
    name = name_of(database)
    for query, works in (
        (f"sslmode=verify-full&sslrootcert={pki_dir / 'ca.pem'}", True),
        (f"sslmode=verify-full&sslrootcert={pki_dir / 'server.key'}", False),
        ("sslmode=require", True),
    ):
        url = postgres_server.url(name, more=query)
        async with PostgresReader(msgspec.structs.replace(database, url=url)) as reader:
            if works:
                sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
                assert [tuple(row) for row in await reader._cells(sql)] == [(True,)]
            else:
                with pytest.raises(StoreError) as caught:
                    await reader.count_devices()
                assert "p@ss" not in str(caught.value)


async def test_the_message_of_an_impossible_write_leaves_its_values_out(database):
    async with PostgresStore(database) as store:
        row = rows.DeviceRow(serial_number=A, device_password="hidden-word")
        for bad in (
            ops.PutDevice(msgspec.structs.replace(row, created="hidden-word")),
            ops.PutDevice(msgspec.structs.replace(row, venue=None)),
        ):
            with pytest.raises(BatchError) as caught:
                await store.commit(Batch([bad]))
            assert "hidden-word" not in str(caught.value)


async def test_a_device_cannot_spoil_a_batch_by_the_one_character_that_text_cannot_hold(database):
    async with PostgresStore(database) as store:
        await store.commit(
            Batch(
                [
                    ops.InsertLog(A, 1, 1, 0, 1, "a\0b", b"\0"),
                    ops.PutDevice(rows.DeviceRow(serial_number=A, model="a\0b")),
                ]
            )
        )
        (line,) = await store.logs(A)
        assert (line.log, line.data) == ("a\ufffdb", "\0")
        assert (await store.device(A)).model == "a\ufffdb"


def server_error(state, severity="ERROR"):
    fields = {"C": state, "S": severity, "V": severity, "M": "why"}
    return asyncpg.PostgresError.new(fields)


@pytest.mark.parametrize(
    ("state", "retriable", "of_the_data", "gone"),
    [
        ("23505", False, True, False),  # unique violation
        ("22003", False, True, False),  # number out of range
        ("54000", False, True, False),  # program limit exceeded
        ("40001", True, False, False),  # serialization failure
        ("40P01", True, False, False),  # deadlock
        ("53100", True, False, False),  # disk full
        ("53300", True, False, False),  # too many connections
        ("55P03", True, False, False),  # lock not available
        ("57014", True, False, False),  # statement timeout
        ("57P01", True, False, True),  # administrator shutdown
        ("57P03", True, False, True),  # starting up
        ("58030", True, False, True),  # I/O error
        ("08006", True, False, True),  # connection failure
        ("25006", True, False, True),  # read only: a standby
        ("28P01", False, False, False),  # wrong password
        ("3D000", False, False, False),  # no such database
        ("42P01", False, False, False),  # no such table
        ("XX001", False, False, True),  # data corrupted
    ],
)
def test_what_errors_of_the_server_mean(state, retriable, of_the_data, gone):
    error = server_error(state)
    assert store_error(error, "db").retriable == retriable
    assert is_fault_of_data(error) == of_the_data
    assert is_connection_gone(error) == gone
    assert is_connection_gone(server_error(state, "FATAL"))
