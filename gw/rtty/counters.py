"""The metrics of the remote terminal, and the log lines that go with them."""

from __future__ import annotations

import time
from typing import Final, Literal

from gw.ops import logs, metrics
from gw.rtty.frames import Kind
from gw.rtty.sessions import EndReason, Session

_SESSIONS: Final = metrics.index("gw_rtty_sessions")
_BEGUN: Final = metrics.index("gw_rtty_sessions_total")
_ENDS: Final = metrics.indexes("gw_rtty_session_ends_total")
_UNSERVED: Final = metrics.indexes("gw_rtty_unserved_frames_total")
_FROM: Final = metrics.index("gw_rtty_bytes_total", "from_device")
_TO: Final = metrics.index("gw_rtty_bytes_total", "to_device")

MAX_REFUSALS_LOGGED: Final = 10
"""Refusals logged one by one in a second."""

End = Literal["device", "viewer"]

log = logs.get("rtty")


class Counters:
    """Counts into the page of this process."""

    def __init__(self, page: metrics.CounterPage) -> None:
        self._page = page
        self._refusals = 0
        self._refusals_since = 0.0

    def began(self, session: Session) -> None:
        """The first end of a session came."""
        self._page.add(_SESSIONS)
        self._page.add(_BEGUN)

    def ended(self, session: Session, reason: EndReason) -> None:
        """A session is over."""
        self._page.add(_SESSIONS, -1)
        self._page.add(_ENDS[reason])
        log.info("session ended", serial=session.serial, reason=reason)

    def unserved(self, session: Session, kind: Kind, first: bool) -> None:
        """A device sent a frame of a kind that is not served; logged once for each session."""
        self._page.add(_UNSERVED[kind.name.lower()])
        if first:
            log.info("frames not served", serial=session.serial, kind=kind.name.lower())

    def from_device(self, size: int) -> None:
        """Bytes of the terminal that a device sent."""
        self._page.add(_FROM, size)

    def to_device(self, size: int) -> None:
        """Bytes sent to a device."""
        self._page.add(_TO, size)

    def refused(self, end: End, reason: str, address: str, detail: str) -> None:
        """A connection was not let into a session. A flood of them is logged in part only."""
        self._page.add(metrics.index("gw_rtty_refused_total", end, reason))
        now = time.monotonic()
        if now - self._refusals_since >= 1.0:
            unlogged = self._refusals - MAX_REFUSALS_LOGGED
            if unlogged > 0:
                log.warning("refusals, not logged one by one", count=unlogged)
            self._refusals, self._refusals_since = 0, now
        self._refusals += 1
        if self._refusals <= MAX_REFUSALS_LOGGED:
            log.warning("refused", end=end, reason=reason, address=address, detail=detail)
