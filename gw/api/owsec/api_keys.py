"""/apiKey/{uuid}: API keys of a user (security.md 4).

Unlike the reference, a key is told once, when it is made: only its hash is kept. Its rights are
enforced: see gw.security.scopes.
"""

from __future__ import annotations

import re
import time
import uuid as uuids
from typing import Any, Final

import msgspec
from litestar import delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath

from gw.api import body, query
from gw.api.authentication import Caller
from gw.api.context import Context
from gw.api.documented import documented
from gw.api.envelope import Answer, AnyRequest, document, empty
from gw.api.owsec.accounts import Accounts
from gw.core.errors import ApiError
from gw.security import scopes
from gw.security.roles import Role
from gw.security.tokens import new_token, token_hash
from gw.store.rows import ApiKeyRow

_TAG = "API keys"
_NAME: Final = re.compile(r"[A-Za-z0-9]{1,64}\Z")
_HINT: Final = 8
_MAX_DESCRIPTION: Final = 1000
_LATEST: Final = 1 << 40


class ApiKeyDocument(msgspec.Struct, rename="camel", kw_only=True):
    """An API key."""

    id: str = ""
    user_uuid: str = ""
    name: str = ""
    api_key: str = ""
    """The key itself in the answer that makes it, later only how it begins."""
    salt: str = ""
    description: str = ""
    expires_on: int = 0
    """Unix time, seconds."""
    rights: scopes.Rights = msgspec.field(default_factory=scopes.Rights)
    last_use: int = 0
    """Unix time, precise to a minute or so; 0: never."""


class ApiKeysAnswer(msgspec.Struct, rename="camel"):
    """Keys by name."""

    api_keys: list[ApiKeyDocument]


class NewApiKey(msgspec.Struct, rename="camel", kw_only=True):
    """A key to be made."""

    name: str = ""
    """Letters and digits."""
    description: str = ""
    expires_on: int = 0
    """Unix time, in the future."""
    rights: scopes.Rights = msgspec.field(default_factory=scopes.Rights)
    """No `acls`: all that its owner may do."""


class ApiKeyChange(msgspec.Struct, rename="camel", kw_only=True):
    """The one thing that changes of a key."""

    id: str = ""
    description: str = ""


class KeyQuery(query.Query):
    """Which key."""

    key_uuid: str = ""


@get(
    "/apiKey/{uuid:str}",
    **documented("List the API keys of a user", tag=_TAG, answer=ApiKeysAnswer),
)
async def list_api_keys(
    context: NamedDependency[Context], caller: NamedDependency[Caller], uuid: FromPath[str]
) -> Answer:
    """Answer all keys of a user. For oneself, or root."""
    _allow(caller, uuid)
    keys = await context.reader.api_keys(uuid)
    return document({"apiKeys": [_document(row) for row in keys]})


@post(
    "/apiKey/{uuid:str}",
    **documented(
        "Make an API key",
        tag=_TAG,
        answer=ApiKeyDocument,
        body=NewApiKey,
        details="The only answer that has the key itself.",
    ),
)
async def create_api_key(
    request: AnyRequest,
    context: NamedDependency[Context],
    caller: NamedDependency[Caller],
    accounts: NamedDependency[Accounts],
    uuid: FromPath[str],
) -> Answer:
    """Make a key, and tell it."""
    _allow(caller, uuid)
    new = await body.read(request, NewApiKey)
    now = int(time.time())
    if not _NAME.match(new.name):
        raise ApiError(1018, "name: 1 to 64 letters and digits")
    if not now < new.expires_on < _LATEST:
        raise ApiError(1018, "expiresOn: a time in the future, in seconds")
    if len(new.description) > _MAX_DESCRIPTION:
        raise ApiError(1018, f"description: {_MAX_DESCRIPTION} characters at most")
    if fault := scopes.fault_of(new.rights):
        raise ApiError(1018, fault)
    key = new_token()
    async with accounts.exclusive(uuid):
        if await context.reader.user(uuid) is None:
            raise ApiError(1149)
        present = await context.reader.api_keys(uuid)
        name = new.name.lower()
        if any(row.name == name for row in present):
            raise ApiError(1147)
        most = context.settings.security.max_api_keys
        if len(present) >= most:
            raise ApiError(1148, f"{most} per user")
        row = ApiKeyRow(
            id=str(uuids.uuid4()),
            user_id=uuid,
            name=name,
            description=new.description,
            key_hash=token_hash(key),
            hint=key[:_HINT],
            rights=msgspec.json.encode(new.rights).decode(),
            created=now,
            expires_on=new.expires_on,
        )
        await accounts.put_api_key(row)
    return document(_document(row) | {"apiKey": key})


@put(
    "/apiKey/{uuid:str}",
    **documented(
        "Change the description of an API key",
        tag=_TAG,
        answer=ApiKeyDocument,
        query=KeyQuery,
        body=ApiKeyChange,
    ),
)
async def change_api_key(
    request: AnyRequest,
    context: NamedDependency[Context],
    caller: NamedDependency[Caller],
    accounts: NamedDependency[Accounts],
    uuid: FromPath[str],
) -> Answer:
    """Change the description, and answer the key as it is now."""
    _allow(caller, uuid)
    change = await body.read(request, ApiKeyChange)
    id = change.id or query.read(request.scope, KeyQuery).key_uuid
    if not id:
        raise ApiError(1037)
    if len(change.description) > _MAX_DESCRIPTION:
        raise ApiError(1018, f"description: {_MAX_DESCRIPTION} characters at most")
    async with accounts.exclusive(uuid):
        row = await _find(context, uuid, id)
        if row is None:
            raise ApiError(1150)
        row.description = change.description
        await accounts.put_api_key(row)
    return document(_document(row))


@delete("/apiKey/{uuid:str}", **documented("Delete an API key", tag=_TAG, query=KeyQuery))
async def delete_api_key(
    request: AnyRequest,
    context: NamedDependency[Context],
    caller: NamedDependency[Caller],
    accounts: NamedDependency[Accounts],
    uuid: FromPath[str],
) -> Answer:
    """Delete a key; it is refused from here on."""
    _allow(caller, uuid)
    id = query.read(request.scope, KeyQuery).key_uuid
    if not id:
        raise ApiError(1018, "keyUuid is needed")
    async with accounts.exclusive(uuid):
        row = await _find(context, uuid, id)
        if row is None:
            raise ApiError(404)
        await accounts.delete_api_key(row)
    return empty()


def _allow(caller: Caller, user_id: str) -> None:
    if caller.role != Role.ROOT and (caller.internal or caller.id != user_id):
        raise ApiError(7)


async def _find(context: Context, user_id: str, id: str) -> ApiKeyRow | None:
    return next((row for row in await context.reader.api_keys(user_id) if row.id == id), None)


def _document(row: ApiKeyRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "userUuid": row.user_id,
        "name": row.name,
        "apiKey": f"{row.hint}...",
        "salt": "",
        "description": row.description,
        "expiresOn": row.expires_on,
        "rights": msgspec.Raw(row.rights.encode()),
        "lastUse": row.last_use,
    }
