"""Steps of retention in SQL: of each kind the oldest rows that are too old, found by an index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from gw.core.retention import Kind
from gw.store.interface import DeleteExpired

# S608 below: tables and conditions are those of this module; values are always bound.
# ruff: noqa: S608


class Kept(msgspec.Struct, frozen=True):
    """Where the rows of a kind are."""

    table: str
    time: str = "recorded"
    """Column of the time that counts."""
    size: str = "length(data)"
    """Bytes of a row, without what every row has."""
    which: str = ""
    """Condition for the rows of this kind."""
    key: str = "id"


_LOG_SIZE: Final = "length(log) + length(data)"

KEPT: Final[dict[Kind, Kept]] = {
    "statistics": Kept("statistics"),
    "healthchecks": Kept("healthchecks"),
    "logs": Kept("device_logs", size=_LOG_SIZE, which="log_type = 0 AND "),
    "crash_logs": Kept("device_logs", size=_LOG_SIZE, which="log_type = 1 AND "),
    "reboot_logs": Kept("device_logs", size=_LOG_SIZE, which="log_type = 2 AND "),
    "events": Kept("device_events"),
    "files": Kept("files", "created", "length(content)"),
    "commands": Kept(
        "commands", "completed", "length(details) + length(results)", "completed > 0 AND "
    ),
    "audit": Kept("audit", size="length(request) + length(detail)"),
    # A session lives as long as the longer of its two tokens.
    "tokens": Kept("tokens", "refresh_expires", "0", "expires < ? AND ", "access_hash"),
    "action_links": Kept("action_links", "expires", "0", key="link_hash"),
}


def statement(kind: Kind, partition: str = "") -> str:
    """Return the DELETE of a step, which returns the time and size of each row that went.

    `partition`: in that one alone (PostgreSQL), where rows are named by their place.
    """
    kept = KEPT[kind]
    returned = f"RETURNING {kept.time}, {kept.size}"
    if kind == "files":
        # Whole files, found by their first part: no reader finds half of one.
        return (
            "DELETE FROM files WHERE uuid IN (SELECT uuid FROM files WHERE part = 0 AND "
            f"created < ? ORDER BY created LIMIT ?) {returned}"
        )
    chosen = f"WHERE {kept.which}{kept.time} < ? ORDER BY {kept.time} LIMIT ?"
    if partition:
        return (
            f"DELETE FROM {partition} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {partition} "
            f"{chosen})) {returned}"
        )
    return (
        f"DELETE FROM {kept.table} WHERE {kept.key} IN (SELECT {kept.key} FROM {kept.table} "
        f"{chosen}) {returned}"
    )


def values(op: DeleteExpired) -> tuple[int, ...]:
    """Return the parameters of the statement of a step."""
    if op.kind == "tokens":
        return (op.before, op.before, op.limit)
    return (op.before, op.limit)


def settle(op: DeleteExpired, gone: Sequence[Sequence[Any]]) -> None:
    """Note in a step what went: (time, size) of rows."""
    op.removed = len(gone)
    op.bytes = sum(row[1] for row in gone)
    op.more = len(gone) >= op.limit
    op.lag = op.before - max(row[0] for row in gone) if op.more and gone else 0
