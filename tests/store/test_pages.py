"""Every list in pages: the last page costs what the first one does, counted in steps and rows."""

import contextlib
import json

import asyncpg
import pytest

from gw.store import interface as ops
from gw.store import pages, rows, sqlite_threads
from gw.store import security_ops as security
from gw.store.interface import Batch
from gw.store.pages import Pages
from gw.store.postgres import PostgresStore
from gw.store.postgres_sql import translated
from gw.store.sqlite import SqliteStore

A, B = "02a0a9000011", "02a0a9000012"
COUNT = 400
LIMIT = 4


def written():
    """Rows of every list that has pages; of each list COUNT belong to it."""
    made = []
    for n in range(COUNT):
        name, at = f"{n:05d}", 1000 + n // 3
        user = rows.UserRow(id=name, email=f"{name}@x")
        made += [
            ops.PutDevice(rows.DeviceRow(serial_number=f"{n:012x}", device_type="ap")),
            ops.PutCommand(
                rows.CommandRow(
                    uuid=name, serial_number=A, command="c", status="pending", submitted=at
                )
            ),
            ops.PutScript(rows.ScriptRow(id=name, name=f"s{n // 2:05d}", type="shell", content="")),
            ops.PutDefaultConfiguration(rows.DefaultConfigurationRow(name=name, configuration="")),
            ops.PutDefaultFirmware(rows.DefaultFirmwareRow(device_type=name, uri="", revision="")),
            ops.PutBlacklist(rows.BlacklistRow(serial_number=f"{n:012x}")),
            ops.PutUser(user),
            security.PutSubscriber(user),
        ]
        for serial in (A, B):
            made += [
                ops.InsertStatistics(serial, n, at, b"{}"),
                ops.InsertHealthCheck(serial, n, 100, at, b"{}"),
                ops.InsertLog(serial, n, 0, 0, at, "l", b"{}"),
                ops.InsertEvent(serial, at, name, b"{}"),
            ]
    made.append(ops.PutDevice(rows.DeviceRow(serial_number=A, device_type="switch", venue="v")))
    made += [ops.RecordConfiguration(A, n, "h", n, "a", "t", 10_000) for n in range(COUNT)]
    return made


def lists(store):
    """Name to how a page of a list is read."""
    bounds = {"start": 1, "end": 10**6}
    found = {
        "devices": store.devices,
        "devices of a platform": lambda **page: store.devices(platform="ap", **page),
        "devices without a venue": lambda **page: store.devices(unprovisioned=True, **page),
        "configurations": lambda **page: store.configurations(A, **page),
        "logs": lambda **page: store.logs(A, **page),
        "logs from to": lambda **page: store.logs(A, **bounds, **page),
        "scripts": store.scripts,
        "default configurations": store.default_configurations,
        "default firmwares": store.default_firmwares,
        "blacklist": store.blacklist,
        "users": store.users,
        "subscribers": store.subscribers,
    }
    for name in ("statistics", "healthchecks", "commands", "events"):
        query = getattr(store, name)
        found[name] = lambda query=query, **page: query(A, **page)
        found[f"{name}, newest first"] = lambda query=query, **page: query(A, newest=True, **page)
        found[f"{name} from to"] = lambda query=query, **page: query(A, **bounds, **page)
    return found


async def walk(read):
    """Return all rows of a list, read page by page."""
    found = []
    while page := await read(offset=len(found), limit=LIMIT):
        found += page
    return found


async def test_pages_give_all_rows_once_and_in_order(store):
    await store.commit(Batch(written()))
    for name, read in lists(store).items():
        whole = await read(offset=0, limit=10_000)
        assert len(whole) >= COUNT, name
        assert await walk(read) == whole, name
        # Also where nobody has been, and between two places.
        assert await read(offset=101, limit=3) == whole[101:104], name
        assert await read(offset=len(whole), limit=5) == []


@pytest.fixture
async def counted(tmp_path, monkeypatch):
    """A SQLite store, and the number of steps of its machine."""
    steps = [0]

    def step(lane):
        steps[0] += 1
        return False

    monkeypatch.setattr(sqlite_threads, "_LOOK_EVERY", 1)
    monkeypatch.setattr(sqlite_threads._Lane, "_is_late", step)
    # One thread: with more, each would open a connection at its first page.
    monkeypatch.setattr("gw.store.sqlite_queries.THREADS", 1)
    async with SqliteStore(tmp_path / "gw.db") as made:
        await made.migrate()
        await made.commit(Batch(written()))
        await made.positions()
        yield made, steps


async def test_sqlite_steps_of_the_last_page_are_those_of_the_first(counted):
    store, steps = counted
    for name, read in lists(store).items():
        costs = []
        for offset in range(0, COUNT - LIMIT, LIMIT):
            before = steps[0]
            assert len(await read(offset=offset, limit=LIMIT)) == LIMIT
            costs.append(steps[0] - before)
        assert costs[0] > 20, name
        # Beginning behind a key takes some steps more than beginning at the start.
        assert max(costs) <= 2 * costs[0] + 30, (name, costs[:3], costs[-3:])


async def test_sqlite_would_take_many_more_steps_without_the_keys(counted):
    """So that the test above is known to see what it is for."""
    store, steps = counted
    await store.statistics(A, limit=LIMIT)
    before = steps[0]
    await store.statistics(A, offset=COUNT - LIMIT, limit=LIMIT)
    fresh = steps[0] - before
    assert fresh > COUNT


class Explaining(PostgresStore):
    """A store that keeps what it was asked."""

    def __init__(self, store):
        super().__init__(store)
        self.asked = []

    async def _fetch(self, sql, values):
        self.asked.append((translated(sql), values))
        return await super()._fetch(sql, values)


def nodes(plan):
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


async def test_postgres_rows_of_the_last_page_are_those_of_the_first(database):
    async with contextlib.AsyncExitStack() as stack:
        store = await stack.enter_async_context(Explaining(database))
        await store.commit(Batch(written()))
        connection = await asyncpg.connect(database.url)
        stack.push_async_callback(connection.close)
        await connection.execute("VACUUM ANALYZE")
        # Tables of a few hundred rows: a planner would rather read all of them.
        await connection.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
        await connection.execute("SET enable_sort = off")

        async def most_rows(sql, values):
            """Return the rows of the node of the plan that had the most."""
            text = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", *values)
            found = nodes(json.loads(text)[0]["Plan"])
            return max(
                (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
                for node in found
            )

        for name, read in lists(store).items():
            store.asked = []
            await walk(read)
            assert await most_rows(*store.asked[0]) <= LIMIT + 1, name
            # Some more: of the same second, or of another device.
            assert await most_rows(*store.asked[-2]) <= 5 * LIMIT, name
        fresh = Explaining(database)
        stack.push_async_callback(fresh.close)
        await fresh.statistics(A, offset=COUNT - LIMIT, limit=LIMIT)
        assert await most_rows(*fresh.asked[0]) >= COUNT


def test_pages_are_bounded_and_forgotten(monkeypatch):
    known = Pages()
    known.note("a", 100, ("k",))
    assert known.start("a", 100) == (("k",), 0)
    assert known.start("a", 99) == (None, 99)
    assert known.start("a", 130) == (("k",), 30)
    assert known.start("b", 100) == (None, 100)
    known.note("a", 200, ("l",))
    known.note("a", 100, ("m",))
    assert known.start("a", 199) == (("m",), 99)
    monkeypatch.setattr(pages, "LISTS", 1)
    known.note("b", 5, ("n",))
    assert known.start("a", 200) == (None, 200)
    monkeypatch.setattr(pages, "PLACES", 4)
    for offset in range(10, 100, 10):
        known.note("b", offset, (offset,))
        # The newest is always known; older ones become fewer.
        assert known.start("b", offset) == ((offset,), 0)
        assert len(known._lists["b"].offsets) == len(known._lists["b"].places) <= 4
    monkeypatch.setattr(pages, "SECONDS", -1.0)
    known.note("b", 300, ("o",))
    found, rest = known.start("b", 300)
    assert found != ("o",)
    assert found is not None
    assert found[0] + rest == 300
