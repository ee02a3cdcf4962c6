"""Earlier passwords of a user, which may not return (security.md 3.4)."""

from __future__ import annotations

import msgspec

from gw.core.settings import Security
from gw.store.rows import UserRow


def old_passwords(user: UserRow) -> list[str]:
    """Return the hashes of earlier passwords, newest last."""
    found: list[str] = msgspec.json.decode(user.old_passwords or "[]", type=list[str])
    return found


def with_present(user: UserRow, rules: Security) -> str:
    """Return `old_passwords` of a user whose present password is being replaced."""
    used = [*old_passwords(user), user.password]
    kept = used[-rules.password_history :] if rules.password_history else []
    return msgspec.json.encode(kept).decode()
