"""What a batch is for PostgreSQL: few steps, each one exchange with the server.

Operations that have nothing to do with each other change places: telemetry is copied table by
table, and the first writes of all devices go together, then the second ones. What concerns one
device, one command or one table keeps its order. No I/O here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

import msgspec

from gw.store import interface
from gw.store.interface import Op
from gw.store.postgres_sql import storable, translated
from gw.store.writes import WRITERS, Run, likeness


class Copy(msgspec.Struct):
    """Rows for one table, by binary COPY."""

    table: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


class Statement(msgspec.Struct):
    """A statement, run once for each of `rows`."""

    sql: str
    rows: list[tuple[Any, ...]]


class Expire(msgspec.Struct):
    """A step of retention."""

    op: interface.DeleteExpired


Step = Copy | Statement | Expire


class _Table:
    """How inserts of one type are copied; `texts` are the places that may hold U+0000."""

    def __init__(self, name: str, columns: Sequence[str], fields: Sequence[str]) -> None:
        self.name = name
        self.columns = tuple(columns)
        self.cells: Callable[[Any], tuple[Any, ...]] = attrgetter(*fields)
        self.texts = [at for at, column in enumerate(columns) if column in ("log", "type")]

    def copy(self, ops: Iterable[Op]) -> Copy:
        rows = list(map(self.cells, ops))
        if self.texts:
            rows = [tuple(map(storable, row)) for row in rows]
        return Copy(self.name, self.columns, rows)


_TELEMETRY: Final[dict[type[Op], _Table]] = {
    interface.InsertStatistics: _Table(
        "statistics",
        ("serial_number", "uuid", "recorded", "data"),
        ("serial", "uuid", "recorded", "data"),
    ),
    interface.InsertHealthCheck: _Table(
        "healthchecks",
        ("serial_number", "uuid", "sanity", "recorded", "data"),
        ("serial", "uuid", "sanity", "recorded", "data"),
    ),
    interface.InsertLog: _Table(
        "device_logs",
        ("serial_number", "uuid", "severity", "log_type", "recorded", "log", "data"),
        ("serial", "uuid", "severity", "log_type", "recorded", "log", "data"),
    ),
    interface.InsertEvent: _Table(
        "device_events",
        ("serial_number", "recorded", "type", "data"),
        ("serial", "recorded", "type", "data"),
    ),
}

_DEVICE: Final[dict[type[Op], Callable[[Any], str]]] = {
    interface.PutDevice: lambda op: op.row.serial_number,
    interface.PatchDevice: lambda op: op.serial,
    interface.AdoptPending: lambda op: op.serial,
}
_COMMAND: Final[dict[type[Op], Callable[[Any], str]]] = {
    interface.PutCommand: lambda op: op.row.uuid,
    interface.PatchCommand: lambda op: op.uuid,
}
_CAPABILITIES: Final[dict[type[Op], Callable[[Any], str]]] = {
    interface.PutCapabilities: lambda op: op.serial,
    interface.DeleteCapabilities: lambda op: op.serial,
}
_KEYED: Final = (_DEVICE, _COMMAND, _CAPABILITIES)
"""Families of operations that change places among each other unless they have one key."""


class Recorder:
    """Notes the statements of the writers (`writes.Statements`)."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def execute(self, sql: str, values: Sequence[Any], /) -> None:
        """Note a statement; the same one again goes with the one before."""
        self._note(translated(sql), [tuple(map(storable, values))])

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]], /) -> None:
        """Note a statement with many rows of parameters."""
        self._note(translated(sql), [tuple(map(storable, values)) for values in rows])

    def _note(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        last = self.steps[-1] if self.steps else None
        if isinstance(last, Statement) and last.sql == sql:
            last.rows += rows
        elif rows:
            self.steps.append(Statement(sql, rows))


def steps(ops: Sequence[Op]) -> list[Step]:
    """Return the steps of a batch. Raises what a writer raises over an impossible operation."""
    found: list[Step] = []
    for stretch in _stretches(ops):
        found += _stretch(stretch)
    return found


_MOVABLE: Final = frozenset(_TELEMETRY).union(*_KEYED)


def _movable(op: Op) -> bool:
    return type(op) in _MOVABLE


def _stretches(ops: Sequence[Op]) -> Iterator[list[Op]]:
    """Split where an operation may concern anything: it is a stretch of its own."""
    for movable, stretch in groupby(ops, _movable):
        if movable:
            yield list(stretch)
        else:
            yield from ([op] for op in stretch)


def _stretch(ops: list[Op]) -> list[Step]:
    if isinstance(ops[0], interface.DeleteExpired):
        return [Expire(ops[0])]
    found: list[Step] = []
    recorder = Recorder()
    kinds = set(map(type, ops))
    if kinds.isdisjoint(_MOVABLE):
        WRITERS[type(ops[0])](recorder, Run(ops))
    for kind, table in _TELEMETRY.items():
        if kind in kinds:
            # Nearly all of a batch, most of the time.
            found.append(table.copy([op for op in ops if type(op) is kind]))
    for family in _KEYED:
        if not kinds.isdisjoint(family):
            for run in _layers(family, [op for op in ops if type(op) in family]):
                WRITERS[type(run[0])](recorder, run)
    return found + recorder.steps


def _layers(family: dict[type[Op], Callable[[Any], str]], ops: list[Op]) -> Iterator[Run]:
    """Yield like operations together: the first ones of all keys, then the second ones ..."""
    seen: dict[str, int] = {}
    runs: dict[tuple[int, object], Run] = {}
    for op in ops:
        key = family[type(op)](op)
        layer = seen[key] = seen.get(key, -1) + 1
        runs.setdefault((layer, likeness(op)), Run()).append(op)
    for at in sorted(runs, key=lambda at: at[0]):
        yield runs[at]
