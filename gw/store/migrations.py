"""Numbered changes of the schema: what is known, what is applied, what is still to be done.

The files are `schema/<number>_<name>.<dialect>.sql`; every dialect has the same numbers. A file
never changes once released: its checksum is kept in the database.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Final, Literal

import msgspec

from gw.store.errors import MigrationError

Dialect = Literal["sqlite", "postgres"]

_FILE: Final = re.compile(r"(\d{4})_([a-z0-9_]+)\.(sqlite|postgres)\.sql\Z")

VERSIONS_TABLE: Final = """
CREATE TABLE IF NOT EXISTS schema_versions (
    number   INTEGER NOT NULL PRIMARY KEY,
    name     TEXT NOT NULL,
    checksum TEXT NOT NULL,
    applied  BIGINT NOT NULL
)"""
"""The same text serves both dialects."""


class Migration(msgspec.Struct, frozen=True):
    """One file."""

    number: int
    name: str
    checksum: str
    sql: str


def parse(files: Mapping[str, str], dialect: Dialect) -> list[Migration]:
    """Return the migrations among `files` (name to text), in order; numbers have no gap."""
    found = []
    for name, text in files.items():
        match = _FILE.match(name)
        if match and match[3] == dialect:
            checksum = hashlib.sha256(text.encode()).hexdigest()
            found.append(Migration(int(match[1]), match[2], checksum, text))
    found.sort(key=lambda migration: migration.number)
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise MigrationError(f"the {dialect} migrations of this installation are not 1, 2, 3 ...")
    return found


def load(dialect: Dialect) -> list[Migration]:
    """Return the migrations that this version of gw brings along."""
    folder = resources.files("gw.store").joinpath("schema")
    files = {f.name: f.read_text("utf-8") for f in folder.iterdir() if f.name.endswith(".sql")}
    return parse(files, dialect)


def outstanding(
    known: Sequence[Migration], applied: Mapping[int, str], where: str
) -> list[Migration]:
    """Return what is still to be applied to the database at `where`.

    `applied` is number to checksum. Raises MigrationError if the database is of a newer gw, or
    if its history is not ours.
    """
    ours = len(known)
    theirs = max(applied, default=0)
    if theirs > ours:
        raise MigrationError(
            f"{where} has schema version {theirs}, this gw knows versions up to {ours}: "
            "start the newer gw, or restore a backup made before the upgrade"
        )
    for migration in known[:theirs]:
        checksum = applied.get(migration.number)
        if checksum is None:
            raise MigrationError(
                f"{where} has schema version {theirs} but lacks migration {migration.number} "
                f"of the {ours} that this gw knows: restore a backup"
            )
        if checksum != migration.checksum:
            raise MigrationError(
                f"{where} has schema version {theirs} (this gw: {ours}), but its migration "
                f"{migration.number} ({migration.name}) had checksum {checksum[:12]} and is "
                f"{migration.checksum[:12]} here: it was made by another build of gw"
            )
    return list(known[theirs:])


def not_migrated(where: str, todo: Sequence[Migration]) -> MigrationError:
    """Return the error, a retriable one, for a database that waits for `todo`."""
    error = MigrationError(
        f"{where} has schema version {todo[0].number - 1}, this gw needs {todo[-1].number}: "
        "it is not migrated yet"
    )
    error.retriable = True
    return error


def statements(sql: str) -> Iterator[str]:
    """Split a script. (`executescript` would end the transaction that the script is to run in.)"""
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if any(line.strip() and not line.lstrip().startswith("--") for line in statement.splitlines()):
        raise MigrationError(f"unfinished statement in a migration: {statement.strip()[:60]}")


def applied_sqlite(connection: sqlite3.Connection, where: str) -> dict[int, str]:
    """Return number to checksum of what is applied; empty if the database is new."""
    found = connection.execute(
        "SELECT name = 'schema_versions' FROM sqlite_schema WHERE type = 'table' ORDER BY 1 DESC"
    ).fetchall()
    if not found:
        return {}
    if not found[0][0]:
        raise MigrationError(
            f"{where} has tables but no schema version (this gw: "
            f"{len(load('sqlite'))}): it is not a database of gw"
        )
    return dict(connection.execute("SELECT number, checksum FROM schema_versions"))


def check_sqlite(connection: sqlite3.Connection, where: str) -> None:
    """Raise MigrationError unless the schema is exactly the present one.

    Retriable if the database only waits to be brought up to date.
    """
    todo = outstanding(load("sqlite"), applied_sqlite(connection, where), where)
    if todo:
        raise not_migrated(where, todo)


def migrate_sqlite(
    connection: sqlite3.Connection, where: str, known: Sequence[Migration] | None = None
) -> list[int]:
    """Apply what is outstanding, each migration in one transaction; return the numbers.

    Safe against a second runner: what is outstanding is looked up again under the write lock.
    """
    known = load("sqlite") if known is None else known
    done: list[int] = []
    while outstanding(known, applied_sqlite(connection, where), where):
        connection.execute("BEGIN IMMEDIATE")
        try:
            todo = outstanding(known, applied_sqlite(connection, where), where)
            if todo:
                _apply(connection, todo[0])
                done.append(todo[0].number)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    return done


def _apply(connection: sqlite3.Connection, migration: Migration) -> None:
    connection.execute(VERSIONS_TABLE)
    for statement in statements(migration.sql):
        connection.execute(statement)
    connection.execute(
        "INSERT INTO schema_versions (number, name, checksum, applied) VALUES (?, ?, ?, ?)",
        (migration.number, migration.name, migration.checksum, int(time.time())),
    )
