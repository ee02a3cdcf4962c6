"""/docs and /openapi.json: the API document, readable without any other server."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from gw.api.envelope import Answer

_STATIC: Final = Path(__file__).parent / "static"
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_CACHE: Final = "no-cache"
PUBLIC: Final[dict[str, Any]] = {"opt": {"public": True}, "include_in_schema": False}


def pages(openapi: dict[str, Any]) -> list[HTTPRouteHandler]:
    """Return the routes of the pages; the files are read now, not at each request."""
    return [
        static("/docs", "docs.html", "text/html"),
        static("/docs/docs.js", "docs.js", "text/javascript"),
        static("/docs/docs.css", "docs.css", "text/css"),
        page("/openapi.json", "openapi", msgspec.json.encode(openapi), "application/json"),
    ]


def start_page(links: bool = True) -> list[HTTPRouteHandler]:
    """Return the routes of the icon and, with `links`, of a page at `/` with links."""
    icon = static("/favicon.ico", "icon.svg", "image/svg+xml")
    return [icon, static("/", "index.html", "text/html")] if links else [icon]


def static(path: str, file: str, media_type: str) -> HTTPRouteHandler:
    """Return the public route of a file of `static/`, which is read now."""
    return page(path, file, (_STATIC / file).read_bytes(), media_type)


def page(path: str, name: str, content: bytes, media_type: str) -> HTTPRouteHandler:
    """Return the public route of a page that never changes; the framework adds the charset."""
    headers = {"content-security-policy": _POLICY, "cache-control": _CACHE}

    @get(path, name=name, **PUBLIC)
    async def read_page() -> Answer:
        return Response(content, media_type=media_type, headers=headers)

    return read_page
