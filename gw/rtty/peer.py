"""What the protocols of both ends have in common: closing in time, and holding each other back.

An end whose unsent bytes pass the limit pauses reading from the other end, until they are out; so
a slow browser slows the device's shell, and nothing piles up here.
"""

from __future__ import annotations

import asyncio
from typing import Final, cast

from gw.rtty.sessions import Peer as SessionPeer
from gw.rtty.sessions import Session

LINGER_SECONDS: Final = 5.0
"""How long what is unsent may take to leave after an end was closed."""


class Peer(asyncio.Protocol):
    """One TLS connection."""

    is_device = False
    transport: asyncio.Transport | None = None
    session: Session | None = None
    _closing: asyncio.TimerHandle | None = None
    _paused = False

    def __init__(self, buffer_bytes: int, live: set[Peer]) -> None:
        """`live` holds the connections that are open."""
        self._buffer_bytes = buffer_bytes
        self._live = live

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set the limit of unsent bytes."""
        # No check: uvloop's transports are no subclass.
        self.transport = cast("asyncio.Transport", transport)
        self._live.add(self)
        self.transport.set_write_buffer_limits(high=self._buffer_bytes)

    def connection_lost(self, error: Exception | None) -> None:
        """Tell the session."""
        self._live.discard(self)
        if self._closing is not None:
            self._closing.cancel()
        self.transport = None
        session, self.session = self.session, None
        if session is not None:
            other = self._other(session)
            session.lost(self)
            if other is not None:
                other.resume()

    def pause_writing(self) -> None:
        """Let the other end wait."""
        other = self._other(self.session)
        if other is not None:
            other.pause()

    def resume_writing(self) -> None:
        """Let it go on."""
        other = self._other(self.session)
        if other is not None:
            other.resume()

    def pause(self) -> None:
        """Read no more."""
        if self.transport is not None and not self._paused and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self.transport is not None and self._paused and not self.transport.is_closing():
            self.transport.resume_reading()
        self._paused = False

    def close(self) -> None:
        """Close once what was sent is out, or cut after a moment."""
        self.session = None
        transport = self.transport
        if transport is None or self._closing is not None:
            return
        transport.close()
        self._closing = asyncio.get_running_loop().call_later(LINGER_SECONDS, transport.abort)

    def write(self, data: bytes) -> None:
        """Send, unless the connection is ending."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def _other(self, session: Session | None) -> SessionPeer | None:
        if session is None:
            return None
        return session.viewer if self.is_device else session.device
