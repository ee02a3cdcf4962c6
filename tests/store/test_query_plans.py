"""No query of the big tables reads all of them: every statement is explained as it was run."""

import asyncio
import json
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

import asyncpg
import pytest

from gw.core import settings
from gw.core.retention import KINDS
from gw.store import interface as ops
from gw.store import retention, rows, sqlite, sqlite_queries
from gw.store import security_ops as security
from gw.store.interface import Batch, RingPosition
from gw.store.migrations import load, migrate_sqlite
from gw.store.postgres_batch import Expire, Statement, steps
from gw.store.postgres_partitions import DAY, Partition, make_ahead
from gw.store.postgres_queries import PostgresReader
from gw.store.postgres_sql import translated
from gw.store.queries import Queries
from gw.store.sqlite import SqliteReader, SqliteStore
from gw.store.sqlite_connection import open_for_reading, open_for_writing
from gw.store.writes import TELEMETRY

A = "aabbccddee01"
SECOND = "000000000002"
"""A device that has two records of each kind (PostgreSQL)."""
BIG = (
    "statistics", "healthchecks", "device_logs", "device_events", "commands", "devices", "audit",
)  # fmt: skip


@pytest.fixture
async def path(tmp_path):
    path = tmp_path / "gw.db"
    async with SqliteStore(path) as store:
        await store.migrate()
    return path


def traced(function, seen):
    def opened(*args):
        connection = function(*args)
        connection.set_trace_callback(seen.append)
        return connection

    return opened


def statements(seen):
    return [sql for sql in dict.fromkeys(seen) if "schema" not in sql]


def plans(path, seen):
    """Yield (statement, line of its plan); not of those that look at the schema when opening."""
    with sqlite3.connect(path) as connection:
        for sql in statements(seen):
            if sql.split()[0] in ("SELECT", "UPDATE", "DELETE", "INSERT"):
                for *_, line in connection.execute(f"EXPLAIN QUERY PLAN {sql}"):
                    yield sql, line
    connection.close()


def scans(path, seen):
    names = {*BIG, "d", "t"}
    return [
        (sql, line)
        for sql, line in plans(path, seen)
        if (line.startswith("SCAN ") and line.split()[1] in names) or "TEMP B-TREE" in line
    ]


@pytest.fixture
async def reader(path, monkeypatch):
    seen = []
    monkeypatch.setattr(sqlite_queries, "open_for_reading", traced(open_for_reading, seen))
    async with SqliteReader(path) as reader:
        yield reader, seen


async def ask(read):
    bounded = {"start": 1, "end": 9, "offset": 3, "limit": 10}
    await read.device(A)
    await read.shadows([A])
    await read.devices()
    await read.devices(offset=5, limit=5, platform="ap")
    await read.devices(unprovisioned=True)
    for more in ({}, {"platform": "ap"}, {"unprovisioned": True}):
        await read.devices(after=A, limit=5, **more)
    await read.devices(select=[A])
    await read.devices(order_by=[("serial_number", True)])
    await read.count_devices("ap")
    await read.serial_numbers(prefix="aa")
    await read.devices_of_venue("v")
    await read.fleet(after=A, limit=10)
    await ask_for_the_fleet(read)
    await read.newest_states([A])
    for query in (read.statistics, read.healthchecks, read.commands, read.events):
        for newest in (False, True):
            await query(A, newest=newest)
            await query(A, newest=newest, **bounded)
            await query(A, newest=newest, start=1)
    await read.count_statistics(A)
    await read.count_statistics(A, start=1, end=9)
    await read.logs(A)
    await read.logs(A, log_type=1, **bounded)
    await read.command("u")
    await read.unfinished_commands("reboot")


async def ask_for_the_fleet(read):
    """Pages and filters of the console; some of them may be given at a time."""
    for wanted in (
        rows.FleetSearch(),
        rows.FleetSearch(state="rejected"),
        rows.FleetSearch(firmware="f"),
        rows.FleetSearch(compatible="c"),
        rows.FleetSearch(platform="ap"),
        rows.FleetSearch(state="rejected", firmware="f", compatible="c"),
    ):
        await read.find_devices(wanted, limit=50)
        await read.find_devices(wanted, after=A, limit=50)
        await read.count_found(wanted, most=1000)
    await read.count_certificates(9)


async def ask_for_what_is_typed(read):
    for text in ("a", "aab", "aabb", "aabbcc", "aabbccddee01", "edge", "v1 X"):
        for wanted in (rows.FleetSearch(text=text), rows.FleetSearch(text=text, state="drifted")):
            await read.find_devices(wanted, limit=50)
            await read.find_devices(wanted, after=A, limit=50)
            await read.count_found(wanted, most=1000)
    await read.find_devices(rows.FleetSearch(certificate_before=5), limit=50)


async def test_what_is_typed_is_looked_up_in_indexes(reader, path):
    read, seen = reader
    await ask_for_what_is_typed(read)
    found = [line for _, line in plans(path, seen) if "devices" in line]
    assert len(found) > 60
    assert [line for line in found if not line.startswith("SEARCH devices USING ")] == []
    by = {line.partition(" INDEX ")[2].partition(" ")[0] for line in found}
    assert by >= {
        "sqlite_autoindex_devices_1", "devices_by_last_six", "devices_by_last_four",
        "devices_by_type", "devices_by_firmware", "devices_by_certificate",
    }  # fmt: skip


async def test_typing_in_a_large_fleet_is_quick(path):
    """Measured, since a plan says nothing of how much it reads: a hundred thousand devices."""
    async with SqliteStore(path) as store:
        for start in range(0, 100_000, 5000):
            batch = [
                ops.PutDevice(
                    rows.DeviceRow(
                        serial_number=f"{number * 7919 % 2**24:012x}",
                        compatible="edgecore_eap101",
                        firmware=f"v{number % 20}",
                    )
                )
                for number in range(start, start + 5000)
            ]
            await store.commit(Batch(batch))
    async with SqliteReader(path) as read:
        await read.find_devices(rows.FleetSearch(text="0"), limit=50)
        began = time.process_time()
        for text in ("0", "00", "0000a", "a1b2", "edge", "v1", "a1b2c3"):
            assert len(await read.find_devices(rows.FleetSearch(text=text), limit=50)) <= 50
        spent = time.process_time() - began
    assert spent < 2.0


async def test_reads(reader, path):
    read, seen = reader
    await ask(read)
    assert len(statements(seen)) > 25
    found = [
        (sql, line)
        for sql, line in scans(path, seen)
        # The first page of all devices walks along an index and stops at the limit.
        if not (line.startswith("SCAN devices USING COVERING INDEX") and " LIMIT " in sql)
    ]
    assert found == []


async def ask_for_second_pages(read):
    """Pages that begin behind a key, in lists that have rows."""
    for offset in range(2):
        page = {"offset": offset, "limit": 1}
        for query in (read.statistics, read.healthchecks, read.events, read.commands):
            for newest in (False, True):
                await query(SECOND, newest=newest, **page)
                await query(SECOND, newest=newest, start=1, end=10**11, **page)
        await read.logs(SECOND, **page)
        await read.devices(**page)
        await read.devices(platform="ap", **page)


async def ask_for_whole_indexes(read):
    for column in ("configuration_state", "firmware", "compatible", "device_type"):
        await read.count_by(column)
    await read.count_devices()
    await read.serial_numbers()
    await read.serial_numbers(suffix="01")
    await read.count_commands()


async def test_reads_that_walk_a_whole_index_touch_no_row(reader, path):
    read, seen = reader
    await ask_for_whole_indexes(read)
    found = [line for _, line in scans(path, seen)]
    # An index of a computed column is not called covering, although no row is read for it.
    found.remove("SCAN devices USING INDEX devices_by_state")
    assert [line.partition(" USING ")[2][:14] for line in found] == ["COVERING INDEX"] * 7


async def test_another_order_of_devices_is_the_one_scan_and_leaves_documents_alone(reader, path):
    read, seen = reader
    await read.devices(order_by=[("owner", False)])
    found = scans(path, seen)
    assert [line for _, line in found] == ["SCAN devices", "USE TEMP B-TREE FOR ORDER BY"]
    assert "configuration" not in found[0][0]


async def ask_small_tables(read):
    await read.capabilities(A)
    await read.default_configurations()
    await read.default_configuration("a")
    await read.default_firmwares()
    await read.default_firmware("a")
    await read.blacklist()
    await read.blacklisted(A)
    for table in ("blacklist", "default_configurations", "default_firmwares"):
        await read.count_entries(table)
    await read.radius_pools()
    await read.users()
    await read.user("1")
    await read.user_by_email("a@x")
    await read.token("h")
    await read.token_by_refresh("r")
    await read.subscribers()
    await read.subscriber("1")
    await read.subscriber_by_email("a@x")
    await read.tokens_of("1")
    await read.api_keys("1")
    await read.api_key("h")
    await read.action_link("h")
    await read.avatar("1")
    await read.secrets()
    await read.scripts()
    await read.script("i")
    await read.file("u")
    await read.has_file("u")
    await read.commands_with_files(A)
    await read.commands_with_files(A, start=1, end=2)
    await read.configurations(A)
    await read.configurations(A, id=1)


async def test_pages_of_small_tables_and_users(reader, path):
    read, seen = reader
    await ask_small_tables(read)
    assert len(statements(seen)) >= 20
    assert [line for _, line in plans(path, seen) if "TEMP B-TREE" in line] == []
    assert [line for _, line in plans(path, seen) if line.startswith("SCAN tokens")] == []


async def ask_for_all_of_few(read):
    """Tables of a few rows, which are read whole and sorted."""
    await read.telemetry_subscriptions()


async def ask_for_audit(read):
    await read.audit()
    await read.audit(before=9, limit=5, start=1, end=2)
    await read.audit(author="a")
    await read.audit(target="t", before=9)


async def test_audit(reader, path):
    read, seen = reader
    await ask_for_audit(read)
    assert len(statements(seen)) == 4
    found = [line for _, line in plans(path, seen)]
    assert [line for line in found if "TEMP B-TREE" in line] == []
    # Without a condition it walks down from the newest, and stops at the limit.
    assert [line for line in found if line.startswith("SCAN")] == ["SCAN audit"]


def every_write():
    command = rows.CommandRow(uuid="u", serial_number=A, command="reboot", status="pending")
    token = rows.TokenRow(
        access_hash="h", refresh_hash="r", user_id="1", created=0, expires=0, refresh_expires=0
    )
    return [
        ops.InsertStatistics(A, 1, 1, b"{}"),
        ops.InsertHealthCheck(A, 1, 1, 1, b"{}"),
        ops.InsertLog(A, 1, 1, 0, 1, "l", b"{}"),
        ops.InsertEvent(A, 1, "t", b"{}"),
        ops.PutDevice(rows.DeviceRow(serial_number=A)),
        ops.PatchDevice(A, {"firmware": "x", "configuration": "{}"}),
        ops.AdoptPending(A, 1, 1),
        ops.PutCapabilities(A, "{}", 1),
        ops.DeleteCapabilities(A),
        ops.PutCommand(command),
        ops.PatchCommand("u", {"status": "completed"}),
        ops.PutRequestResult("u", A, "{}", 1),
        ops.PutUpgradeStatus(A, "{}"),
        ops.DeleteCommands(uuid="u"),
        ops.DeleteCommands(serial=A, start=1, end=2),
        ops.DeleteRecords("statistics", A, 1, 2),
        ops.DeleteRecords("healthchecks", A),
        ops.DeleteRecords("logs", A, 1, 2, log_type=1),
        ops.DeleteRecords("logs", A, 1, 2),
        ops.PutDefaultConfiguration(rows.DefaultConfigurationRow(name="a", configuration="{}")),
        ops.DeleteDefaultConfiguration("a"),
        ops.PutDefaultFirmware(rows.DefaultFirmwareRow(device_type="a", uri="u", revision="r")),
        ops.DeleteDefaultFirmware("a"),
        ops.RecordConfiguration(A, 1, "h", 1, "me", "device", 20),
        ops.PutFilePart("u", 0, 1, b"x"),
        ops.DeleteFile("u"),
        ops.PutScript(rows.ScriptRow(id="i", name="n", type="shell", content="")),
        ops.DeleteScript("i"),
        ops.PutTelemetrySubscription(
            rows.TelemetrySubscriptionRow(
                uuid="u", serial_number=A, kafka=False, seconds=5, types="[]", until=9
            )
        ),
        ops.DeleteTelemetrySubscription("u"),
        ops.PutBlacklist(rows.BlacklistRow(serial_number=A)),
        ops.DeleteBlacklist(A),
        ops.PutRadiusPools(rows.RadiusPoolsRow(document="{}")),
        ops.DeleteRadiusPools(),
        ops.PutUser(rows.UserRow(id="1", email="a@x")),
        ops.PutToken(token),
        ops.DeleteTokens(access_hash="h"),
        ops.DeleteTokens(user_id="1"),
        security.PutSubscriber(rows.UserRow(id="1", email="a@x")),
        security.DeleteSubscriber("1"),
        security.PutApiKey(rows.ApiKeyRow(id="k", user_id="1", name="n", key_hash="h")),
        security.SetApiKeyUse("k", 5),
        security.DeleteApiKey("k", "1"),
        security.PutActionLink(
            rows.ActionLinkRow(link_hash="l", action="a", user_id="1", created=1, expires=2)
        ),
        security.DeleteActionLinks("1"),
        security.PutAvatar(rows.AvatarRow(user_id="1", media_type="t", image=b"", modified=1)),
        security.DeleteAvatar("1"),
        security.PutSecret(rows.SecretRow(name="s", value="v")),
        security.DeleteSecret("s"),
        security.InsertAudit(
            rows.AuditRow(
                id=0,
                entry="e",
                recorded=1,
                author="a",
                role="r",
                via="token",
                address="::1",
                request="GET /",
                operation="o",
                target="t",
                result=-1,
            )
        ),
        security.SetAuditResult("e", 0, ""),
        ops.DeleteUser("1"),
        ops.DeleteDevice(A),
        *(ops.DeleteExpired(kind, 1) for kind in KINDS),
    ]


async def test_writes(path, monkeypatch):
    seen = []
    monkeypatch.setattr(sqlite, "open_for_writing", traced(open_for_writing, seen))
    every = every_write()
    assert {type(op) for op in every} == set(ops.Op.__subclasses__())
    async with SqliteStore(path) as store:
        await store.commit(Batch(every, [RingPosition("r", 1, 0, 1)]))
    assert len(statements(seen)) > 35
    assert scans(path, seen) == []
    assert [line for _, line in plans(path, seen) if line.startswith("SCAN tokens")] == []


def test_the_check_itself_finds_a_scan(path):
    sql = "SELECT * FROM statistics WHERE uuid = 1"
    assert scans(path, [sql]) == [(sql, "SCAN statistics")]


def test_memory_database_needs_no_path():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    assert migrate_sqlite(connection, ":memory:") == [m.number for m in load("sqlite")]
    connection.close()


# PostgreSQL: with rows enough for its planner to think about, and nothing forbidden to it


class Explaining(PostgresReader):
    """A reader that keeps what it was asked."""

    def __init__(self, store):
        super().__init__(store)
        self.asked = {}

    async def _fetch(self, sql, values):
        self.asked[translated(sql)] = values
        return await super()._fetch(sql, values)


async def fill(connection, table, count, **columns):
    """Insert rows; what is not given is empty text or 0."""
    found = await connection.fetch(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = $1 "
        "AND column_default IS NULL AND is_identity = 'NO' AND is_generated = 'NEVER'",
        table,
    )
    empty = {"text": "''", "bytea": "''", "bigint": "0", "double precision": "0"}
    values = {name: columns.get(name, empty[kind]) for name, kind in found}
    await connection.execute(
        f"INSERT INTO {table} ({', '.join(values)}) SELECT {', '.join(values.values())} "
        f"FROM generate_series(1, {count}) AS i"
    )


@pytest.fixture(scope="module")
def filled(postgres_server, postgres_template):
    """A database with some thousand rows in each large table: its settings."""
    serial = "lpad(to_hex(i % 20000), 12, '0')"
    recorded = f"{int(time.time())} - (i % 4) * 86400"

    async def make():
        name = await postgres_server.make_database(postgres_template)
        connection = await postgres_server.connect(name)
        for days in range(1, 4):
            await make_ahead(connection, time.time() - days * 86_400)
        await fill(connection, "devices", 20_000, serial_number=serial, device_type="'ap'")
        await fill(connection, "device_documents", 20_000, serial_number=serial)
        for table in TELEMETRY:
            await fill(connection, table, 30_000, serial_number=serial, recorded=recorded)
        await fill(
            connection, "commands", 20_000, serial_number=serial, uuid="'u' || i",
            command="'c' || i % 9", submitted=recorded, completed=recorded,
            status="CASE WHEN i % 20 = 0 THEN 'pending' ELSE 'completed' END",
        )  # fmt: skip
        await fill(
            connection, "audit", 20_000, entry="'e' || i", author="'a' || i % 500",
            target=serial, recorded=recorded,
        )  # fmt: skip
        await fill(
            connection, "tokens", 5000, access_hash="'h' || i", refresh_hash="'r' || i",
            user_id="'u' || i % 500", refresh_expires=f"{int(time.time())} + i",
        )  # fmt: skip
        await connection.execute("VACUUM ANALYZE")
        await connection.close()
        return settings.Store(url=postgres_server.url(name))

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, make()).result()


def walk(node, limited=False):
    """Yield (node, below a Limit) for all nodes of a plan."""
    yield node, limited
    for child in node.get("Plans", ()):
        yield from walk(child, limited or node["Node Type"] == "Limit")


def literal(value):
    return f"""'{value.replace("'", "''")}'""" if isinstance(value, str) else str(value)


async def plan(connection, sql, values, generic):
    """Return the plan for these values, or the one for any, which a server may turn to."""
    if not generic:
        return await connection.fetchval(f"EXPLAIN (FORMAT JSON) {sql}", *values)
    await connection.execute(f"PREPARE asked AS {sql}")
    given = f"({', '.join(map(literal, values))})" if values else ""
    text = await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE asked{given}")
    await connection.execute("DEALLOCATE asked")
    return text


async def faults(store, asked, generic=False):
    """Return what is slow in the plans of statements: scans of large tables, and large sorts."""
    connection = await asyncpg.connect(store.url)
    if generic:
        await connection.execute("SET plan_cache_mode = force_generic_plan")
    sizes = dict(
        map(tuple, await connection.fetch("SELECT relname, reltuples::bigint FROM pg_class"))
    )
    found, parameters = [], 0
    for sql, values in asked.items():
        text = await plan(connection, sql, values, generic)
        parameters += "$1" in text
        for node, limited in walk(json.loads(text)[0]["Plan"]):
            kind, relation = node["Node Type"], node.get("Relation Name", "")
            large = sizes.get(relation, 0) > 1000
            whole = kind == "Seq Scan" or (
                kind in ("Index Scan", "Index Only Scan") and "Index Cond" not in node
            )
            if large and whole and not (limited and kind != "Seq Scan"):
                found.append((sql, kind, relation))
            if "Sort" in kind and node["Plan Rows"] > 1000:
                found.append((sql, kind, ""))
    await connection.close()
    assert parameters > 20 or not generic
    return found


@pytest.mark.parametrize("generic", [False, True])
async def test_reads_of_postgres(filled, generic):
    async with Explaining(filled) as read:
        await ask(read)
        await ask_small_tables(read)
        await ask_for_audit(read)
        await ask_for_second_pages(read)
        assert len(read.asked) > 65
        assert await faults(filled, read.asked, generic) == []


async def test_reads_of_postgres_that_walk_a_whole_index_touch_no_row(filled):
    async with Explaining(filled) as read:
        await ask_for_whole_indexes(read)
        found = await faults(filled, read.asked)
        assert {(kind, relation) for _, kind, relation in found} == {
            ("Index Only Scan", "devices"),
            ("Index Only Scan", "commands"),
        }


async def test_another_order_of_devices_is_the_one_scan_of_postgres(filled):
    async with Explaining(filled) as read:
        await read.devices(order_by=[("owner", False)])
        assert {kind for _, kind, _ in await faults(filled, read.asked)} == {"Seq Scan", "Sort"}


async def test_writes_of_postgres(filled):
    asked = {}
    for op in every_write():
        for step in steps([op]):
            if isinstance(step, Statement):
                asked[step.sql] = step.rows[0]
            elif isinstance(step, Expire):
                kind, values = step.op.kind, retention.values(step.op)
                table = retention.KEPT[kind].table
                if table in TELEMETRY:
                    # Of logs alone the rows of a day may go one by one.
                    today = Partition(table, int(time.time()) // DAY).name
                    for name in (f"{table}_other", *([today] if table == "device_logs" else [])):
                        asked[translated(retention.statement(kind, name))] = values
                else:
                    asked[translated(retention.statement(kind))] = values
    assert len(asked) > 45
    assert await faults(filled, asked) == []


async def test_the_check_of_postgres_finds_scans_and_sorts(filled):
    for sql in (
        "SELECT * FROM statistics WHERE uuid = 1",
        "SELECT * FROM devices ORDER BY firmware",
        "DELETE FROM commands WHERE details = 'x'",
    ):
        assert await faults(filled, {sql: ()})


async def test_every_query_is_among_them(filled):
    """So that one that is added is looked at: by its name."""
    called = set()

    class Noting(Explaining):
        def __getattribute__(self, name):
            if not name.startswith("_"):
                called.add(name)
            return super().__getattribute__(name)

    async with Noting(filled) as read:
        for questions in (
            ask,
            ask_small_tables,
            ask_for_all_of_few,
            ask_for_audit,
            ask_for_what_is_typed,
            ask_for_whole_indexes,
        ):
            await questions(read)
    queries = {name for base in Queries.__mro__ for name in vars(base) if not name.startswith("_")}
    assert queries - called == {"positions"}
