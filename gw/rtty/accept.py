"""Accepting on one inherited socket: TLS, and bounds on those who have not said what they want.

A connection counts as a stranger from its accept until it has joined a session (`Stranger.settle`).
Strangers have one deadline for all of that, and are bounded in number: the oldest makes room.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final, Protocol

from gw.ops import logs
from gw.worker.tls import failure_reason, hello_came

_ACCEPTS_PER_TURN: Final = 16
_PAUSE_SECONDS: Final = 0.2
_KEEPALIVE: Final = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)
"""An end that is gone without a word is noticed after a minute."""

log = logs.get("rtty")


class Stranger(Protocol):
    """A connection that has not joined a session yet."""

    address: str

    def settle(self) -> None:
        """It has joined, or is being closed: its deadline is off."""


class _Stranger:
    def __init__(self, acceptor: Acceptor, address: str) -> None:
        self.address = address
        self.transport: asyncio.Transport | None = None
        self.task: asyncio.Task[None] | None = None
        self._acceptor = acceptor
        self._timer = asyncio.get_running_loop().call_later(
            acceptor.seconds, self.give_up, "timeout"
        )

    def settle(self) -> None:
        self._timer.cancel()
        self._acceptor.strangers.pop(self, None)

    def give_up(self, reason: str) -> None:
        """Close it, with a reason of gw_rtty_refused_total."""
        self.settle()
        self._acceptor.refused(self.address, reason, "")
        if self.transport is not None:
            self.transport.abort()
        elif self.task is not None:
            self.task.cancel()


class Acceptor:
    """Takes connections through TLS and gives each a protocol of its own."""

    def __init__(
        self,
        listening: socket.socket,
        tls: Callable[[], ssl.SSLContext],
        protocol: Callable[[Stranger], asyncio.Protocol],
        refused: Callable[[str, str, str], None],
        *,
        seconds: float,
        most: int,
    ) -> None:
        """`tls` is asked at each connection; `refused` is told address, reason and detail.

        `seconds` is the deadline of strangers, `most` their number.
        """
        self.seconds = seconds
        self.refused = refused
        self.strangers: dict[_Stranger, None] = {}
        self._socket = listening
        self._tls = tls
        self._protocol = protocol
        self._most = most
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to accept."""
        self._socket.setblocking(False)
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._accept)

    async def stop(self) -> None:
        """Accept no more, and close all strangers."""
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()
        for stranger in list(self.strangers):
            stranger.give_up("drain")
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_PER_TURN):
            try:
                connection, peer = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.ECONNABORTED, errno.EINTR):
                    continue
                # Out of descriptors: give others a moment instead of spinning.
                log.error("accept failed", detail=str(error))
                loop = asyncio.get_running_loop()
                loop.remove_reader(self._socket.fileno())
                loop.call_later(_PAUSE_SECONDS, self._resume)
                return
            if len(self.strangers) >= self._most:
                next(iter(self.strangers)).give_up("overload")
            stranger = _Stranger(self, _address(peer))
            self.strangers[stranger] = None
            task = asyncio.get_running_loop().create_task(self._admit(connection, stranger))
            stranger.task = task
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _resume(self) -> None:
        if self._socket.fileno() >= 0:
            asyncio.get_running_loop().add_reader(self._socket.fileno(), self._accept)

    async def _admit(self, connection: socket.socket, stranger: _Stranger) -> None:
        """Take one connection through TLS. Never raises."""
        loop = asyncio.get_running_loop()
        try:
            connection.setblocking(False)
            for option in _KEEPALIVE:
                connection.setsockopt(*option)
            if await hello_came(connection, loop.time() + self.seconds):
                transport, _ = await loop.connect_accepted_socket(
                    lambda: self._protocol(stranger),
                    connection,
                    ssl=self._tls(),
                    ssl_handshake_timeout=self.seconds,
                    ssl_shutdown_timeout=2.0,
                )
                stranger.transport = transport
                return
        except asyncio.CancelledError:
            pass  # `give_up` has told of it
        except (OSError, TimeoutError) as error:
            self.refused(stranger.address, "tls", failure_reason(error))
        except Exception as error:  # noqa: BLE001 - a fault of one peer ends that peer only
            log.error("connection failed unexpectedly", detail=repr(error))
        stranger.settle()
        with contextlib.suppress(OSError):
            connection.close()


def _address(peer: Any) -> str:
    host, port = str(peer[0]), int(peer[1])
    host = host.removeprefix("::ffff:") if "." in host else host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
