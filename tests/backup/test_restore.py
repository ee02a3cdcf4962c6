"""Backups of every table, put back into either database; and what is refused changes nothing."""

import pytest
from click.testing import CliRunner
from every_table import SERIALS, all_rows, fill_every_table, tables_in

from gw.backup.archive import ArchiveError, Manifest, Reader, Writer
from gw.backup.make import make_backup
from gw.backup.restore import restore
from gw.cli.main import main
from gw.core.settings import Run, Security, Settings, Store
from gw.security.sealing import sealing_key
from gw.store.errors import StoreError
from gw.store.migrations import load, migrate_sqlite
from gw.store.postgres import PostgresStore
from gw.store.snapshot import NOT_COPIED, snapshot_of
from gw.store.sqlite import SqliteStore
from gw.store.sqlite_connection import open_for_writing

KEY = "0123456789abcdef0123456789abcdef"


def settings_for(folder, url=""):
    folder.mkdir(exist_ok=True)
    return Settings(run=Run(data=str(folder)), store=Store(url=url))


def rows_of(settings):
    return all_rows(snapshot_of(settings.store, settings.run.data))


@pytest.fixture
def source(tmp_path):
    """A gateway's data directory with something of everything: its settings."""
    made = settings_for(tmp_path / "source")
    fill_every_table(tmp_path / "source" / "gw.db")
    (tmp_path / "source" / "files").mkdir()
    (tmp_path / "source" / "files" / "aaaa-1").write_bytes(b"upload")
    (tmp_path / "source" / "files" / "bbbb-2.part").write_bytes(b"arriving")
    (tmp_path / "source" / "system.id").write_text("77\n")
    (tmp_path / "source" / "internal.key").write_text(KEY)
    sealing_key("", made.run.data)
    return made


@pytest.fixture
async def postgres(postgres_server, tmp_path):
    names = []

    async def make():
        names.append(await postgres_server.make_database())
        url = postgres_server.url(names[-1])
        return settings_for(tmp_path / names[-1], url)

    yield make
    for name in names:
        await postgres_server.drop_database(name)


def with_key_of(source, target):
    key = (source.run.data, target.run.data)
    with open(f"{key[0]}/sealing.key") as old, open(f"{key[1]}/sealing.key", "w") as new:
        new.write(old.read())
    return target


async def test_every_table_goes_round_from_sqlite_through_postgres_and_back(
    source, postgres, tmp_path
):
    expected = await rows_of(source)
    assert set(expected) == tables_in(tmp_path / "source" / "gw.db") - NOT_COPIED
    assert all(len(rows) == 3 for rows in expected.values())
    first, second = tmp_path / "first.zip", tmp_path / "second.zip"
    manifest, size = await make_backup(source, first)
    assert size == first.stat().st_size
    assert {name: table.rows for name, table in manifest.tables.items()} == dict.fromkeys(
        expected, 3
    )
    large = with_key_of(source, await postgres())
    await restore(large, first)
    assert await rows_of(large) == expected
    await make_backup(large, second)
    small = with_key_of(source, settings_for(tmp_path / "small"))
    await restore(small, second)
    assert await rows_of(small) == expected
    other = with_key_of(source, await postgres())
    await restore(other, second)
    assert await rows_of(other) == expected
    # The stores go on: ids are given behind the highest, and partitions are made.
    async with PostgresStore(large.store) as store:
        await store.migrate()
        assert len(await store.statistics(SERIALS[0])) == 1
    async with SqliteStore(tmp_path / "small" / "gw.db") as store:
        await store.migrate()
        assert (await store.positions()) == {}


async def test_files_of_the_data_directory_come_along(source, tmp_path):
    manifest, _ = await make_backup(source, tmp_path / "one.zip")
    assert set(manifest.files) == {"files/aaaa-1", "data/system.id"}
    assert manifest.left_out == ["keys"]
    target = with_key_of(source, settings_for(tmp_path / "target"))
    await restore(target, tmp_path / "one.zip")
    folder = tmp_path / "target"
    assert (folder / "files" / "aaaa-1").read_bytes() == b"upload"
    assert (folder / "system.id").read_text() == "77\n"
    assert {one.name for one in folder.iterdir()} == {
        "gw.db", "files", "system.id", "sealing.key",
    }  # fmt: skip


async def test_keys_only_if_they_are_asked_for(source, tmp_path):
    manifest, _ = await make_backup(source, tmp_path / "one.zip", keys=True)
    assert {"data/sealing.key", "data/internal.key"} < set(manifest.files)
    target = settings_for(tmp_path / "target")
    await restore(target, tmp_path / "one.zip")
    for name in ("sealing.key", "internal.key"):
        kept = tmp_path / "target" / name
        assert kept.read_text() == (tmp_path / "source" / name).read_text()
        assert kept.stat().st_mode & 0o777 == 0o600


async def test_telemetry_and_files_may_be_left_out(source, tmp_path):
    path = tmp_path / "one.zip"
    manifest, _ = await make_backup(source, path, telemetry=False, files=False)
    assert manifest.left_out == ["telemetry", "files", "keys"]
    target = with_key_of(source, settings_for(tmp_path / "target"))
    await restore(target, path)
    found = await rows_of(target)
    empty = {table for table, rows in found.items() if not rows}
    assert empty == {"statistics", "healthchecks", "device_logs", "device_events"}
    assert not (tmp_path / "target" / "files").exists()


def everything_in(folder):
    return {
        str(one.relative_to(folder)): one.read_bytes()
        for one in folder.rglob("*")
        if one.is_file() and not one.name.endswith(("-wal", "-shm"))
    }


async def refused(settings, path, words, **more):
    """Restoring fails with these words, and changes nothing; no secret is in them."""
    before = everything_in(type(path)(settings.run.data))
    with pytest.raises((ArchiveError, StoreError), match=words) as caught:
        await restore(settings, path, **more)
    assert KEY not in str(caught.value)
    assert everything_in(type(path)(settings.run.data)) == before


async def test_a_store_with_rows_is_refused_unless_it_is_to_be_replaced(source, postgres, tmp_path):
    path = tmp_path / "one.zip"
    await make_backup(source, path)
    expected = await rows_of(source)
    small = with_key_of(source, settings_for(tmp_path / "small"))
    fill_every_table(tmp_path / "small" / "gw.db")
    await refused(small, path, "gw.db is not empty: table devices has rows")
    await restore(small, path, replace=True)
    assert await rows_of(small) == expected
    assert (tmp_path / "small" / "gw.db.replaced").exists()
    large = with_key_of(source, await postgres())
    await restore(large, path, replace=True)
    await refused(large, path, "is not empty")
    async with PostgresStore(large.store) as store:
        assert len(await store.devices()) == 3
    await restore(large, path, replace=True)
    assert await rows_of(large) == expected


async def test_uploads_that_are_there_are_refused_too(source, tmp_path):
    path = tmp_path / "one.zip"
    await make_backup(source, path)
    target = with_key_of(source, settings_for(tmp_path / "target"))
    (tmp_path / "target" / "files").mkdir()
    (tmp_path / "target" / "files" / "mine").write_text("x")
    await refused(target, path, "files is not empty")


async def test_the_sealing_key_is_needed(source, tmp_path):
    path = tmp_path / "one.zip"
    await make_backup(source, path)
    target = settings_for(tmp_path / "target")
    await refused(target, path, "put sealing.key of the gateway")
    target.security = Security(sealing_key=KEY)
    await refused(target, path, "not the one of this backup")


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
async def test_a_broken_backup_changes_nothing(source, postgres, tmp_path, engine):
    path = tmp_path / "one.zip"
    await make_backup(source, path)
    target = settings_for(tmp_path / "target") if engine == "sqlite" else await postgres()
    with_key_of(source, target)
    whole = path.read_bytes()
    at = whole.index(b"tables/devices.msgpack") + 100
    await restore(target, path)
    before = await rows_of(target)
    for broken in (
        whole[: len(whole) // 2],
        whole[:-1],
        whole.replace(b"device_logs.msgpack", b"device_lugs.msgpack"),
        whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :],
    ):
        path.write_bytes(broken)
        await refused(target, path, "one.zip", replace=True)
        assert await rows_of(target) == before


async def test_a_fault_half_way_leaves_the_store_as_it_was(source, postgres, tmp_path, monkeypatch):
    path = tmp_path / "one.zip"
    await make_backup(source, path)
    for target in (settings_for(tmp_path / "target"), await postgres()):
        with_key_of(source, target)
        await restore(target, path)
        before = await rows_of(target)
        with monkeypatch.context() as patch:
            read = Reader.rows

            def fail(self, table, read=read):
                if table == "users":
                    # Only the second reading, the one that fills.
                    self.seen = getattr(self, "seen", 0) + 1
                    if self.seen == 2:
                        raise ArchiveError("the disk went")
                return read(self, table)

            patch.setattr(Reader, "rows", fail)
            with pytest.raises(ArchiveError, match="the disk went"):
                await restore(target, path, replace=True)
        assert await rows_of(target) == before


async def test_versions_are_compared(source, postgres, tmp_path):
    newer = tmp_path / "newer.zip"
    known = len(load("sqlite"))
    with Writer(newer, Manifest(gw="99", made=1, engine="sqlite", schema=known + 1)) as archive:
        archive.finish()
    await refused(source, newer, f"made by gw 99 with schema version {known + 1}")


async def test_an_older_backup_is_brought_up_to_date(postgres, tmp_path):
    """One of the first schema, whose rows lack the columns that came later."""
    connection = open_for_writing(tmp_path / "first.db", "normal")
    migrate_sqlite(connection, "first", load("sqlite")[:1])
    columns = tuple(c for _, c, *_ in connection.execute("PRAGMA table_info(commands)"))
    kinds = [k for _, _, k, *_ in connection.execute("PRAGMA table_info(commands)")]
    connection.close()
    assert "attempts" not in columns
    path = tmp_path / "old.zip"
    with Writer(path, Manifest(gw="0", made=1, engine="sqlite", schema=1)) as archive:
        table = archive.table("commands", columns)
        cells = {"INTEGER": 7, "TEXT": "t", "REAL": 1.5}
        table.write([tuple(cells[kind] for kind in kinds)])
        table.close()
        archive.finish()
    for target in (settings_for(tmp_path / "target"), await postgres()):
        await restore(target, path)
        found = await rows_of(target)
        async with snapshot_of(target.store, target.run.data) as opened:
            names = sorted(opened.tables["commands"])
        (row,) = found["commands"]
        command = dict(zip(names, row, strict=True))
        assert (command["uuid"], command["attempts"], command["late_answer"]) == ("t", 0, "")


# the commands


def gw(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def test_the_commands(source, tmp_path):
    path = tmp_path / "one.zip"
    made = gw("backup", "--data", source.run.data, path)
    assert made.exit_code == 0, made.output
    assert "3  devices" in made.output
    assert "not in it: keys" in made.output
    assert "keep sealing.key" in made.output
    again = gw("backup", "--data", source.run.data, path)
    assert again.exit_code == 1
    assert "exists already" in again.output
    checked = gw("restore", "--check", path)
    assert checked.exit_code == 0, checked.output
    assert "is whole" in checked.output
    target = with_key_of(source, settings_for(tmp_path / "target"))
    done = gw("restore", "--data", target.run.data, path)
    assert done.exit_code == 0, done.output
    assert "is restored" in done.output
    refused_ = gw("restore", "--data", target.run.data, path)
    assert refused_.exit_code == 1
    assert "not empty" in refused_.output
    path.write_bytes(path.read_bytes()[:-9])
    broken = gw("restore", "--data", target.run.data, "--replace", path)
    assert broken.exit_code == 1
    assert "cut off" in broken.output
    assert "Traceback" not in broken.output
    assert gw("backup", path).exit_code == 2
    absent = gw("backup", "--data", tmp_path / "nowhere", tmp_path / "two.zip")
    assert absent.exit_code == 1
    assert "does not exist" in absent.output
    assert not (tmp_path / "two.zip").exists()
