"""A device listener: accept, PROXY header, TLS handshake under admission, WebSocket upgrade.

The listening socket is the supervisor's, so that connections wait in its backlog while a worker
restarts. Accepting stops while as many connections as allowed wait for their handshake.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from typing import Any, Final

from picows import WSAutoPingStrategy, WSListener, WSUpgradeRequest
from picows.picows import WSProtocol  # type: ignore[attr-defined]  # as picows.api does

from gw.core.networks import is_within
from gw.ops import logs, metrics
from gw.protocol.proxy_protocol import ProxyHeaderError
from gw.worker import tls
from gw.worker.address_limit import AddressLimit
from gw.worker.context import WorkerContext
from gw.worker.handshake import ServerTls
from gw.worker.listener_state import ListenerState
from gw.worker.proxy_header import has_left, take_header
from gw.worker.session import Session

log = logs.get("listener")

_ACCEPTS_PER_TURN: Final = 64
_SLOT_SECONDS: Final = 2.0
"""How long one handshake may keep others from beginning."""
_READ_BUFFER: Final = 2048
"""First size of a session's read buffer, bytes; it grows with the frames (design.md, 9)."""
_IN_FLIGHT: Final = metrics.index("gw_handshakes_in_flight")
_SECONDS: Final = metrics.index("gw_handshake_seconds")


class _Connection:
    """One accepted connection until its upgrade; also the logger that picows asks for.

    picows tells a parse error only to its logger. Reading stops there: until it closes the
    socket, picows would go on buffering what the peer sends.
    """

    name = "gw.worker.connection"

    def __init__(
        self, context: WorkerContext, listener: ListenerState, address: str, connected_at: float
    ) -> None:
        self.context = context
        self.listener = listener
        self.address = address
        self.connected_at = connected_at
        self.is_check = False
        """A balancer speaks for itself: if it leaves then, that is no fault."""
        self.site = ""
        """What is counted of its address; empty: nothing is."""
        self.session: Session | None = None
        self.transport: asyncio.Transport | None = None

    def upgrade(self, request: WSUpgradeRequest) -> WSListener:
        """Make the session; path, query and subprotocol are ignored (southbound.md 1.1)."""
        self.session = self.context.new_session(self.address, self.connected_at, self.listener)
        return self.session

    def error(self, message: str, *arguments: object) -> None:
        """Stop reading; the peer broke RFC 6455, or a callback of ours failed."""
        text = message % arguments if arguments else message
        log.warning("websocket error", address=self.address, detail=text)
        if self.transport is not None:
            self.transport.pause_reading()

    exception = error

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - interface of logging.Logger
        """Only errors are wanted."""
        return level >= logging.ERROR

    def debug(self, *arguments: object) -> None:
        """Not wanted."""

    info = warning = log = debug


class DeviceListener:
    """Accepts device connections on one listening socket.

    Each listener has its own room for handshakes, so that a flood on one leaves the others alone.
    """

    def __init__(
        self, context: WorkerContext, listening: socket.socket, state: ListenerState
    ) -> None:
        """Raises ValueError, naming the setting, if a file of its settings cannot be used."""
        self._context = context
        self._socket = listening
        self.state = state
        self._limits = context.settings.devices
        self._tls = ServerTls(state.settings)
        self._handshakes = asyncio.Semaphore(self._limits.max_handshakes)
        self._tasks: set[asyncio.Task[None]] = set()
        self._addresses = AddressLimit(self._limits.max_pending_per_address)
        self._silent: dict[asyncio.Task[None], None] = {}
        """Connections that have not sent a whole TLS hello, oldest first."""
        self._accepting = False

    def start(self) -> None:
        """Begin to accept."""
        self._socket.setblocking(False)
        self._set_accepting(True)

    def use(self, files: ServerTls) -> None:
        """Do the next handshakes with other files; those under way and sessions stay."""
        self._tls = files

    async def stop(self) -> None:
        """Accept no more, and end the handshakes under way."""
        self._set_accepting(False)
        self._socket.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _set_accepting(self, wanted: bool) -> None:
        if wanted == self._accepting:
            return
        loop = asyncio.get_running_loop()
        if wanted:
            loop.add_reader(self._socket.fileno(), self._accept)
        else:
            loop.remove_reader(self._socket.fileno())
        self._accepting = wanted

    def _room(self) -> bool:
        limits = self._limits
        if len(self._tasks) >= limits.max_pending and self._silent:
            # Whoever says nothing makes room for those who come after.
            oldest = next(iter(self._silent))
            del self._silent[oldest]
            oldest.cancel()
            return True
        waiting = len(self._tasks) < limits.max_pending
        return waiting and len(self._context.sessions) + len(self._tasks) < limits.max_sessions

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_PER_TURN):
            if not self._room():
                self._set_accepting(False)
                asyncio.get_running_loop().call_later(0.05, self._resume)
                return
            try:
                connection, peer = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                # Out of descriptors: give others a moment instead of spinning.
                log.error("accept failed", detail=str(error))
                self._set_accepting(False)
                asyncio.get_running_loop().call_later(0.2, self._resume)
                return
            task = asyncio.get_running_loop().create_task(self._admit(connection, peer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _resume(self) -> None:
        if self._socket.fileno() < 0:
            return
        if self._room():
            self._set_accepting(True)
        else:
            asyncio.get_running_loop().call_later(0.05, self._resume)

    async def _admit(self, connection: socket.socket, peer: Any) -> None:
        """Take one connection through TLS and the upgrade. Never raises."""
        accepted = time.monotonic()
        conn = _Connection(self._context, self.state, format_address(peer), time.time())
        try:
            await self._handshake(connection, conn, accepted)
        except asyncio.CancelledError:
            connection.close()
            self._failed("overload", conn, "no TLS hello came in time")
        except Exception as error:  # noqa: BLE001 - any fault of one peer ends that peer only
            connection.close()
            log.error("handshake failed unexpectedly", address=conn.address, detail=repr(error))
        finally:
            self._addresses.leave(conn.site)

    async def _handshake(
        self, connection: socket.socket, conn: _Connection, accepted: float
    ) -> None:
        loop = asyncio.get_running_loop()
        limits = self._limits
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        counters = self._context.counters
        deadline = loop.time() + limits.handshake_seconds
        task = asyncio.current_task()
        assert task is not None
        self._silent[task] = None
        try:
            if self.state.settings.proxy_networks and not await self._take_proxy_header(
                connection, conn, deadline
            ):
                connection.close()
                return
            site = self._addresses.enter(conn.address)
            if site is None:
                connection.close()
                self._failed("address_limit", conn, "too many of its address wait")
                return
            conn.site = site
            came = await tls.hello_came(connection, deadline)
        finally:
            self._silent.pop(task, None)
        if came and conn.is_check and has_left(connection):
            connection.close()
            return
        if not came:
            connection.close()
            self._failed("timeout", conn, "no TLS hello came in time")
            return
        protocol = self._protocol(conn)
        try:
            async with asyncio.timeout_at(deadline):
                await self._handshakes.acquire()
        except TimeoutError:
            connection.close()
            self._failed("overload", conn, "too many handshakes wait")
            return
        try:
            transport = await self._tls_handshake(connection, protocol, deadline)
        except (OSError, TimeoutError) as error:
            connection.close()
            self._failed(tls.failure_reason(error), conn, _explain(error))
            return
        conn.transport = transport
        await protocol.wait_until_handshake_complete()
        if conn.session is None or conn.session.transport is None:
            self._failed("not_websocket", conn, "no WebSocket upgrade came")
            return
        counters.add(self.state.handshakes)
        counters.observe(_SECONDS, time.monotonic() - accepted)

    async def _take_proxy_header(
        self, connection: socket.socket, conn: _Connection, deadline: float
    ) -> bool:
        """Take the balancer's header, and the device's address from it; False: it is the end."""
        if not is_within(conn.address, self.state.settings.proxy_networks):
            self._failed("proxy_untrusted", conn, "it is not in proxy_networks")
            return False
        try:
            header = await take_header(connection, deadline)
        except TimeoutError:
            self._failed("timeout", conn, "no PROXY protocol header came in time")
            return False
        except ProxyHeaderError as error:
            self._failed("proxy_header", conn, f"PROXY protocol header: {error}")
            return False
        except OSError as error:
            self._failed("reset", conn, _explain(error))
            return False
        if header is None:
            return False  # a balancer that looks whether the port is open
        conn.is_check = header.source is None
        if header.source is not None:
            conn.address = format_address(header.source)
        return True

    async def _tls_handshake(
        self, connection: socket.socket, protocol: WSProtocol, deadline: float
    ) -> asyncio.Transport:
        """Do the handshake; holds a slot (acquired by the caller) for its first part only.

        The slots bound the CPU of handshakes. A peer that stalls in the middle costs none, so
        that it must not keep a slot from others.
        """
        loop = asyncio.get_running_loop()
        counters = self._context.counters
        counters.add(_IN_FLIGHT)
        left = max(1.0, deadline - loop.time())
        handshake = asyncio.ensure_future(self._tls.accept(connection, protocol, left))
        try:
            await asyncio.wait([handshake], timeout=_SLOT_SECONDS)
        finally:
            self._handshakes.release()
            counters.add(_IN_FLIGHT, -1)
        return await handshake

    def _failed(self, reason: str, conn: _Connection, text: str) -> None:
        self._context.handshake_failed(self.state, reason, conn.address, text)

    def _protocol(self, conn: _Connection) -> WSProtocol:
        limits = self._limits
        return WSProtocol(
            None,
            None,
            False,
            conn.upgrade,
            conn,
            True,
            limits.handshake_seconds,
            False,
            20,
            20,
            WSAutoPingStrategy.PING_WHEN_IDLE,
            False,
            limits.max_frame_bytes,
            None,
            _READ_BUFFER,
        )


def _explain(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"client certificate: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    return str(error) or type(error).__name__


def format_address(peer: Any) -> str:
    """Return a peer as `ip:port`; an IPv4-mapped IPv6 address is shown as IPv4."""
    host, port = str(peer[0]), int(peer[1])
    if host.startswith("::ffff:") and "." in host:
        host = host[7:]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
