"""The few files that a browser loads: the page of a session and what it is made of."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

_STATIC: Final = Path(__file__).parent / "static"
_POLICY: Final = (
    # xterm.js writes style elements of its own, for its colours and the size of its letters.
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
}
"""Headers of every answer. The address of a page is a secret: it must not leave with a link."""

_SCRIPT: Final = "text/javascript; charset=utf-8"
_STYLE: Final = "text/css; charset=utf-8"
_FILES: Final = {
    "/terminal.js": ("terminal.js", _SCRIPT),
    "/terminal.css": ("terminal.css", _STYLE),
    "/xterm.mjs": ("xterm.mjs", _SCRIPT),
    "/xterm.css": ("xterm.css", _STYLE),
    "/addon-fit.mjs": ("addon-fit.mjs", _SCRIPT),
}
_SESSION: Final = re.compile(r"/connect/([^/?]{1,100})/?(?:\?.*)?\Z")


class Content(NamedTuple):
    """What is answered."""

    body: bytes
    media_type: str


class Site:
    """The files, read once."""

    def __init__(self) -> None:
        self._page = Content((_STATIC / "terminal.html").read_bytes(), "text/html; charset=utf-8")
        self._files = {
            path: Content((_STATIC / name).read_bytes(), media_type)
            for path, (name, media_type) in _FILES.items()
        }

    def find(self, path: str) -> Content | None:
        """Return what is at a path; the page is the same for every session, also for none."""
        return self._page if session_of(path) is not None else self._files.get(path)


def session_of(path: str) -> str | None:
    """Return the id in the path of a session: `/connect/{id}`."""
    found = _SESSION.match(path)
    return found[1] if found else None
