"""/oauth2: sign in, refresh, sign out (security.md 2)."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from gw.api import author, body, query
from gw.api.authentication import Caller, bearer
from gw.api.context import Context
from gw.api.documented import Combined, documented
from gw.api.envelope import Answer, AnyRequest, Success, document, empty, success
from gw.api.owsec.accounts import Accounts
from gw.api.owsec.logins import CountLogin
from gw.api.owsec.mfa import ChallengeDocument
from gw.api.owsec.sign_in import SignIn
from gw.api.owsec.throttle import Throttle
from gw.api.owsec.user_document import UserDocument, user_document
from gw.api.owsec.web_token import WebToken
from gw.core.errors import ApiError
from gw.security.tokens import token_hash

_TAG = "Sessions"
MAX_LOGIN_BYTES: Final = 16_384
"""Nobody is authenticated yet, so bodies are short."""


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
    uuid: str = ""
    """Of the challenge that is answered."""
    answer: str = ""
    """Code of the second factor."""


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
        answer=Combined("anyOf", (WebToken, ChallengeDocument, Requirements, Success)),
        query=LoginQuery,
        body=LoginBody,
        public=True,
        details="403: `ErrorCode` 1 send `newPassword` as well, 2 unknown user or wrong "
        "password, 5 `newPassword` breaks the rules, 3 it was used before, 4 the address is not "
        "verified yet, 11 unknown challenge, 12 wrong code, 10 too many attempts.",
    ),
)
async def sign_in(
    request: AnyRequest,
    context: NamedDependency[Context],
    signing: NamedDependency[SignIn],
    throttle: NamedDependency[Throttle],
    count_login: NamedDependency[CountLogin],
) -> Answer:
    """Answer the first form that the parameters ask for."""
    asked = query.read(request.scope, LoginQuery)
    refresh = asked.grant_type == "refresh_token"
    if asked.requirements and not refresh:
        return document(Requirements(context.settings.security.password_pattern))
    signs_in = not (refresh or asked.forgot_password or asked.resend_mfa_code)
    try:
        throttle.check(request.client.host if request.client else "")
    except ApiError:
        if signs_in:
            count_login(False)
        raise
    given = await body.read(request, LoginBody)
    if refresh:
        return document(await signing.refresh(bearer(request), given.refresh_token))
    if asked.forgot_password:
        signing.forgotten(given.user_id)
        return document(_no_token())
    if asked.resend_mfa_code:
        await signing.resend(given.uuid)
        return success(request.method)
    try:
        if asked.complete_mfa_challenge:
            answer = await signing.by_second_factor(given.uuid, given.answer)
        else:
            answer = await signing.by_password(given.user_id, given.password, given.new_password)
    except BaseException:
        count_login(False)
        raise
    if isinstance(answer, WebToken):
        count_login(True)  # a challenge is counted when it is answered
    return document(answer)


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
    request: AnyRequest,
    context: NamedDependency[Context],
    accounts: NamedDependency[Accounts],
    token: FromPath[str],
) -> Answer:
    """End the session of the bearer token, which must be the one of the path."""
    if token != bearer(request):
        raise ApiError(1018, "the token of the path is not the one of the Authorization header")
    # Nobody is authenticated here: an unknown token must not cost the coordinator anything.
    session = await accounts.session(token)
    if session is not None:
        user = await context.reader.user(session.user_id)
        author.identify(user.email if user else "", user.role if user else "")
        await accounts.close_session(token_hash(token), token)
    answer = empty(204)
    answer.headers["connection"] = "close"
    return answer


def _no_token() -> dict[str, Any]:
    empty_token: dict[str, Any] = msgspec.to_builtins(WebToken(user_must_change_password=True))
    return empty_token
