"""Signing in, and what is tried again: the conversation around a call, without any sending.

A generator asks for what is to be sent or waited for, and is told what came of it; the two
clients only do as it says.
"""

from __future__ import annotations

import random
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Final, TypeVar

import msgspec

from gw.api.owsec.web_token import WebToken
from gw.client.call import Call, Reply, body, nothing, path
from gw.client.errors import ApiError, UnexpectedAnswerError, UnreachableError, refusal
from gw.client.options import Options

T = TypeVar("T")

_FIRST_PAUSE: Final = 0.2
_BUSY: Final = frozenset((502, 503, 504))
_TOO_MANY: Final = 10
_INVALID_TOKEN, _EXPIRED_TOKEN, _REFRESH_REFUSED = 8, 9, 14
_SIGN_IN_AGAIN: Final = frozenset((_INVALID_TOKEN, _EXPIRED_TOKEN))


@dataclass(frozen=True)
class Send:
    """Send this, and tell the Reply or the Fault."""

    method: str
    url: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    params: dict[str, str]
    timeout: float
    """Seconds for the answer."""


@dataclass(frozen=True)
class Pause:
    """Wait so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Enter:
    """See to it that somebody signs in, one at a time, unless `seen` is outdated by then."""

    seen: str = field(repr=False)
    """The access token that was no good; empty: there was none."""


@dataclass(frozen=True)
class Fault:
    """Nothing came back."""

    error: Exception
    unsent: bool
    """There was no connection, so nothing was carried out."""


Steps = Generator[Send | Pause | Enter, Reply | Fault | None, T]


class Session:
    """Who calls, with the tokens of the moment."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self.access = options.token
        self._refresh = ""

    def perform(self, call: Call[T]) -> Steps[T]:
        """Carry out a call.

        Raises ApiError, UnreachableError and UnexpectedAnswerError. What may have been carried
        out is not repeated unless it is repeatable.
        """
        signs_in = bool(self._options.user)
        if signs_in and not self.access:
            yield Enter("")
        tries, renewed = 0, False
        while True:
            used = self.access
            came = yield self._request(call, used)
            if isinstance(came, Reply) and came.status < 400:
                return call.read(came)
            pause = _FIRST_PAUSE * 2**tries * random.uniform(1, 2)  # noqa: S311 - no secret
            if isinstance(came, Reply):
                error = refusal(came.status, came.headers, came.body)
                if signs_in and not renewed and _no_longer_signed_in(error):
                    renewed = True
                    yield Enter(used)
                    continue
                pause = max(pause, error.retry_after)
                again = _refused_for_now(error, call)
                if not again or tries >= self._options.retries or self._too_long(pause):
                    raise error
            elif isinstance(came, Fault):
                again = came.unsent or call.repeatable
                if not again or tries >= self._options.retries:
                    kind = type(came.error).__name__
                    text = f"{call.method} /{call.path}: {came.error or kind}"
                    raise UnreachableError(text) from came.error
            tries += 1
            yield Pause(pause)

    def enter(self) -> Steps[None]:
        """Refresh the session, or sign in with the password. Raises as `perform` does."""
        if self._refresh:
            token = yield from self._ask(
                {"grant_type": "refresh_token"}, body(refreshToken=self._refresh), self.access
            )
            if token is not None:
                self._take(token)
                return
        token = yield from self._ask(
            {}, body(userId=self._options.user, password=self._options.password), ""
        )
        if token is None or not token.access_token:
            raise UnexpectedAnswerError("a second factor is asked for: use an API key or a token")
        self._take(token)

    def leave(self) -> Steps[None]:
        """End the session, and forget it here in any case. Raises as `perform` does."""
        ended, self.access, self._refresh = self.access, "", ""
        if not ended:
            return
        call = Call(method="DELETE", path=path("oauth2", ended), read=nothing, service="security")
        came = yield self._request(call, ended)
        if isinstance(came, Fault):
            raise UnreachableError(f"sign-out: {came.error}") from came.error
        if isinstance(came, Reply) and came.status >= 400:
            raise refusal(came.status, came.headers, came.body)

    def _ask(self, params: dict[str, str], given: bytes, access: str) -> Steps[WebToken | None]:
        """Ask for a token; None: the refresh token is no good any more, or there is a challenge."""
        call = Call(
            method="POST",
            path="oauth2",
            read=_read_token,
            params=params,
            body=given,
            service="security",
        )
        tries = 0
        while True:
            came = yield self._request(call, access)
            if isinstance(came, Reply) and came.status < 400:
                return call.read(came)
            if isinstance(came, Reply):
                error = refusal(came.status, came.headers, came.body)
                if access and error.number in (*_SIGN_IN_AGAIN, _REFRESH_REFUSED):
                    self._refresh = ""
                    return None
                raise error
            if isinstance(came, Fault) and not (came.unsent and tries < self._options.retries):
                raise UnreachableError(f"sign-in: {came.error}") from came.error
            yield Pause(_FIRST_PAUSE * 2**tries)
            tries += 1

    def _take(self, token: WebToken) -> None:
        self.access, self._refresh = token.access_token, token.refresh_token

    def _request(self, call: Call[T], access: str) -> Send:
        headers = {"Accept": "application/json, */*"}
        if call.body:
            headers["Content-Type"] = "application/json"
        if self._options.api_key:
            headers["X-API-KEY"] = self._options.api_key
        elif access:
            headers["Authorization"] = f"Bearer {access}"
        return Send(
            method=call.method,
            url=f"{self._options.base(call.service)}/api/v1/{call.path}",
            headers=headers,
            body=call.body,
            params=dict(call.params or {}),
            timeout=self._options.timeout + call.patience,
        )

    def _too_long(self, seconds: float) -> bool:
        return seconds > self._options.longest_wait


def _no_longer_signed_in(error: ApiError) -> bool:
    return error.status == 403 and error.number in _SIGN_IN_AGAIN


def _refused_for_now(error: ApiError, call: Call[T]) -> bool:
    """Tell whether it may be sent again: a limit refuses before anything is done."""
    if error.status == 429 or (error.status == 403 and error.number == _TOO_MANY):
        return True
    return call.repeatable and error.status in _BUSY


def _read_token(reply: Reply) -> WebToken | None:
    try:
        token = msgspec.json.decode(reply.body, type=WebToken)
    except msgspec.DecodeError as error:
        raise UnexpectedAnswerError(f"the sign-in is not as documented: {error}") from error
    return token if token.access_token else None
