"""Former configurations as they are answered. Ours, not owgw's."""

from __future__ import annotations

import msgspec


class HistoryEntry(msgspec.Struct, rename="camel", kw_only=True):
    """A configuration that was the desired one from `recorded` on."""

    id: int
    uuid: int = msgspec.field(name="UUID")
    hash: str
    recorded: int
    """Epoch seconds."""
    author: str
    through: str
    """configure, device, onboarding, provisioning, restore or import."""


class History(msgspec.Struct):
    """Newest first; the first one is the present one."""

    configurations: list[HistoryEntry]


class HistoryDocument(HistoryEntry, kw_only=True):
    """One, whole."""

    configuration: msgspec.Raw


class Difference(msgspec.Struct):
    """Paths that differ; of a member that is new or gone as a whole only its own."""

    added: list[str]
    removed: list[str]
    changed: list[str]
    omitted: int
    """Further paths that are not listed."""
