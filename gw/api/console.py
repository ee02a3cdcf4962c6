"""The web console: what `make build` made of gw/web, served below /console/.

All files are read once, with what the build compressed beside them. Names that a build makes after
their content are kept by browsers for ever, the index never. The console signs in at the API's own
origin: requests below /console/security/ go to the security service's routes.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from litestar import Response, route
from litestar.handlers import HTTPRouteHandler

import gw
from gw.api.edge import App, Receive, Scope, Send
from gw.api.envelope import Answer, AnyRequest, document
from gw.core.errors import ApiError

FOLDER: Final = Path(gw.__file__).parent / "web" / "dist"
"""Where the build is."""
BASE: Final = "/console"
SECURITY: Final = "/console/security"
"""Stands before the paths of the security service."""
_INDEX: Final = "index.html"
_HASHED: Final = re.compile(r"assets/.+-[A-Za-z0-9_-]{8}\.[a-z0-9]+")
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_TYPES: Final = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}
"""The framework adds the charset."""
_CODINGS: Final = ((".br", "br"), (".gz", "gzip"))
"""Best first."""
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'{sign_in}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PUBLIC: Final[dict[str, Any]] = {"opt": {"public": True}, "include_in_schema": False}


class ConsoleFile(NamedTuple):
    """A file of the build."""

    media_type: str
    etag: str
    caching: str
    content: bytes
    coded: dict[str, bytes]
    """The same by content coding."""


class Console:
    """The build in a folder."""

    def __init__(self, folder: Path = FOLDER, *, sign_in: str = "") -> None:
        """Read it. Raises FileNotFoundError if there is no `index.html`: it was not built.

        `sign_in` is the URL of an external security service; empty: the gateway's own.
        """
        if not (folder / _INDEX).is_file():
            raise FileNotFoundError(f"{folder} has no {_INDEX}")
        self._sign_in = sign_in.rstrip("/") or SECURITY
        self._policy = _POLICY.format(sign_in=f" {_origin(sign_in)}" if sign_in else "")
        codings = {suffix for suffix, _ in _CODINGS}
        self._files = {
            path.relative_to(folder).as_posix(): _read(folder, path)
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.suffix not in codings
        }

    def find(self, path: str) -> ConsoleFile | None:
        """Return the file of a path below BASE; the index for a path of the console's own."""
        name = path.strip("/")
        found = self._files.get(name or _INDEX)
        if found is None and "." not in name.rpartition("/")[2]:
            return self._files[_INDEX]
        return found

    def routes(self, *, start: bool) -> list[HTTPRouteHandler]:
        """Return the public routes; with `start`, the console is at `/` as well."""
        made = [
            self._route(BASE, "console"),
            self._route(f"{BASE}/{{rest:path}}", "console_file"),
            self._configuration(),
        ]
        return [*made, self._route("/", "start")] if start else made

    def _route(self, path: str, name: str) -> HTTPRouteHandler:
        @route(path, http_method=["GET", "HEAD"], name=name, **_PUBLIC)
        async def read_console(request: AnyRequest) -> Answer:
            found = self.find(request.scope["path"].removeprefix(BASE))
            if found is None:
                raise ApiError(404)
            headers = {
                "cache-control": found.caching,
                "etag": found.etag,
                "content-security-policy": self._policy,
            }
            if found.etag in request.headers.get("if-none-match", ""):
                return Response(b"", status_code=304, headers=headers)
            content = found.content
            for coding, coded in found.coded.items():
                if accepts(request.headers.get("accept-encoding", ""), coding):
                    content = coded
                    headers["content-encoding"] = coding
                    break
            return Response(content, media_type=found.media_type, headers=headers)

        return read_console

    def _configuration(self) -> HTTPRouteHandler:
        @route(f"{BASE}/config.json", http_method=["GET", "HEAD"], name="console_config", **_PUBLIC)
        async def read_console_configuration() -> Answer:
            return document({"signIn": self._sign_in})

        return read_console_configuration


class WithSecurity:
    """ASGI application: the gateway's, and below SECURITY the security service's."""

    def __init__(self, gateway: App, security: App) -> None:
        self._gateway = gateway
        self._security = security

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on to the one or the other."""
        if scope["type"] == "http" and scope["path"].startswith(f"{SECURITY}/"):
            path = scope["path"].removeprefix(SECURITY)
            raw = scope.get("raw_path", b"").removeprefix(SECURITY.encode())
            await self._security({**scope, "path": path, "raw_path": raw}, receive, send)
            return
        await self._gateway(scope, receive, send)


def accepts(header: str, coding: str) -> bool:
    """Tell whether a client takes a content coding (RFC 9110, 12.5.3); `*` counts for nothing."""
    for part in header.lower().split(","):
        name, _, parameters = part.strip().partition(";")
        if name.strip() == coding:
            return not re.fullmatch(r"\s*q=0(\.0*)?\s*", parameters)
    return False


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _read(folder: Path, path: Path) -> ConsoleFile:
    content = path.read_bytes()
    name = path.relative_to(folder).as_posix()
    return ConsoleFile(
        _TYPES.get(path.suffix, "application/octet-stream"),
        f'W/"{hashlib.sha256(content).hexdigest()[:32]}"',
        _FOR_EVER if _HASHED.fullmatch(name) else "no-cache",
        content,
        {
            coding: coded.read_bytes()
            for suffix, coding in _CODINGS
            if (coded := path.with_name(path.name + suffix)).is_file()
        },
    )
