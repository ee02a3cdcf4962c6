"""/oauth2: sign in, refresh, sign out (security.md 2)."""

from __future__ import annotations

import time
from typing import Any, Final

import msgspec
import structlog
from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from gw.api import author, body, query
from gw.api.authentication import Caller, bearer
from gw.api.context import Context
from gw.api.documented import documented
from gw.api.envelope import Answer, AnyRequest, document, empty
from gw.api.owsec.accounts import Accounts
from gw.api.owsec.history import old_passwords, with_present
from gw.api.owsec.logins import CountLogin
from gw.api.owsec.throttle import Throttle
from gw.api.owsec.user_document import UserDocument, rest_of, user_document
from gw.api.owsec.web_token import WebToken, web_token
from gw.core.errors import ApiError
from gw.security import tokens
from gw.security.passwords import Passwords
from gw.security.tokens import token_hash
from gw.store.rows import UserRow

_log = structlog.get_logger("gw.api.oauth2")

_TAG = "Sessions"
MAX_LOGIN_BYTES: Final = 16_384
"""Nobody is authenticated yet, so bodies are short."""
_MAX_EMAIL: Final = 320


class LoginQuery(query.Query):
    """What is asked of POST; none of them: sign in."""

    grant_type: str = msgspec.field(name="grant_type", default="")
    """refresh_token"""
    requirements: bool = False
    forgot_password: bool = False
    resend_mfa_code: bool = msgspec.field(name="resendMFACode", default=False)
    complete_mfa_challenge: bool = msgspec.field(name="completeMFAChallenge", default=False)


class LoginBody(msgspec.Struct, rename="camel", kw_only=True):
    """Credentials, or a refresh token."""

    user_id: str = ""
    """E-mail address."""
    password: str = ""
    new_password: str | None = None
    """Changes the password as well."""
    refresh_token: str = ""


class Requirements(msgspec.Struct, rename="camel"):
    """What a password must look like."""

    password_pattern: str
    access_policy: str = "/wwwassets/access_policy.html"
    password_policy: str = "/wwwassets/password_policy.html"  # noqa: S105 - a path


class MeQuery(query.Query):
    """Parameters of GET."""

    me: bool = False


@post(
    "/oauth2",
    request_max_body_size=MAX_LOGIN_BYTES,
    **documented(
        "Sign in, refresh, or ask for the password rules",
        tag=_TAG,
        answer=WebToken,
        query=LoginQuery,
        body=LoginBody,
        public=True,
        details="403: `ErrorCode` 1 send `newPassword` as well, 2 unknown user or wrong "
        "password, 5 `newPassword` breaks the rules, 3 it was used before, 10 too many attempts.",
    ),
)
async def sign_in(
    request: AnyRequest,
    context: NamedDependency[Context],
    accounts: NamedDependency[Accounts],
    passwords: NamedDependency[Passwords],
    throttle: NamedDependency[Throttle],
    count_login: NamedDependency[CountLogin],
) -> Answer:
    """Answer the first form that the parameters ask for."""
    asked = query.read(request.scope, LoginQuery)
    refresh = asked.grant_type == "refresh_token"
    if asked.requirements and not refresh:
        return document(Requirements(context.settings.security.password_pattern))
    signs_in = not (
        refresh or asked.forgot_password or asked.resend_mfa_code or asked.complete_mfa_challenge
    )
    if not throttle.allows(request.client.host if request.client else ""):
        if signs_in:
            count_login(False)
        raise ApiError(10)
    given = await body.read(request, LoginBody)
    if refresh:
        return await _refresh(request, context, accounts, given.refresh_token)
    if asked.forgot_password:
        # The same answer whether or not the user exists. There is no mailer in this version.
        return document(_no_token())
    if asked.resend_mfa_code:
        raise ApiError(11)
    if asked.complete_mfa_challenge:
        raise ApiError(12)
    signed_in = False
    try:
        answer = await _log_in(context, accounts, passwords, given)
        signed_in = True
    finally:
        count_login(signed_in)
    return answer


@get(
    "/oauth2",
    **documented("Read who is signed in", tag=_TAG, answer=UserDocument, query=MeQuery),
)
async def read_caller(
    request: AnyRequest, context: NamedDependency[Context], caller: NamedDependency[Caller]
) -> Answer:
    """Answer the caller's own user."""
    if not query.read(request.scope, MeQuery).me:
        raise ApiError(1050)
    row = await context.reader.user(caller.id)
    if row is None:
        raise ApiError(8)
    return document(user_document(row))


@delete(
    "/oauth2/{token:str}",
    **documented("Sign out", tag=_TAG, status=204, public=True),
)
async def sign_out(
    request: AnyRequest, accounts: NamedDependency[Accounts], token: FromPath[str]
) -> Answer:
    """End the session of the bearer token, which must be the one of the path."""
    if token != bearer(request):
        raise ApiError(1018, "the token of the path is not the one of the Authorization header")
    # Nobody is authenticated here: an unknown token must not cost the coordinator anything.
    if await accounts.session(token) is not None:
        await accounts.close_session(token_hash(token))
    answer = empty(204)
    answer.headers["connection"] = "close"
    return answer


async def _log_in(
    context: Context, accounts: Accounts, passwords: Passwords, given: LoginBody
) -> Answer:
    """Test as security.md 2.1 says, but the password first, and hash it in every case.

    So nobody without the password learns that a user exists, or is suspended.
    """
    rules = context.settings.security
    email = given.user_id.strip().lower()
    user = await context.reader.user_by_email(email) if len(email) <= _MAX_EMAIL else None
    right = await passwords.verify("" if user is None else user.password, given.password)
    if user is None or not right:
        raise ApiError(2)
    author.identify(user.email, user.role)
    if user.suspended:
        raise ApiError(15)
    if user.waiting_for_email_check:
        raise ApiError(4)
    new = given.new_password or None
    if new is None and user.change_password:
        raise ApiError(1)
    new_hash = ""
    if new is not None:
        new_hash = await _new_hash(passwords, user, given.password, new)
    elif passwords.needs_rehash(user.password):
        new_hash = await passwords.hash(given.password)
    verified = user.password
    async with accounts.change(user.id) as row:
        if row.password != verified or row.suspended:
            raise ApiError(2)  # changed by another request meanwhile
        if new is not None:
            row.old_passwords = with_present(row, rules)
            row.change_password = False
            rest = rest_of(row) | {"lastPasswordChange": int(time.time())}
            row.document = msgspec.json.encode(rest).decode()
        if new_hash:
            row.password = new_hash
        row.last_login = int(time.time())
    if new is not None:
        # Whoever knew the old password may have signed in with it.
        await accounts.close_sessions(row.id)
    issued = await accounts.open_session(row)
    _log.info("signed in", email=row.email, changed=new is not None)
    return document(
        web_token(issued.row, access=issued.access, refresh=issued.refresh, username=row.email)
    )


async def _new_hash(passwords: Passwords, user: UserRow, present: str, new: str) -> str:
    """Return the hash of a new password. Raises ApiError 5 or 3 if it is not acceptable."""
    if not passwords.is_acceptable(new):
        raise ApiError(5)
    if new == present or await passwords.was_used(new, old_passwords(user)):
        raise ApiError(3)
    return await passwords.hash(new)


async def _refresh(
    request: AnyRequest, context: Context, accounts: Accounts, refresh: str
) -> Answer:
    """Replace a session by a new one; both of its tokens must be shown."""
    if not refresh or len(refresh) > _MAX_EMAIL:
        raise ApiError(14)
    old = await context.reader.token_by_refresh(token_hash(refresh))
    if old is None or old.access_hash != token_hash(bearer(request)):
        raise ApiError(14)
    async with accounts.exclusive(old.user_id):
        # Read again: of two refreshes with one token, the second must find it used.
        session = await context.reader.token_by_refresh(old.refresh_hash)
        user = await context.reader.user(old.user_id)
        if session is None or user is None:
            raise ApiError(14)
        if tokens.is_refresh_expired(session, int(time.time())):
            raise ApiError(14)
        if user.suspended:
            raise ApiError(15)
        issued = await accounts.open_session(user, refreshed=True)
        await accounts.close_session(session.access_hash)
    return document(
        web_token(issued.row, access=issued.access, refresh=issued.refresh, username=user.email)
    )


def _no_token() -> dict[str, Any]:
    empty_token: dict[str, Any] = msgspec.to_builtins(WebToken(user_must_change_password=True))
    return empty_token
