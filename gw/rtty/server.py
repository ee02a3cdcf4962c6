"""Both listeners and the sessions between them."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Final

from gw.core.settings import Settings
from gw.ops import metrics
from gw.rtty.accept import Acceptor
from gw.rtty.counters import Counters, End
from gw.rtty.devices import DeviceEnd
from gw.rtty.peer import Peer
from gw.rtty.sessions import Limits, Sessions
from gw.rtty.site import Site
from gw.rtty.tickets import Tickets
from gw.rtty.tls import Contexts
from gw.rtty.viewers import ViewerEnd
from gw.store.interface import Reader

_SWEEP_SECONDS: Final = 1.0
_PARTING_SECONDS: Final = 2.0
"""How long connections may take to close at the end."""


class TerminalServer:
    """The remote terminal of one node."""

    def __init__(
        self,
        settings: Settings,
        reader: Reader,
        page: metrics.CounterPage,
        devices: socket.socket,
        viewers: socket.socket,
    ) -> None:
        """`devices` and `viewers` are the listening sockets.

        Raises OSError or ssl.SSLError if a certificate cannot be used.
        """
        limits = settings.rtty
        self.contexts = Contexts(settings)
        counters = Counters(page)
        self.sessions = Sessions(
            Limits(
                limits.max_sessions,
                limits.complete_seconds,
                limits.handshake_seconds,
                limits.idle_seconds,
            ),
            counters.began,
            counters.ended,
            counters.unserved,
        )
        self._reload_seconds = settings.devices.reload_seconds
        self._live: set[Peer] = set()
        tickets, site, sessions, live = Tickets(reader, settings), Site(), self.sessions, self._live

        def refuser(end: End) -> Callable[[str, str, str], None]:
            return lambda address, reason, detail: counters.refused(end, reason, address, detail)

        self._acceptors = [
            Acceptor(
                devices,
                lambda: self.contexts.device,
                lambda who: DeviceEnd(
                    who, tickets, sessions, counters, settings, live, self.contexts
                ),
                refuser("device"),
                seconds=limits.handshake_seconds,
                most=limits.max_pending,
            ),
            Acceptor(
                viewers,
                lambda: self.contexts.viewer,
                lambda who: ViewerEnd(who, tickets, sessions, counters, settings, live, site),
                refuser("viewer"),
                seconds=limits.handshake_seconds,
                most=limits.max_pending,
            ),
        ]

    def start(self) -> None:
        """Begin to accept."""
        for one in self._acceptors:
            one.start()

    async def run(self, stopping: asyncio.Event) -> None:
        """See to deadlines and files until told to stop, then end every session."""
        looked = time.monotonic()
        while not stopping.is_set():
            now = time.monotonic()
            self.sessions.sweep(now)
            if now >= looked + self._reload_seconds:
                looked = now
                self.contexts.look()
            try:
                async with asyncio.timeout(_SWEEP_SECONDS):
                    await stopping.wait()
            except TimeoutError:
                continue
        for one in self._acceptors:
            await one.stop()
        self.sessions.end_all("drain")
        deadline = time.monotonic() + _PARTING_SECONDS
        while self._live and time.monotonic() < deadline:  # noqa: ASYNC110 - once, at the end
            await asyncio.sleep(0.02)
