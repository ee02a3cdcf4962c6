"""Tokens and keys resolved by an external owsec, instead of the built-in one (security.md 1.2).

Asked on its private port, with a deadline, at most so many at a time and once per token; answers
are kept for a while. It is asked from the api process, so devices do not notice how slow it is.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

import httpx
import msgspec
import structlog

from gw.api.authentication import Caller
from gw.core.errors import ApiError
from gw.core.settings import Security
from gw.security.tokens import token_hash

_log = structlog.get_logger("gw.api.external_security")

CACHE_SIZE: Final = 10_000
UNKNOWN_SECONDS: Final = 5.0
"""How long an answer `there is no such token` is kept."""
AT_A_TIME: Final = 16
WAITING: Final = 512
"""Requests that wait for the service; one more is refused with 403/13."""
OUTCOMES: Final = ("known", "refused", "failed")
_MAX_SECRET: Final = 4096
"""Of other makers' tokens: some are JWTs."""
_FORBIDDEN: Final = 403
_SUSPENDED: Final = 15

Count = Callable[[str], None]
"""Called with one of OUTCOMES per question to the service."""


Locate = Callable[[], Awaitable[tuple[str, str]]]
"""Returns the private URL of the service and its key. Raises ApiError 13 if there is none."""


def uncounted(_outcome: str) -> None:
    """Take no note of a question."""


class _Token(msgspec.Struct):
    created: int = 0
    expires_in: int = 0


class _User(msgspec.Struct, rename="camel"):
    id: str
    email: str = ""
    user_role: str = ""
    suspended: bool = False


class _Validated(msgspec.Struct, rename="camel"):
    user_info: _User
    token_info: _Token = msgspec.field(default_factory=_Token)
    expires_on: int = 0


class _Refusal(msgspec.Struct):
    error_code: int = msgspec.field(name="ErrorCode", default=0)


class _Entry(msgspec.Struct):
    """What is known of a token or key: its user, or the error it is refused with."""

    until: float
    """End of this entry: monotonic."""
    caller: Caller | None = None
    expires: int = 0
    error: int = 0


class ExternalSecurity:
    """Resolves tokens and API keys. One per api process. Belongs to one event loop."""

    def __init__(
        self,
        settings: Security,
        own_url: str,
        count: Count = uncounted,
        locate: Locate | None = None,
    ) -> None:
        """`own_url` is the public URL of this gateway, by which it introduces itself.

        `locate` finds the service, unless the settings name it. Raises OSError or ssl.SSLError if
        `security.external_ca` cannot be used.
        """
        context = ssl.create_default_context(cafile=settings.external_ca or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._seconds = settings.external_seconds
        self._kept = settings.external_cache_seconds
        self._client = httpx.AsyncClient(
            headers={"X-INTERNAL-NAME": own_url},
            verify=context,
            timeout=settings.external_seconds,
            limits=httpx.Limits(max_connections=AT_A_TIME),
            trust_env=False,
        )
        self._named = (settings.external_url.rstrip("/"), settings.external_key)
        self._locate = locate
        self._count = count
        self._cache: OrderedDict[str, _Entry] = OrderedDict()
        self._asked: dict[str, asyncio.Task[_Entry]] = {}

    async def caller(self, token: str) -> Caller:
        """Return the user of an access token. Raises ApiError 8, 9, 13 or 15."""
        return await self._resolve("validateToken", "token", token)

    async def key_caller(self, key: str) -> Caller:
        """Return the owner of an API key, with the owner's role. Raises ApiError as `caller`."""
        return await self._resolve("validateApiKey", "apikey", key)

    def forget(self, access_hash: str) -> None:
        """Drop a token from the cache: the service told that it was removed."""
        self._cache.pop(f"validateToken {access_hash}", None)

    def forget_user(self, user_id: str) -> None:
        """Drop all tokens and keys of a user from the cache."""
        for place, entry in list(self._cache.items()):
            if entry.caller is not None and entry.caller.id == user_id:
                del self._cache[place]

    async def close(self) -> None:
        """Give the connections back."""
        for task in self._asked.values():
            task.cancel()
        await self._client.aclose()

    async def _resolve(self, path: str, parameter: str, secret: str) -> Caller:
        if not secret or len(secret) > _MAX_SECRET:
            raise ApiError(8)
        place = f"{path} {token_hash(secret)}"
        entry = self._cache.get(place)
        if entry is None or entry.until < time.monotonic():
            entry = await self._ask_once(place, path, parameter, secret)
        if entry.caller is None:
            raise ApiError(entry.error)
        if entry.expires <= time.time():
            raise ApiError(9)
        return entry.caller

    async def _ask_once(self, place: str, path: str, parameter: str, secret: str) -> _Entry:
        """Ask, unless the same is being asked already."""
        task = self._asked.get(place)
        if task is None:
            if len(self._asked) >= WAITING:
                raise ApiError(13, f"{WAITING} questions wait for it already")
            task = asyncio.create_task(self._ask(path, parameter, secret))
            self._asked[place] = task
            task.add_done_callback(lambda done: self._answered(place, done))
        return await asyncio.shield(task)

    def _answered(self, place: str, task: asyncio.Task[_Entry]) -> None:
        del self._asked[place]
        if task.cancelled() or task.exception() is not None:
            return
        self._cache[place] = task.result()
        self._cache.move_to_end(place)
        if len(self._cache) > CACHE_SIZE:
            self._cache.popitem(last=False)

    async def _ask(self, path: str, parameter: str, secret: str) -> _Entry:
        try:
            async with asyncio.timeout(self._seconds):
                base, key = await self._locate() if self._locate else self._named
                answer = await self._client.get(
                    f"{base}/api/v1/{path}", params={parameter: secret}, headers={"X-API-KEY": key}
                )
            if answer.status_code == httpx.codes.OK:
                entry = self._known(msgspec.json.decode(answer.content, type=_Validated))
                self._count("known")
                return entry
            if answer.status_code in (httpx.codes.NOT_FOUND, _FORBIDDEN):
                return self._refused(path, answer)
            raise ApiError(13, f"it answered {answer.status_code}")
        except (httpx.HTTPError, TimeoutError, msgspec.DecodeError, UnicodeError) as error:
            self._count("failed")
            _log.warning("the security service cannot be asked", error=type(error).__name__)
            raise ApiError(13) from None
        except ApiError:
            self._count("failed")
            raise

    def _known(self, found: _Validated) -> _Entry:
        user, token = found.user_info, found.token_info
        until = time.monotonic() + self._kept
        if user.suspended:
            return _Entry(until, error=15)
        expires = found.expires_on or token.created + token.expires_in
        return _Entry(until, Caller(user.id, user.email, user.user_role), expires)

    def _refused(self, path: str, answer: httpx.Response) -> _Entry:
        """Tell a refusal of the token from one of ourselves: of our key, or of our pace."""
        code = 0
        if answer.status_code == _FORBIDDEN:
            code = msgspec.json.decode(answer.content, type=_Refusal).error_code
            about_key = path == "validateApiKey" and code == 7
            if not about_key and code != _SUSPENDED:
                _log.error("the security service refuses this gateway", code=code)
                raise ApiError(13, "it refuses this gateway: see security.external_key")
        self._count("refused")
        until = time.monotonic() + min(UNKNOWN_SECONDS, self._kept)
        return _Entry(until, error=15 if code == _SUSPENDED else 8)
