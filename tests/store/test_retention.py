"""Retention of every kind, on every store: what goes, in which steps, and what it leaves."""

import time

import asyncpg
import msgspec
import pytest

from gw.core.retention import KINDS, keep_seconds
from gw.core.settings import Commands, Retention, Security, Settings, Store
from gw.store import interface as ops
from gw.store import rows
from gw.store import security_ops as security
from gw.store.interface import Batch
from gw.store.postgres import PostgresStore
from gw.store.postgres_partitions import DAY, existing, make_ahead
from gw.store.retention import KEPT

A, B = "02a0a9000001", "02a0a9000002"


async def write(store, *given):
    await store.commit(Batch(list(given)))


def step(kind, before, **more):
    return ops.DeleteExpired(kind, before, **more)


def command(uuid, completed):
    return ops.PutCommand(
        rows.CommandRow(
            uuid=uuid, serial_number=A, command="ping", status="completed", completed=completed
        )
    )


def token(name, expires, refresh_expires):
    return ops.PutToken(
        rows.TokenRow(
            access_hash=name,
            refresh_hash=name,
            user_id="u",
            created=0,
            expires=expires,
            refresh_expires=refresh_expires,
        )
    )


def audit(at):
    names = ("author", "role", "via", "address", "request", "operation", "target")
    row = rows.AuditRow(id=0, entry=f"e{at}", recorded=at, result=0, **dict.fromkeys(names, "x"))
    return security.InsertAudit(row)


def link(name, expires):
    row = rows.ActionLinkRow(link_hash=name, action=name, user_id="u", created=0, expires=expires)
    return security.PutActionLink(row)


async def test_steps_are_bounded_take_the_oldest_and_tell_if_there_is_more(store):
    await write(
        store,
        *(ops.InsertStatistics(A, n, n, b"{12}") for n in (4, 1, 7, 0, 3, 5, 2, 6, 8, 9)),
        # One that a clock running ahead stamped does not hold up those behind it.
        ops.InsertStatistics(B, 99, 10**10, b"{}"),
        ops.InsertHealthCheck(A, 1, 1, 1, b"{}"),
        ops.InsertEvent(A, 1, "t", b"{}"),
    )
    first = step("statistics", 8, limit=5)
    await write(store, first)
    assert (first.removed, first.bytes, first.more, first.lag) == (5, 20, True, 4)
    assert [row.recorded for row in await store.statistics(A)] == [5, 6, 7, 8, 9]
    second = step("statistics", 8, limit=5)
    await write(store, second)
    assert (second.removed, second.bytes, second.more, second.lag) == (3, 12, False, 0)
    assert [row.recorded for row in await store.statistics(A)] == [8, 9]
    assert await store.count_statistics(B) == 1
    assert len(await store.healthchecks(A)) == len(await store.events(A)) == 1
    await write(store, step("healthchecks", 2), step("events", 1))
    assert await store.healthchecks(A) == []
    assert len(await store.events(A)) == 1


async def test_each_kind_of_log_has_its_own_time(store):
    lines = [ops.InsertLog(A, 1, 1, kind, at, "l", b"{}") for kind in range(3) for at in (1, 5)]
    await write(store, *lines)

    async def left():
        return [[row.recorded for row in await store.logs(A, log_type=n)] for n in range(3)]

    await write(store, step("logs", 3))
    assert await left() == [[5], [5, 1], [5, 1]]
    await write(store, step("crash_logs", 9), step("reboot_logs", 1))
    assert await left() == [[5], [], [5, 1]]


async def test_commands_go_after_their_end_and_open_ones_never(store):
    await write(store, command("old", 3), command("new", 8), command("open", 0))
    one = step("commands", 8)
    await write(store, one)
    assert one.removed == 1
    assert [bool(await store.command(name)) for name in ("old", "new", "open")] == [0, 1, 1]


async def test_files_go_whole(store):
    await write(
        store,
        *(ops.PutFilePart("a", part, 1, b"12345") for part in range(3)),
        ops.PutFilePart("b", 0, 2, b"1"),
        ops.PutFilePart("c", 0, 9, b"1"),
    )
    one = step("files", 9, limit=1)
    await write(store, one)
    assert (one.removed, one.bytes, one.more) == (3, 15, True)
    assert [await store.file(name) for name in "abc"] == [None, b"1", b"1"]
    await write(store, step("files", 9, limit=2))
    assert [await store.file(name) for name in "abc"] == [None, None, b"1"]


async def test_tokens_go_when_both_ends_have_passed_and_links_when_theirs_has(store):
    await write(store, token("both", 10, 20), token("access", 10, 21), token("refresh", 21, 20))
    await write(store, step("tokens", 21))
    assert [n for n in ("both", "access", "refresh") if await store.token(n)] == [
        "access",
        "refresh",
    ]
    await write(store, link("a", 10), link("b", 11), step("action_links", 11))
    assert await store.action_link("a") is None
    assert await store.action_link("b") is not None


async def test_audit_goes_oldest_first(store):
    await write(store, *(audit(at) for at in (3, 1, 2)))
    await write(store, step("audit", 3, limit=1))
    assert sorted(row.recorded for row in await store.audit()) == [2, 3]


async def test_every_kind_has_rows_to_look_at_and_days(store):
    assert set(KEPT) == set(KINDS)
    settings = Settings(
        store=Store(retention_days=3),
        retention=Retention(crash_logs_days=40),
        commands=Commands(retention_days=5),
        security=Security(audit_days=6),
    )
    days = {kind: keep_seconds(settings, kind) / 86_400 for kind in KINDS}
    assert days == dict.fromkeys(KINDS, 3) | {
        "crash_logs": 40, "commands": 5, "audit": 6, "tokens": 0, "action_links": 0,
    }  # fmt: skip
    for kind in KINDS:
        one = step(kind, 100)
        await write(store, one)
        assert (one.removed, one.more) == (0, False)


# PostgreSQL: days as partitions


@pytest.fixture
async def migrated(database):
    made = await asyncpg.connect(database.url)
    yield made
    await made.close()


async def test_a_log_that_is_kept_longer_keeps_its_day_but_not_the_others_of_it(migrated, database):
    now = int(time.time())
    day = now // DAY
    for days_ago in range(1, 7):
        await make_ahead(migrated, now - days_ago * DAY)
    async with PostgresStore(database) as store:
        for kind in range(3):
            times = [now - days_ago * DAY for days_ago in range(7)]
            await write(store, *(ops.InsertLog(A, 1, 1, kind, at, "l", b"{}") for at in times))

        async def left():
            found = [await store.logs(A, log_type=kind) for kind in range(3)]
            return [[day - row.recorded // DAY for row in one] for one in found]

        kept = {"logs": 2, "crash_logs": 5, "reboot_logs": 2}
        for _ in range(9):
            for kind, days in kept.items():
                one = step(kind, now - days * DAY, limit=2, whole_before=now - 5 * DAY)
                await write(store, one)
        # What is within a day that is not over yet goes with it.
        assert await left() == [[0, 1, 2], [0, 1, 2, 3, 4, 5], [0, 1, 2]]
        assert min(one.day for one in await existing(migrated) if one.table == "device_logs") == (
            day - 5
        )


async def test_dropped_days_are_counted(migrated, database):
    now = int(time.time())
    await make_ahead(migrated, now - 9 * DAY)
    async with PostgresStore(database) as store:
        old = [ops.InsertStatistics(A, 1, now - 9 * DAY, b"{}") for _ in range(50)]
        await write(store, *old)
        await migrated.execute("ANALYZE statistics")
        one = step("statistics", now - 3 * DAY)
        await write(store, one)
        assert one.removed == 50
        assert one.bytes > 8192
        assert await store.count_statistics(A) == 0


async def test_a_held_day_is_told_as_lag(migrated, database, monkeypatch):
    monkeypatch.setattr("gw.store.postgres_partitions._LOCK_MILLISECONDS", 50)
    now = int(time.time())
    await make_ahead(migrated, now - 9 * DAY)
    reading = await asyncpg.connect(database.url)
    await reading.execute("BEGIN; SELECT count(*) FROM statistics")
    async with PostgresStore(database) as store:
        one = step("statistics", now - 3 * DAY)
        await write(store, one)
        assert not one.more
        assert 5 * DAY <= one.lag <= 7 * DAY
        await reading.close()
        again = msgspec.structs.replace(one, lag=0, more=True)
        while again.more:
            again.lag = 0
            await write(store, again)
        assert again.lag == 0
        old = [one for one in await existing(migrated) if one.end <= again.before]
        assert {one.table for one in old}.isdisjoint({"statistics"})
