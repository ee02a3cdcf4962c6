"""The UDP sockets that all pools share: one per kind, and one more for the other IP version.

Sends and receives without a queue of its own: what the kernel has no room for is lost, as
datagrams are.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Callable
from typing import Final

from gw.ops import logs

log = logs.get("radius")

_AT_ONCE: Final = 64
"""Datagrams of one socket before others have their turn."""
_MAX_DATAGRAM: Final = 65_535
_ANY: Final[dict[int, str]] = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}  # noqa: S104

Receive = Callable[[str, str, int, bytes], None]
"""Gets kind, address, port and bytes of a datagram."""


class SocketError(Exception):
    """A socket cannot be opened; the text names the setting."""


class UdpSockets:
    """Sockets by kind and IP version."""

    def __init__(self, host: str, ports: dict[str, int], receive: Receive) -> None:
        """`ports`: by kind; 0 takes a free one."""
        self._host = host
        self._ports = ports
        self._receive = receive
        self._sockets: dict[tuple[str, int], socket.socket] = {}
        try:
            self._family = _family(host)
        except ValueError:
            raise SocketError(f"radius.host: {host!r} is not an IP address") from None

    def open(self) -> None:
        """Open the sockets of `host`. Raises SocketError."""
        for kind in self._ports:
            self._open(kind, self._family, self._host)

    def open_for(self, kind: str, ip: str) -> None:
        """Have a socket of the IP version of a server. Raises SocketError."""
        family = _family(ip)
        if (kind, family) not in self._sockets:
            self._open(kind, family, _ANY[family])

    def _open(self, kind: str, family: int, host: str) -> None:
        opened = open_socket(kind, host, self._ports[kind])
        self._sockets[kind, family] = opened
        asyncio.get_running_loop().add_reader(opened.fileno(), self._readable, kind, opened)

    def port(self, kind: str) -> int:
        """Return the port of a kind."""
        port: int = self._sockets[kind, self._family].getsockname()[1]
        return port

    def send(self, kind: str, ip: str, port: int, data: bytes) -> bool:
        """Send a datagram; False if it cannot be sent now."""
        opened = self._sockets.get((kind, _family(ip)))
        if opened is None:
            return False
        try:
            opened.sendto(data, (ip, port))
        except OSError:  # no room, no route, not permitted
            return False
        return True

    def _readable(self, kind: str, opened: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                data, address = opened.recvfrom(_MAX_DATAGRAM)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:  # an ICMP error of an earlier datagram
                log.debug("receiving failed", kind=kind, detail=str(error))
                return
            self._receive(kind, address[0], address[1], data)

    def close(self) -> None:
        """Close all."""
        loop = asyncio.get_running_loop()
        for opened in self._sockets.values():
            with contextlib.suppress(ValueError):
                loop.remove_reader(opened.fileno())
            opened.close()
        self._sockets.clear()


def open_socket(kind: str, host: str, port: int) -> socket.socket:
    """Open the UDP socket of a kind. Raises SocketError."""
    try:
        family = _family(host)
    except ValueError:
        raise SocketError(f"radius.host: {host!r} is not an IP address") from None
    opened = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.setblocking(False)
        opened.bind((host, port))
    except OSError as error:
        opened.close()
        raise SocketError(
            f"radius.{kind}_port: cannot bind UDP {host} port {port}: {error.strerror}; "
            f"choose another with --set radius.{kind}_port=N (0: any free one)"
        ) from None
    return opened


def _family(ip: str) -> int:
    version = ipaddress.ip_address(ip).version
    return socket.AF_INET if version == 4 else socket.AF_INET6
