"""The WebToken object of security.md 1.1: what a session looks like from outside."""

from __future__ import annotations

from typing import Final

import msgspec

from gw.store.rows import TokenRow

_IDLE_SECONDS: Final = 300
_ALL_RIGHTS: Final = {
    "Read": True,
    "ReadWrite": True,
    "ReadWriteCreate": True,
    "Delete": True,
    "PortalLogin": True,
}


class WebToken(msgspec.Struct, kw_only=True):
    """A session."""

    access_token: str = ""
    refresh_token: str = ""
    token_type: str = "Bearer"  # noqa: S105 - a word of the protocol
    expires_in: int = 0
    """Seconds from `created`."""
    idle_timeout: int = _IDLE_SECONDS
    created: int = 0
    username: str = ""
    user_must_change_password: bool = msgspec.field(name="userMustChangePassword", default=False)
    error_code: int = msgspec.field(name="errorCode", default=0)
    last_refresh: int = msgspec.field(name="lastRefresh", default=0)
    acl_template: dict[str, bool] = msgspec.field(
        name="aclTemplate", default_factory=lambda: dict(_ALL_RIGHTS)
    )


def web_token(row: TokenRow, *, access: str, username: str, refresh: str = "") -> WebToken:
    """Return the answer that tells a client its session."""
    return WebToken(
        access_token=access,
        refresh_token=refresh,
        expires_in=row.expires - row.created,
        created=row.created,
        username=username,
        last_refresh=row.last_refresh,
    )
