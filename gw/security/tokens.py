"""Access and refresh tokens: opaque, random, and kept only as a hash."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final, NamedTuple

from gw.core import settings
from gw.store.rows import TokenRow

TOKEN_BYTES: Final = 32


class Issued(NamedTuple):
    """A new session. The two tokens are told to the user once; the row is what is kept."""

    access: str
    refresh: str
    row: TokenRow


def new_token() -> str:
    """Return 256 random bits as 64 hexadecimal digits."""
    return secrets.token_hex(TOKEN_BYTES)


def token_hash(token: str) -> str:
    """Return the form in which a token is kept and looked up.

    A plain SHA-256 is enough: there is nothing to guess in 256 random bits. Comparing hashes
    by an index of the database tells an attacker nothing about the token either.
    """
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def issue(user_id: str, rules: settings.Security, now: int, *, refreshed: bool = False) -> Issued:
    """Return a new session of a user. `refreshed`: it takes the place of an older one."""
    access, refresh = new_token(), new_token()
    row = TokenRow(
        access_hash=token_hash(access),
        refresh_hash=token_hash(refresh),
        user_id=user_id,
        created=now,
        expires=now + rules.token_seconds,
        refresh_expires=now + rules.refresh_seconds,
        last_refresh=now if refreshed else 0,
    )
    return Issued(access, refresh, row)


def is_expired(row: TokenRow, now: int) -> bool:
    """Tell whether the access token is over."""
    return now >= row.expires


def is_refresh_expired(row: TokenRow, now: int) -> bool:
    """Tell whether the refresh token is over."""
    return now >= row.refresh_expires
