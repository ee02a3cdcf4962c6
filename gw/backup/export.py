"""What a gateway keeps as lines of JSON: one object a line, all of one moment."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import msgspec

from gw.backup.make import Progress, key_of
from gw.core.settings import Settings
from gw.security.configuration_secrets import (
    MASK,
    masked,
    masked_answer,
    masked_rejections,
)
from gw.security.sealing import Sealer, SealError, is_sealed
from gw.store import rows
from gw.store.errors import StoreError
from gw.store.sealed import SEALED
from gw.store.snapshot import Rows, Snapshot, snapshot_of
from gw.store.tables import DOCUMENTS

_PURPOSE: Final = "configuration"
"""See gw.store.sealed."""


class Kind(msgspec.Struct, frozen=True):
    """What is exported of a table."""

    table: str
    time: str = ""
    """Column of the time by which rows may be chosen; empty: they have none."""
    serial: bool = False
    """Rows belong to devices."""
    which: str = ""
    """Condition for the rows of this kind."""
    documents: tuple[str, ...] = ()
    """Columns with JSON."""
    sealed: tuple[str, ...] = ()
    """Columns with secrets: texts, or documents with secrets in them."""
    left_out: tuple[str, ...] = ()
    """Columns that are nobody's to read."""


_ANSWERS: Final = ("results", "late_answer")
_PASSWORDS: Final = ("password", "old_passwords")
_REPORT: Final = ("data",)

KINDS: Final[dict[str, Kind]] = {
    "devices": Kind(
        "devices",
        serial=True,
        documents=("notes", "restriction_details", "rejections", *DOCUMENTS),
        sealed=SEALED[rows.DeviceRow],
        left_out=("id",),
    ),
    "configurations": Kind(
        "configurations",
        "recorded",
        True,
        documents=("configuration",),
        sealed=("configuration",),
    ),
    "capabilities": Kind("capabilities", serial=True, documents=("capabilities",)),
    "statistics": Kind("statistics", "recorded", True, documents=_REPORT),
    "healthchecks": Kind("healthchecks", "recorded", True, documents=_REPORT),
    "logs": Kind("device_logs", "recorded", True, "log_type = 0", documents=_REPORT),
    "crashlogs": Kind("device_logs", "recorded", True, "log_type = 1", documents=_REPORT),
    "rebootlogs": Kind("device_logs", "recorded", True, "log_type = 2", documents=_REPORT),
    "events": Kind("device_events", "recorded", True, documents=_REPORT),
    "commands": Kind(
        "commands",
        "submitted",
        True,
        documents=("details", "results", "late_answer"),
        sealed=SEALED[rows.CommandRow],
    ),
    "scripts": Kind("scripts", documents=("restricted",)),
    "default-configurations": Kind(
        "default_configurations",
        documents=("configuration", "model_ids"),
        sealed=("configuration",),
    ),
    "default-firmwares": Kind("default_firmwares"),
    "blacklist": Kind("blacklist", serial=True),
    "users": Kind("users", documents=("document",), left_out=_PASSWORDS),
    "subscribers": Kind("subscribers", documents=("document",), left_out=_PASSWORDS),
    "audit": Kind("audit", "recorded"),
}
_PRIVATE: Final = ("authenticatorSecret", "currentPassword", "lastPasswords")


class Wanted(msgspec.Struct):
    """Which rows."""

    serial: str = ""
    start: int = 0
    """Unix seconds, inclusive; 0: open. So is `end`."""
    end: int = 0
    secrets: bool = False
    """Show them; the sealing key must be there."""

    def applies_to(self, kind: Kind) -> bool:
        """Tell whether rows of a kind can be chosen by what is wanted."""
        return (kind.serial or not self.serial) and bool(kind.time or not (self.start or self.end))


async def export(
    settings: Settings,
    kinds: list[str],
    wanted: Wanted,
    write: Callable[[bytes], object],
    progress: Progress = lambda part, done, total: None,
) -> dict[str, int]:
    """Write the rows of some kinds as lines; returns how many of each.

    The gateway may run. Kinds that cannot be chosen by what is wanted are left out. Raises
    StoreError, and what `write` raises.
    """
    key = key_of(settings)
    if wanted.secrets and not key:
        raise StoreError("there is no sealing key to open secrets with: see security.sealing_key")
    sealer = Sealer(key) if key else None
    counts = {}
    async with snapshot_of(settings.store, settings.run.data) as snapshot:
        for name in kinds:
            kind = KINDS[name]
            if not wanted.applies_to(kind):
                continue
            counts[name] = 0
            lines = _Lines(name, kind, snapshot.tables[kind.table], sealer, wanted.secrets)
            async for found in _chosen(snapshot, kind, wanted):
                documents = await _documents(snapshot, kind, found, lines.columns)
                write(b"".join(lines.line(row, documents) for row in found))
                counts[name] += len(found)
                progress(name, counts[name], 0)
    return counts


def _chosen(snapshot: Snapshot, kind: Kind, wanted: Wanted) -> AsyncIterator[Rows]:
    conditions, values = [kind.which or "true"], list[Any]()
    if wanted.serial:
        conditions.append("serial_number = ?")
        values.append(wanted.serial)
    for limit, sign in ((wanted.start, ">="), (wanted.end, "<=")):
        if limit:
            conditions.append(f"{kind.time} {sign} ?")
            values.append(limit)
    return snapshot.rows(kind.table, " AND ".join(conditions), values)


async def _documents(
    snapshot: Snapshot, kind: Kind, devices: Rows, columns: tuple[str, ...]
) -> dict[str, dict[str, str]]:
    """Return the configurations of devices by serial number: they are in a table of their own."""
    if kind.table != "devices":
        return {}
    at = columns.index("serial_number")
    serials = msgspec.json.encode([row[at] for row in devices]).decode()
    names = snapshot.tables["device_documents"]
    found: dict[str, dict[str, str]] = {}
    condition = "serial_number IN (SELECT value FROM json_each(?))"
    async for chunk in snapshot.rows("device_documents", condition, [serials]):
        for row in chunk:
            one = dict(zip(names, row, strict=True))
            found[one.pop("serial_number")] = one
    return found


class _Lines:
    """Makes lines of the rows of a kind."""

    def __init__(
        self,
        name: str,
        kind: Kind,
        columns: tuple[str, ...],
        sealer: Sealer | None,
        secrets: bool,
    ) -> None:
        self.columns = columns
        self._name = name
        self._kind = kind
        self._sealer = sealer
        self._secrets = secrets
        self._encoder = msgspec.json.Encoder()

    def line(self, row: tuple[Any, ...], documents: dict[str, dict[str, str]]) -> bytes:
        found: dict[str, Any] = {"kind": self._name}
        found |= dict(zip(self.columns, row, strict=True))
        if documents:
            found |= documents.get(found["serial_number"], {})
        for column in self._kind.left_out:
            found.pop(column, None)
        for column in self._kind.sealed:
            found[column] = self._secret(found.get(column) or "", column, found)
        for column in self._kind.documents:
            found[column] = _document(found.get(column) or b"", private=column == "document")
        return self._encoder.encode(found) + b"\n"

    def _secret(self, text: str, column: str, row: dict[str, Any]) -> str | None:
        """Return a secret, or what may be seen of it; None: it cannot be opened here."""
        if is_sealed(text):
            if self._sealer is None:
                return None
            try:
                text = self._sealer.open(text, _PURPOSE)
            except SealError as error:
                raise StoreError(str(error)) from error
        if self._secrets or not text:
            return text
        # What a script printed is hidden whole: nobody can tell which of its words are secret.
        printed = row.get("command") == "script"
        if column in _ANSWERS:
            return masked_answer(text.encode(), free=printed).decode()
        if column == "rejections":
            return masked_rejections(text.encode()).decode()
        if column == "error_text":
            return MASK if printed and row["error_code"] else text
        return masked(text.encode()).decode() if column in self._kind.documents else MASK


def _document(raw: str | bytes, *, private: bool) -> Any:
    """Return JSON to be put into a line as it is; what is none as a text, nothing as null."""
    body = raw.encode() if isinstance(raw, str) else bytes(raw)
    if not body:
        return None
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body.decode("utf-8", "replace")
    if private and isinstance(value, dict):
        return _without_private(value)
    # Line breaks are never within a text of JSON.
    return msgspec.Raw(body.replace(b"\n", b" ").replace(b"\r", b" "))


def _without_private(value: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _without_private(one) if isinstance(one, dict) else one
        for name, one in value.items()
        if name not in _PRIVATE
    }
