"""Writes of the security service: API keys, mailed links, pictures, secrets, audit."""

from __future__ import annotations

from gw.store import rows
from gw.store.interface import Op


class PutSubscriber(Op):
    """Insert or replace."""

    row: rows.UserRow


class DeleteSubscriber(Op):
    """Delete a subscriber, with all that is the subscriber's."""

    id: str


class PutApiKey(Op):
    """Insert or replace."""

    row: rows.ApiKeyRow


class SetApiKeyUse(Op):
    """Note when a key was last used; absent key: no effect."""

    id: str
    last_use: int


class DeleteApiKey(Op):
    """Delete one key of a user."""

    id: str
    user_id: str


class PutActionLink(Op):
    """Insert a link, and drop the user's other links for the same action."""

    row: rows.ActionLinkRow


class DeleteActionLinks(Op):
    """Delete all links of a user: one of them was used, or what they were for is over."""

    user_id: str


class PutAvatar(Op):
    """Insert or replace."""

    row: rows.AvatarRow


class DeleteAvatar(Op):
    """Delete the picture of a user."""

    user_id: str


class PutSecret(Op):
    """Insert or replace."""

    row: rows.SecretRow


class DeleteSecret(Op):
    """Delete by name."""

    name: str


class InsertAudit(Op):
    """Add an entry; one that is there already stays as it is. `row.id` is given by the store."""

    row: rows.AuditRow


class SetAuditResult(Op):
    """Note how a request ended; a result that is there already stays."""

    entry: str
    result: int
    detail: str
