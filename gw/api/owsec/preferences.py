"""/preferences: what the UI keeps for its user (security.md 5)."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from litestar import get, put
from litestar.di import NamedDependency

from gw.api import body
from gw.api.authentication import Caller
from gw.api.context import Context
from gw.api.documented import documented
from gw.api.envelope import Answer, AnyRequest, document
from gw.api.owsec.accounts import Accounts
from gw.api.owsec.user_document import PREFERENCES, rest_of
from gw.core.errors import ApiError

_TAG = "Users"
MAX_BYTES = 32_768
"""They are a part of the user's row, which goes to the coordinator as a whole (64 KiB at most)."""


class Preference(msgspec.Struct):
    """One choice."""

    tag: str
    value: str


class PreferencesDocument(msgspec.Struct):
    """The choices of a user."""

    id: str
    modified: int
    data: list[Preference]


class PreferencesBody(msgspec.Struct):
    """Replaces all choices."""

    data: list[Preference] = msgspec.field(default_factory=list)


@get(
    "/preferences",
    **documented("Read the caller's preferences", tag=_TAG, answer=PreferencesDocument),
)
async def read_preferences(
    context: NamedDependency[Context], caller: NamedDependency[Caller]
) -> Answer:
    """Answer the choices of the caller."""
    row = await context.reader.user(caller.id)
    if row is None:
        raise ApiError(8)
    return document(_document(caller.id, rest_of(row).get(PREFERENCES)))


@put(
    "/preferences",
    request_max_body_size=MAX_BYTES,
    **documented(
        "Replace the caller's preferences",
        tag=_TAG,
        answer=PreferencesDocument,
        body=PreferencesBody,
    ),
)
async def replace_preferences(
    request: AnyRequest, caller: NamedDependency[Caller], accounts: NamedDependency[Accounts]
) -> Answer:
    """Store the choices of the caller and answer them."""
    given = await body.read(request, PreferencesBody)
    kept = {"modified": int(time.time()), "data": msgspec.to_builtins(given.data)}
    async with accounts.change(caller.id) as row:
        row.document = msgspec.json.encode(rest_of(row) | {PREFERENCES: kept}).decode()
    return document(_document(caller.id, kept))


def _document(user_id: str, kept: Any) -> dict[str, Any]:
    kept = kept if isinstance(kept, dict) else {}
    return {"id": user_id, "modified": kept.get("modified", 0), "data": kept.get("data", [])}
