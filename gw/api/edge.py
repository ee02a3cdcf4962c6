"""The outermost layer of every HTTP answer: CORS, security headers, gzip, metrics.

It stands outside the framework so that it holds for refused requests as well.
"""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any, Final

import structlog

from gw.core.errors import INTERNAL, ApiError

_log = structlog.get_logger("gw.api")

GZIP_BYTES: Final = 512
"""Smaller answers are not worth compressing."""
_THREAD_BYTES: Final = 65_536
"""Larger ones are compressed off the loop."""
_PIECE_BYTES: Final = 65_536
_GZIP_LEVEL: Final = 4
_VARY: Final = (b"vary", b"Origin, Accept-Encoding")
_ALL_METHODS: Final = ("DELETE", "GET", "POST", "PUT")
_PREFLIGHT_SECONDS: Final = b"86400"
_SAFE: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
_INTERNAL_BODY: Final = (
    b'{"ErrorCode":500,"ErrorDetails":"","ErrorDescription":"%s"}'
    % ApiError(INTERNAL).description.encode()
)
_OVERLOADED_BODY: Final = (
    b'{"ErrorCode":503,"ErrorDetails":"","ErrorDescription":"%s"}'
    % ApiError(INTERNAL, "too many connections").description.encode()
)
_OVERLOADED_HEADERS: Final = (
    (b"content-type", b"application/json"),
    (b"connection", b"close"),
    (b"retry-after", b"5"),
)

# The types of ASGI 3; the framework and the server each have their own names for them.
Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Any]
Send = Callable[[Message], Any]
App = Callable[[Any, Any, Any], Any]
Header = tuple[bytes, bytes]
Observe = Callable[[int, float], None]
"""Called with the status and the seconds of each request."""


def unobserved(_status: int, _seconds: float) -> None:
    """Take no note of a request."""


class RouteMethods:
    """The methods of each path, for preflight answers (northbound.md 2.2)."""

    def __init__(self, routes: Iterable[tuple[str, Iterable[str]]]) -> None:
        self._by_length: dict[int, list[tuple[list[str], set[str]]]] = {}
        for path, methods in routes:
            segments = path.strip("/").split("/")
            same = self._by_length.setdefault(len(segments), [])
            same.append((segments, {m for m in methods if m != "OPTIONS"}))

    def of(self, path: str) -> list[str]:
        """Return the methods of the routes that match `path`; of a path that there is not, all.

        Browsers then send the request, and their user reads why it is refused.
        """
        segments = path.strip("/").split("/")
        found: set[str] = set()
        for pattern, methods in self._by_length.get(len(segments), ()):
            if all(p.startswith("{") or p == s for p, s in zip(pattern, segments, strict=True)):
                found |= methods
        return sorted(found or _ALL_METHODS)


class Edge:
    """ASGI application around an application."""

    def __init__(
        self,
        app: App,
        methods: RouteMethods,
        origins: list[str],
        observe: Observe,
        sockets: App | None = None,
    ) -> None:
        """`sockets` serves WebSockets; None: the application refuses them.

        `app` stays to be had, for whoever serves it at a place of its own too.
        """
        self.sockets = sockets
        self.app = app
        self._methods = methods
        self._any_origin = "*" in origins
        self._origins = {origin.encode() for origin in origins}
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            app = self.sockets if scope["type"] == "websocket" else None
            await (app or self.app)(scope, receive, send)
            return
        began = time.monotonic()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        answer = _Answer(send, self._cors(headers), _takes_gzip(headers))
        try:
            if scope.get("state", {}).pop("overloaded", False):
                await answer.whole(503, list(_OVERLOADED_HEADERS), _OVERLOADED_BODY)
            elif scope["method"] == "OPTIONS":
                await self._preflight(scope["path"], headers, answer)
            else:
                await self.app(scope, receive, answer.take)
        except Exception as error:
            # The framework answers its own faults; this is for a fault in that.
            _log.error("request failed", method=scope["method"], exc_info=error)
            if answer.begun:
                raise
            await answer.whole(500, [(b"content-type", b"application/json")], _INTERNAL_BODY)
        finally:
            self._observe(answer.status, time.monotonic() - began)

    def _cors(self, headers: dict[bytes, bytes]) -> list[Header]:
        origin = headers.get(b"origin")
        if self._any_origin:
            return [(b"access-control-allow-origin", origin or b"*"), _VARY]
        if origin in self._origins and origin is not None:
            return [(b"access-control-allow-origin", origin), _VARY]
        return [_VARY]

    async def _preflight(self, path: str, headers: dict[bytes, bytes], answer: _Answer) -> None:
        allowed = [
            (b"access-control-allow-methods", ", ".join(self._methods.of(path)).encode()),
            (b"access-control-allow-credentials", b"true"),
            (b"access-control-max-age", _PREFLIGHT_SECONDS),
        ]
        if asked := headers.get(b"access-control-request-headers"):
            allowed.append((b"access-control-allow-headers", asked))
        await answer.whole(200, allowed, b"")


class _Answer:
    """One answer on its way out. A body of several parts passes uncompressed."""

    def __init__(self, send: Send, extra: list[Header], takes_gzip: bool) -> None:
        self._send = send
        self._extra = extra
        self._takes_gzip = takes_gzip
        self._start: Message | None = None
        self.begun = False
        self.status = 500

    async def whole(self, status: int, headers: list[Header], body: bytes) -> None:
        await self.take({"type": "http.response.start", "status": status, "headers": headers})
        await self.take({"type": "http.response.body", "body": body, "more_body": False})

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            self.status = message["status"]
            return
        if message["type"] == "http.response.body" and self._start is not None:
            start, self._start = self._start, None
            headers: list[Header] = list(start["headers"])
            body: bytes = message.get("body", b"")
            if not message.get("more_body", False):
                headers = [h for h in headers if h[0].lower() != b"content-length"]
                coded = any(name.lower() == b"content-encoding" for name, _ in headers)
                if self._takes_gzip and not coded and len(body) >= GZIP_BYTES:
                    body = await _compress(body)
                    headers.append((b"content-encoding", b"gzip"))
                if self.status not in (204, 304):
                    headers.append((b"content-length", str(len(body)).encode()))
                message = {"type": "http.response.body", "body": body, "more_body": False}
            names = {name.lower() for name, _ in headers}
            headers += [h for h in (*self._extra, *_SAFE) if h[0] not in names]
            self.begun = True
            await self._send({**start, "headers": headers})
        await self._pass_on(message)

    async def _pass_on(self, message: Message) -> None:
        """Send in pieces: between them the server waits for a client that reads slowly."""
        body: bytes = message.get("body", b"")
        for at in range(0, len(body) - _PIECE_BYTES, _PIECE_BYTES):
            piece = body[at : at + _PIECE_BYTES]
            await self._send({"type": message["type"], "body": piece, "more_body": True})
        rest = len(body) % _PIECE_BYTES or min(len(body), _PIECE_BYTES)
        await self._send({**message, "body": body[len(body) - rest :]})


def _takes_gzip(headers: dict[bytes, bytes]) -> bool:
    for part in headers.get(b"accept-encoding", b"").lower().split(b","):
        coding, _, parameters = part.strip().partition(b";")
        if coding.strip() == b"gzip":
            return parameters.replace(b" ", b"") not in (b"q=0", b"q=0.0", b"q=0.00", b"q=0.000")
    return False


async def _compress(body: bytes) -> bytes:
    if len(body) < _THREAD_BYTES:
        return gzip.compress(body, _GZIP_LEVEL, mtime=0)
    return await asyncio.to_thread(gzip.compress, body, _GZIP_LEVEL, mtime=0)
