"""A store with rows in every table, whatever tables there are, and all rows of a store."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

from gw.store.migrations import migrate_sqlite
from gw.store.snapshot import Snapshot
from gw.store.sqlite_connection import open_for_writing
from gw.store.sqlite_snapshot import tables_of

SERIALS = ("02a0a9000021", "02a0a9000022", "02a0a9000023")
DAY = 86_400


def fill_every_table(path: Path) -> set[str]:
    """Make a SQLite store with three rows in each table, each cell another; returns the tables."""
    connection = open_for_writing(path, "normal")
    migrate_sqlite(connection, str(path))
    tables = tables_of(connection)
    now = int(time.time())
    for number, table in enumerate(tables):
        info = connection.execute(f"PRAGMA table_info({table})").fetchall()
        names = [name for _, name, *_ in info]
        for row in range(3):
            cells = [
                _cell(name, kind, 1000 * number + 10 * place + row, row, now)
                for place, (_, name, kind, *_) in enumerate(info)
            ]
            connection.execute(
                f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
                cells,
            )
    connection.close()
    return set(tables)


def _cell(name: str, kind: str, value: int, row: int, now: int) -> Any:
    if name == "serial_number":
        return SERIALS[row]
    if name == "recorded":
        # Today, the day before yesterday, and one of a clock that was wrong.
        return (now, now - 2 * DAY, 5)[row]
    if kind == "INTEGER":
        return value
    if kind == "REAL":
        return value + 0.5
    if kind == "BLOB":
        return f'{{"\xff": {value}}}'.encode("latin-1") + b"\0\x01"
    return f"{name} {value} \u00e9"


async def all_rows(snapshot: Snapshot) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows of every table, in an order of their own."""
    async with snapshot as opened:
        found = {}
        for table, columns in opened.tables.items():
            # By name: a column that was added later is in another place in a new file.
            order = sorted(range(len(columns)), key=columns.__getitem__)
            rows = [
                tuple(row[at] for at in order)
                async for chunk in opened.rows(table)
                for row in chunk
            ]
            found[table] = sorted(rows, key=repr)
        return found


def tables_in(path: Path) -> set[str]:
    """Return the names of all tables of a SQLite file."""
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
    connection.close()
    return {name for (name,) in rows if not name.startswith("sqlite_")}
