"""A built single-page UI, served from disk below `/` of the api listener (`api.ui_dir`).

Files are looked up at each request, so that a new build is served at once. What the UI has to
know of this gateway is `/env-config.js`, which is made, not read.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from litestar import Response, route
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler

from gw.api.context import Context
from gw.api.envelope import Answer, AnyRequest
from gw.core.errors import ApiError

LARGEST_FILE: Final = 33_554_432
"""Bytes of a file that is still served."""
_INDEX: Final = "index.html"
_PATH_LENGTH: Final = 1024
_SEGMENT: Final = re.compile(r"[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]*")
"""A part of a path; what begins with a dot is hidden, or leads elsewhere."""
_HASHED: Final = re.compile(r"assets/.*[.-][A-Za-z0-9_-]{8,}\.[a-z0-9]+(\.map)?")
"""What a build names after its content, so that it never changes."""
_INLINE: Final = re.compile(rb"<script(?![^>]*\ssrc\s*=)[^>]*>(.*?)</script>", re.DOTALL | re.I)
_TYPES: Final = {
    "css": "text/css",
    "gif": "image/gif",
    "htm": "text/html",
    "html": "text/html",
    "ico": "image/x-icon",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "js": "text/javascript",
    "json": "application/json",
    "map": "application/json",
    "mjs": "text/javascript",
    "otf": "font/otf",
    "pdf": "application/pdf",
    "png": "image/png",
    "svg": "image/svg+xml",
    "ttf": "font/ttf",
    "txt": "text/plain",
    "wasm": "application/wasm",
    "webmanifest": "application/manifest+json",
    "webp": "image/webp",
    "woff": "font/woff",
    "woff2": "font/woff2",
    "xml": "application/xml",
}
_UNKNOWN_TYPE: Final = "application/octet-stream"
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_POLICY: Final = (
    "default-src 'self'; script-src 'self' https://maps.googleapis.com{inline}; "
    "style-src 'self' 'unsafe-inline' https://fonts.googleapis.com; "
    "font-src 'self' data: https://fonts.gstatic.com; img-src 'self' data: blob: https:; "
    "connect-src 'self' https: wss:; frame-src https:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
"""The other services may be at any host; styles are made by the UI at run time."""


class UiFile(NamedTuple):
    """A file of the build."""

    content: bytes
    media_type: str
    caching: str
    etag: str
    policy: str


class Ui:
    """The folder of a build."""

    def __init__(self, folder: str) -> None:
        """Raise OSError if there is no `index.html` in it."""
        self._folder = Path(folder)
        if not (self._folder / _INDEX).is_file():
            raise FileNotFoundError(f"there is no {_INDEX} in it")

    def find(self, path: str) -> UiFile | None:
        """Return the file of a decoded path, or the index for a path of the UI's own.

        None: there is no such file. Blocks on the disk.
        """
        segments = [one for one in path.split("/") if one]
        if len(path) > _PATH_LENGTH or not all(_SEGMENT.fullmatch(one) for one in segments):
            return None
        found = self._read("/".join(segments)) if segments else None
        if found is None and (not segments or "." not in segments[-1]):
            return self._read(_INDEX)
        return found

    def _read(self, name: str) -> UiFile | None:
        try:
            root = self._folder.resolve()
            file = (root / name).resolve()
            # Links may lead about within the build, and not out of it.
            if not file.is_relative_to(root) or not file.is_file():
                return None
            with file.open("rb") as opened:
                content = opened.read(LARGEST_FILE + 1)
        except (OSError, ValueError):
            return None
        if len(content) > LARGEST_FILE:
            return None
        return UiFile(
            content,
            _TYPES.get(file.suffix[1:].lower(), _UNKNOWN_TYPE),
            _FOR_EVER if _HASHED.fullmatch(name) else "no-cache",
            f'W/"{hashlib.sha256(content).hexdigest()[:32]}"',
            _policy(content if name.endswith((".html", ".htm")) else b""),
        )

    def routes(self) -> list[HTTPRouteHandler]:
        """Return the public routes: of the build, and of what is made for it."""
        return [_env_config, self._route("/", "ui"), self._route("/{rest:path}", "ui_file")]

    def _route(self, path: str, name: str) -> HTTPRouteHandler:
        @route(path, http_method=["GET", "HEAD"], name=name, **_PUBLIC)
        async def read_file(request: AnyRequest) -> Answer:
            found = await asyncio.to_thread(self.find, request.scope["path"])
            if found is None:
                raise ApiError(404)
            headers = {
                "cache-control": found.caching,
                "etag": found.etag,
                "content-security-policy": found.policy,
                "referrer-policy": "strict-origin-when-cross-origin",
            }
            if _known(request.headers.get("if-none-match", ""), found.etag):
                return Response(b"", status_code=304, headers=headers)
            return Response(found.content, media_type=found.media_type, headers=headers)

        return read_file


_PUBLIC: Final[dict[str, Any]] = {"opt": {"public": True}, "include_in_schema": False}


@route("/env-config.js", http_method=["GET", "HEAD"], name="env_config", **_PUBLIC)
async def _env_config(request: AnyRequest, context: NamedDependency[Context]) -> Answer:
    """Answer where the UI signs in; it asks there for everything else."""
    told = {"REACT_APP_UCENTRALSEC_URL": context.sign_in_url(request)}
    text = b"window._env_ = " + msgspec.json.encode(told) + b";\n"
    headers = {"cache-control": "no-store", "content-security-policy": _policy(b"")}
    return Response(text, media_type=_TYPES["js"], headers=headers)


def _known(header: str, etag: str) -> bool:
    """Tell whether a client has this version (RFC 9110, 13.1.2; weak comparison)."""
    return header.strip() == "*" or etag in (one.strip() for one in header.split(","))


def _policy(page: bytes) -> str:
    """Return the content security policy; scripts within the page are allowed by their hash."""
    hashes = [base64.b64encode(hashlib.sha256(one).digest()) for one in _INLINE.findall(page)]
    return _POLICY.format(inline="".join(f" 'sha256-{one.decode()}'" for one in hashes[:20]))
