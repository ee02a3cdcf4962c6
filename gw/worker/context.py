"""What the parts of one worker share: settings, counters, the uplink, the table of sessions."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Final

from picows import WSCloseCode

from gw.core import records
from gw.core.listeners import device_listeners
from gw.core.records import RECORD_VERSION, Kind
from gw.core.settings import Settings
from gw.ops import logs, metrics
from gw.ops.metrics_table import PROTOCOL_ERRORS
from gw.protocol.jsonrpc import MAX_RPC_ID
from gw.worker.listener_state import ListenerState
from gw.worker.session import Session
from gw.worker.uplink import Uplink

log = logs.get("worker")

MAX_REFUSALS_LOGGED: Final = 50
"""Refused connections that get a line of their own, per second."""

_ERRORS: Final = {
    reason: metrics.index("gw_protocol_errors_total", reason) for reason in PROTOCOL_ERRORS
}


class WorkerContext:
    """One per worker process."""

    def __init__(
        self,
        settings: Settings,
        counters: metrics.CounterPage,
        uplink: Uplink,
        slot: int,
        generation: int,
    ) -> None:
        self.settings = settings
        self.tells_pings = settings.has_bus and "connection" not in settings.bus.skip_topics
        """WebSocket PINGs are published as well."""
        self.counters = counters
        self.uplink = uplink
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Gets the exception that makes this process useless; it must then end."""
        uplink.failed = self.failed
        self.listeners = [ListenerState(one) for one in device_listeners(settings.devices)]
        """By place: the first is that of `devices` itself."""
        self._refusals = 0
        self._refusals_since = 0.0
        self.sessions: dict[int, Session] = {}
        self.by_serial: dict[str, Session] = {}
        self._next_session = (slot << 56) | ((generation & 0xFFFFFF) << 32)
        # Unlike in each process, so that a late answer on a new connection meets no new request.
        self._rpc_id = random.randrange(1, MAX_RPC_ID)  # noqa: S311 - not a secret

    def new_session(
        self, address: str, connected_at: float, listener: ListenerState | None = None
    ) -> Session:
        """Make the session object of an upgraded connection; `listener`: the first, if None."""
        self._next_session += 1
        entered = listener or self.listeners[0]
        return Session(self, self._next_session, address, connected_at, entered)

    def next_rpc_id(self) -> int:
        """Return an id from 1 to 2**31 - 1."""
        self._rpc_id = self._rpc_id % MAX_RPC_ID + 1
        return self._rpc_id

    def session_opened(self, session: Session) -> None:
        """The session's certificate names a device."""
        self.sessions[session.id] = session
        self._count(session.listener, 1)

    def device_connected(self, session: Session) -> None:
        """The session said `connect`: it replaces an older one of the same device."""
        old = self.by_serial.get(session.serial)
        self.by_serial[session.serial] = session
        if old is not None and old is not session:
            old.end(WSCloseCode.POLICY_VIOLATION, "replaced", "the device connected again")

    def session_closed(self, session: Session) -> None:
        """The session's socket is gone."""
        if self.sessions.pop(session.id, None) is None:
            return
        self._count(session.listener, -1)
        ends = session.listener.ends
        self.counters.add(ends.get(session.reason, ends["error"]))
        self.uplink.forget(session.id)
        if self.by_serial.get(session.serial) is session:
            del self.by_serial[session.serial]
        if session.connect_head is None:
            return
        head = records.encode(
            records.Disconnect(
                RECORD_VERSION, session.reason, session.rx_bytes, session.tx_bytes, session.messages
            )
        )
        self.uplink.publish(
            Kind.DISCONNECT, session.id, session.serial_number, session.last_seen, head, b""
        )

    def _count(self, listener: ListenerState, change: int) -> None:
        listener.sessions += change
        self.counters.set(listener.connections, listener.sessions)

    def fail(self, error: Exception) -> None:
        """End this process: it cannot do its work any more."""
        if not self.failed.done():
            self.failed.set_exception(error)

    def handshake_failed(
        self, listener: ListenerState, reason: str, address: str, text: str
    ) -> None:
        """A connection was refused before it became a session.

        All are counted; a flood of them is logged in part only.
        """
        self.counters.add(listener.failures[reason])
        now = time.monotonic()
        if now - self._refusals_since >= 1.0:
            unlogged = self._refusals - MAX_REFUSALS_LOGGED
            if unlogged > 0:
                log.warning("connections refused, not logged one by one", count=unlogged)
            self._refusals, self._refusals_since = 0, now
        self._refusals += 1
        if self._refusals <= MAX_REFUSALS_LOGGED:
            log.warning("connection refused", reason=reason, address=address, detail=text,
                        listener=listener.settings.name)  # fmt: skip

    def protocol_error(self, reason: str) -> None:
        """Count a message that breaks the protocol."""
        self.counters.add(_ERRORS[reason])
