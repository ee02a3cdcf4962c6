"""The writes of the security service in SQL that every database understands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from gw.store import rows
from gw.store import security_ops as ops
from gw.store.interface import Op
from gw.store.tables import Table

SUBSCRIBERS: Final = Table("subscribers", rows.UserRow, "id")
API_KEYS: Final = Table("api_keys", rows.ApiKeyRow, "id")
AVATARS: Final = Table("avatars", rows.AvatarRow, "user_id")
SECRETS: Final = Table("system_secrets", rows.SecretRow, "name")
LINKS: Final = Table("action_links", rows.ActionLinkRow, "link_hash")

OF_USER: Final = ("tokens", "api_keys", "action_links", "avatars")
"""Tables whose rows go with their user, by `user_id`."""

_AUDIT: Final = tuple(name for name in rows.AuditRow.__struct_fields__ if name != "id")
_INSERT_AUDIT: Final = (
    f"INSERT INTO audit ({', '.join(_AUDIT)}) VALUES ({', '.join('?' * len(_AUDIT))}) "  # noqa: S608
    "ON CONFLICT (entry) DO NOTHING"
)


def put_action_link(into: Any, run: Any) -> None:
    """A new link is the only one of its kind that works."""
    for op in run:
        into.execute(
            "DELETE FROM action_links WHERE user_id = ? AND action = ?",
            (op.row.user_id, op.row.action),
        )
        into.execute(LINKS.put, LINKS.cells(op.row))


def insert_audit(into: Any, run: Any) -> None:
    """The id is left to the database."""
    into.executemany(_INSERT_AUDIT, ([getattr(op.row, name) for name in _AUDIT] for op in run))


def delete_user(into: Any, run: Any) -> None:
    """A user goes with all that is the user's."""
    _delete_account(into, run, "users")


def delete_subscriber(into: Any, run: Any) -> None:
    """So does a subscriber."""
    _delete_account(into, run, "subscribers")


def _delete_account(into: Any, run: Any, accounts: str) -> None:
    for table in OF_USER:
        into.executemany(
            f"DELETE FROM {table} WHERE user_id = ?",  # noqa: S608
            ((op.id,) for op in run),
        )
    into.executemany(f"DELETE FROM {accounts} WHERE id = ?", ((op.id,) for op in run))  # noqa: S608


def writers(
    many: Callable[..., Any], put: Callable[..., Any]
) -> dict[type[Op], Callable[[Any, Any], None]]:
    """Return the writers by operation; `many` and `put` make those that are plain."""
    return {
        ops.PutSubscriber: put(SUBSCRIBERS),
        ops.DeleteSubscriber: delete_subscriber,
        ops.PutApiKey: put(API_KEYS),
        ops.SetApiKeyUse: many("UPDATE api_keys SET last_use = ? WHERE id = ?", "last_use", "id"),
        ops.DeleteApiKey: many(
            "DELETE FROM api_keys WHERE id = ? AND user_id = ?", "id", "user_id"
        ),
        ops.PutActionLink: put_action_link,
        ops.DeleteActionLinks: many("DELETE FROM action_links WHERE user_id = ?", "user_id"),
        ops.PutAvatar: put(AVATARS),
        ops.DeleteAvatar: many("DELETE FROM avatars WHERE user_id = ?", "user_id"),
        ops.PutSecret: put(SECRETS),
        ops.DeleteSecret: many("DELETE FROM system_secrets WHERE name = ?", "name"),
        ops.InsertAudit: insert_audit,
        ops.SetAuditResult: many(
            "UPDATE audit SET result = ?, detail = ? WHERE entry = ? AND result = -1",
            *("result", "detail", "entry"),
        ),
    }
