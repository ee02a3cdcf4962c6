"""The first user, without whom nobody could sign in to make others."""

from __future__ import annotations

import time
from typing import Final

from argon2 import PasswordHasher

from gw.core import settings
from gw.security.passwords import PasswordRules, argon2
from gw.security.roles import Role
from gw.store.rows import UserRow

ADMINISTRATOR_ID: Final = "11111111-0000-0000-6666-999999999999"
"""Fixed: integrations of owsec know the first user by it."""


def first_administrator(
    rules: settings.Security,
    environment_password: str | None,
    *,
    now: int | None = None,
    hasher: PasswordHasher | None = None,
) -> tuple[UserRow, str | None]:
    """Return the first user, to be stored by the caller, and a password to be shown once.

    With `environment_password` (GW_ADMIN_PASSWORD; empty counts as none) nothing is to be shown
    and no change is demanded; whoever installs the gateway answers for it, so the pattern is not
    applied. Hashing takes some 50 ms: call it before the loop has work, or in a thread.
    """
    shown = None if environment_password else PasswordRules(rules).generate()
    password = environment_password or shown or ""
    created = int(time.time()) if now is None else now
    user = UserRow(
        id=ADMINISTRATOR_ID,
        email=rules.administrator.strip().lower(),
        name="Administrator",
        role=Role.ROOT.value,
        password=(hasher or argon2()).hash(password),
        change_password=shown is not None,
        created=created,
        modified=created,
    )
    return user, shown
