"""WebSockets of a listener: which path is which stream, origin, caps, and the life of a socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, Protocol
from urllib.parse import parse_qs, urlsplit

import msgspec
import structlog

from gw.api.authentication import Authenticator, Caller
from gw.api.context import Context
from gw.api.envelope import failure
from gw.api.live.hub import Hub
from gw.api.live.viewer import POLICY, TOO_BIG, Send, Viewer
from gw.core.errors import ApiError
from gw.store.errors import StoreError

_log = structlog.get_logger("gw.api.live")

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_RECHECK_SECONDS: Final = 30.0
"""How often the token of an open socket is looked at again."""
_CLOSE_SECONDS: Final = 1.0
_TOKEN: Final = "token:"  # noqa: S105
_encode = msgspec.json.Encoder().encode


class RefusedError(Exception):
    """The upgrade is refused."""

    def __init__(self, status: int, reason: str, error: ApiError | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        """Label of gw_stream_refusals_total."""
        self.error = error
        """What the answer says; None: its body is empty."""


class Socket:
    """One upgrade request, and what becomes of it."""

    def __init__(
        self, scope: MutableMapping[str, Any], receive: Receive, send: Send, hub: Hub
    ) -> None:
        self.path: str = scope["path"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.query = {
            name: values[0]
            for name, values in parse_qs(scope["query_string"].decode("ascii", "replace")).items()
        }
        self.address: str = (scope.get("client") or ("", 0))[0]
        self.hub = hub
        self.send = send
        self._unknown = False
        self._receive = receive
        self._getting: asyncio.Task[MutableMapping[str, Any]] | None = None

    def enter(self) -> None:
        """Begin as one that nobody knows. Raises RefusedError if there are too many of them."""
        if not self.hub.enter_address(self.address):
            raise _too_many()
        self._unknown = True

    def known(self) -> None:
        """It has shown who it is, or is over."""
        if self._unknown:
            self._unknown = False
            self.hub.leave_address(self.address)

    async def accept(self) -> None:
        """Take the upgrade."""
        await self.send({"type": "websocket.accept"})

    async def text(self, timeout: float | None) -> str | None:  # noqa: ASYNC109 - it tries again
        """Return the next text of the client; None if none came in time.

        Raises EOFError once the socket is closed.
        """
        if self._getting is None:
            self._getting = asyncio.ensure_future(self._receive())
        done, _ = await asyncio.wait({self._getting}, timeout=timeout)
        if not done:
            return None
        message, self._getting = self._getting.result(), None
        if message["type"] == "websocket.disconnect":
            raise EOFError
        text: str | None = message.get("text")
        return text if text is not None else ""

    async def first_token(self, authenticator: Authenticator) -> tuple[str, Caller] | None:
        """Take the first frame, `token:<access token>`; None if it is none that may pass.

        Then the client has been told why, and the socket is closed.
        """
        text = await self.text(self.hub.settings.authenticate_seconds)
        error = ApiError(8)
        if text is not None and text.startswith(_TOKEN):
            token = text[len(_TOKEN) :].strip()
            try:
                caller = await authenticator.caller(token)
                self.known()
                return token, caller
            except ApiError as refused:
                error = refused
        await self.refuse("token", error)
        return None

    async def refuse(self, reason: str, error: ApiError) -> None:
        """Say why an accepted socket is closed, and close it."""
        self.hub.refused(reason)
        text = _encode({"error": error.description}).decode()
        await self.send({"type": "websocket.send", "text": text})
        await self.send({"type": "websocket.close", "code": POLICY, "reason": reason})

    async def serve(
        self,
        viewer: Viewer,
        heard: Callable[[str], Awaitable[None]],
        still: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """Send what `viewer` holds and give what the client says to `heard`, until either ends.

        `still` is called now and then, and raises ApiError once the viewer may no longer look.
        """
        pump = asyncio.ensure_future(viewer.pump(self.send))
        listen = asyncio.ensure_future(self._listen(viewer, heard, still))
        overrun = asyncio.ensure_future(viewer.overrun.wait())
        parts: set[asyncio.Future[Any]] = {pump, listen, overrun}
        try:
            await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone = listen.done() and isinstance(listen.exception(), EOFError)
            for task in (*parts, self._getting):
                if task is not None:
                    task.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
            if viewer.slow:
                self.hub.refused("slow")
        for part in (pump, listen):
            error = None if part.cancelled() else part.exception()
            if error is not None and not isinstance(error, EOFError | OSError):
                _log.error("a socket failed", path=self.path, exc_info=error)
        if not gone:
            with contextlib.suppress(TimeoutError, OSError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self.send(
                        {"type": "websocket.close", "code": viewer.close_code or POLICY}
                    )

    async def _listen(
        self,
        viewer: Viewer,
        heard: Callable[[str], Awaitable[None]],
        still: Callable[[], Awaitable[object]] | None,
    ) -> None:
        while not viewer.close_code:
            text = await self.text(_RECHECK_SECONDS)
            if text is not None and len(text) > self.hub.settings.max_message_bytes:
                self.hub.refused("malformed")
                viewer.end(TOO_BIG)
            elif text is not None:
                await heard(text)
            elif still is not None:
                try:
                    await still()
                except StoreError:
                    continue  # away for a moment: not the viewer's fault
                except ApiError as error:
                    self.hub.refused("token")
                    viewer.put(_encode({"error": error.description}).decode())
                    viewer.end(POLICY)
        await asyncio.Event().wait()  # the pump ends it


class Route(Protocol):
    """What is served at a path."""

    stream: str
    """Label of the metrics."""

    async def serve(self, socket: Socket) -> None:
        """Serve one socket until it ends. Raises RefusedError before it is accepted."""


class Sockets:
    """The WebSockets of one listener, an ASGI application."""

    def __init__(self, context: Context, hub: Hub, routes: dict[str, Route]) -> None:
        """`routes` are by path; `{serial}` in one stands for any segment."""
        self._hub = hub
        self._origins = frozenset(context.settings.api.cors_origins)
        self._routes = [(path.split("/"), route) for path, route in routes.items()]

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one upgrade request."""
        await receive()  # websocket.connect
        socket = Socket(scope, receive, send, self._hub)
        try:
            route = self._route(socket.path)
            if route is None:
                raise RefusedError(404, "unknown", ApiError(404))
            if not self._from_here(socket.headers):
                raise RefusedError(403, "origin", ApiError(7, "the page's origin is not allowed"))
            socket.enter()
            if not self._hub.enter(route.stream):
                raise _too_many()
            try:
                await route.serve(socket)
            except EOFError:
                pass  # the client went away
            finally:
                self._hub.leave(route.stream)
        except RefusedError as refused:
            self._hub.refused(refused.reason)
            await _deny(send, refused)
        finally:
            socket.known()

    def _route(self, path: str) -> Route | None:
        segments = path.split("/")
        for pattern, route in self._routes:
            if len(pattern) == len(segments) and all(
                wanted in (given, "{serial}")
                for wanted, given in zip(pattern, segments, strict=True)
            ):
                return route
        return None

    def _from_here(self, headers: dict[bytes, bytes]) -> bool:
        """Tell whether a page of this origin may connect; clients that are no pages name none."""
        origin = headers.get(b"origin", b"").decode("latin-1")
        if not origin or "*" in self._origins or origin in self._origins:
            return True
        return urlsplit(origin).netloc == headers.get(b"host", b"").decode("latin-1")


def _too_many() -> RefusedError:
    return RefusedError(503, "limit", ApiError(1002, "too many viewers", http=503))


async def _deny(send: Send, refused: RefusedError) -> None:
    error = refused.error
    body = b""
    if error is not None:
        body = _encode(failure(error, "GET"))
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send(
        {
            "type": "websocket.http.response.start",
            "status": refused.status,
            "headers": headers,
        }
    )
    await send({"type": "websocket.http.response.body", "body": body})
