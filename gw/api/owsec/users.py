"""/users and GET /user/{id}: reading users (security.md 3.2)."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath

from gw.api import query
from gw.api.authentication import Caller
from gw.api.context import Context
from gw.api.documented import documented
from gw.api.envelope import Answer, AnyRequest, document
from gw.api.owsec.user_document import UserDocument, user_document
from gw.core.errors import ApiError
from gw.security.roles import may_read_users
from gw.store.rows import UserRow

_TAG = "Users"


class UsersQuery(query.Page):
    """Parameters of the list of users."""

    select: list[str] = msgspec.field(default_factory=list)
    """Ids, separated by commas; replaces offset and limit."""
    id_only: bool = False
    name_search: str = ""
    """Part of the name, in any case."""
    email_search: str = ""


class UserQuery(query.Query):
    """Parameters of one user."""

    by_email: bool = False
    """The id of the path is an e-mail address."""


class UsersAnswer(msgspec.Struct):
    """Users by e-mail; with `idOnly` their ids."""

    users: list[UserDocument | str]


@get("/users", **documented("List users", tag=_TAG, answer=UsersAnswer, query=UsersQuery))
async def list_users(
    request: AnyRequest, context: NamedDependency[Context], caller: NamedDependency[Caller]
) -> Answer:
    """Answer a page of users. Root, admin and partner only."""
    _allow(caller)
    asked = query.read(request.scope, UsersQuery)
    if asked.select:
        ids = query.chosen(asked.select, context.max_page)
        found = [row for id in ids if (row := await context.reader.user(id)) is not None]
    elif asked.name_search or asked.email_search:
        found = await _search(context, asked)
    else:
        limit = query.bounded(asked.limit, context.max_page)
        found = await context.reader.users(offset=asked.offset, limit=limit) if limit else []
    answers: list[Any] = [row.id if asked.id_only else user_document(row) for row in found]
    return document({"users": answers})


@get(
    "/user/{id:str}",
    **documented("Read a user", tag=_TAG, answer=UserDocument, query=UserQuery),
)
async def read_user(
    request: AnyRequest,
    context: NamedDependency[Context],
    caller: NamedDependency[Caller],
    id: FromPath[str],
) -> Answer:
    """Answer one user. Root, admin and partner only, even for oneself."""
    _allow(caller)
    if query.read(request.scope, UserQuery).by_email:
        row = await context.reader.user_by_email(id.strip().lower())
    else:
        row = await context.reader.user(id)
    if row is None:
        raise ApiError(404)
    return document(user_document(row))


def _allow(caller: Caller) -> None:
    if not (caller.internal or may_read_users(caller.role)):
        raise ApiError(7)


async def _search(context: Context, asked: UsersQuery) -> list[UserRow]:
    """Return the page of the users that match; all are looked at, some at a time."""
    limit = query.bounded(asked.limit, context.max_page)
    name, email = asked.name_search.lower(), asked.email_search.lower()
    found: list[UserRow] = []
    at = 0
    while len(found) < asked.offset + limit:
        page = await context.reader.users(offset=at, limit=context.max_page)
        if not page:
            break
        at += len(page)
        found += [row for row in page if name in row.name.lower() and email in row.email]
    return found[asked.offset : asked.offset + limit]
