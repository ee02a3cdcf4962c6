"""What is kept for a time, and for how long."""

from __future__ import annotations

from typing import Final, Literal, get_args

from gw.core.settings import Settings

DAY: Final = 86_400

Kind = Literal[
    "statistics",
    "healthchecks",
    "logs",
    "crash_logs",
    "reboot_logs",
    "events",
    "files",
    "commands",
    "audit",
    "tokens",
    "action_links",
]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


def keep_seconds(settings: Settings, kind: Kind) -> int:
    """Return how long a kind is kept, in seconds, from its own time on.

    That of a command is its end; that of a token or a mailed link its expiry.
    """
    if kind in ("tokens", "action_links"):
        return 0
    if kind == "commands":
        days = settings.commands.retention_days
    elif kind == "audit":
        days = settings.security.audit_days
    else:
        days = getattr(settings.retention, f"{kind}_days") or settings.store.retention_days
    return days * DAY
