"""/validateToken and its kin: whose a token or a key is, for other services (security.md 1.2)."""

from __future__ import annotations

import time

import msgspec
from litestar import get
from litestar.di import NamedDependency

from gw.api import query
from gw.api.context import Context
from gw.api.documented import documented
from gw.api.envelope import Answer, AnyRequest, document
from gw.api.owsec.accounts import Accounts
from gw.api.owsec.user_document import UserDocument, user_document
from gw.api.owsec.web_token import WebToken, web_token
from gw.core.errors import ApiError
from gw.security.tokens import token_hash

_TAG = "Sessions"


class ValidateQuery(query.Query):
    """The token to resolve."""

    token: str = ""


class ValidateKeyQuery(query.Query):
    """The key to resolve."""

    apikey: str = msgspec.field(name="apikey", default="")


class Validated(msgspec.Struct, rename="camel"):
    """A token and its user; `tokenInfo.username` is the id of the user."""

    token_info: WebToken
    user_info: UserDocument


class ValidatedKey(msgspec.Struct, rename="camel"):
    """An API key and its owner."""

    token_info: WebToken
    user_info: UserDocument
    expires_on: int


@get(
    "/validateToken",
    **documented("Resolve a token", tag=_TAG, answer=Validated, query=ValidateQuery),
)
async def validate_token(
    request: AnyRequest, context: NamedDependency[Context], accounts: NamedDependency[Accounts]
) -> Answer:
    """Answer a token and its user; an expired one too, for the caller to judge."""
    token = query.read(request.scope, ValidateQuery).token
    row = await accounts.session(token) if token else None
    user = await context.reader.user(row.user_id) if row is not None else None
    if row is None or user is None:
        raise ApiError(404)
    info = web_token(row, access=token, username=user.id)
    return document({"tokenInfo": info, "userInfo": user_document(user)})


@get(
    "/validateApiKey",
    **documented("Resolve an API key", tag=_TAG, answer=ValidatedKey, query=ValidateKeyQuery,
                 details="403: `ErrorCode` 15 its owner is suspended, 7 it is not valid."),
)  # fmt: skip
async def validate_api_key(request: AnyRequest, context: NamedDependency[Context]) -> Answer:
    """Answer the owner of a key that is valid now."""
    key = query.read(request.scope, ValidateKeyQuery).apikey
    if not key:
        raise ApiError(404)
    row = await context.reader.api_key(token_hash(key))
    user = await context.reader.user(row.user_id) if row is not None else None
    if row is None or user is None or row.expires_on <= time.time():
        raise ApiError(7)
    if user.suspended:
        raise ApiError(15)
    info = WebToken(
        access_token=key,
        created=row.created,
        expires_in=row.expires_on - row.created,
        username=user.id,
    )
    answer = {"tokenInfo": info, "userInfo": user_document(user), "expiresOn": row.expires_on}
    return document(answer)
