"""Listening sockets: the supervisor makes them and hands them down, so that they outlive a role.

Devices have one socket per worker slot, all on one port (SO_REUSEPORT): the kernel spreads
connections over the slots, and those of a slot whose worker restarts wait in its backlog.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Final

from gw.core.listeners import device_listeners
from gw.core.settings import Devices

# With TLS the client speaks first; waking a worker for a bare TCP connection is of no use.
# One second: after it the silent ones are handed over too, and time out there.
_DEFER_ACCEPT_SECONDS: Final = 1
_HTTP_BACKLOG: Final = 1024


class ListenError(Exception):
    """A socket cannot be opened; the text says which setting, why, and what to do."""


class DeviceSockets:
    """The sockets of all device listeners, one per listener and worker slot."""

    def __init__(self, devices: Devices, slots: int) -> None:
        self.listeners = device_listeners(devices)
        self.slots = slots
        self._backlog = devices.backlog
        self._opened: dict[str, list[socket.socket | None]] = {}
        self._ports: dict[str, int] = {}

    def open(self) -> None:
        """Open all. Raises ListenError; what is open then is for `close`."""
        for one in self.listeners:
            opened = open_slots(one.section, one.host, one.port, self.slots, self._backlog)
            self._opened[one.name] = [*opened]
            self._ports[one.name] = port_of(opened[0])

    def descriptors(self, slot: int) -> dict[str, int]:
        """Return those of a slot whose worker starts, by the names that it knows them by."""
        found: dict[str, int] = {}
        for one in self.listeners:
            opened = self._opened[one.name][slot]
            if opened is None:
                opened = open_slot(one.section, one.host, self._ports[one.name], self._backlog)
                self._opened[one.name][slot] = opened
            found[one.socket_name] = opened.fileno()
        return found

    def take_out(self, slot: int) -> bool:
        """Close those of a slot, so that others get its connections; False: they were closed."""
        taken = False
        for sockets in self._opened.values():
            opened = sockets[slot]
            if opened is not None:
                opened.close()
                sockets[slot] = None
                taken = True
        return taken

    def close(self) -> None:
        """Close all."""
        for slot in range(self.slots):
            self.take_out(slot)

    def addresses(self) -> dict[str, str]:
        """Return where devices reach each listener, `host:port`, by name."""
        return {
            one.name: f"{public_host(one.host)}:{self._ports[one.name]}" for one in self.listeners
        }


def open_slots(section: str, host: str, port: int, slots: int, backlog: int) -> list[socket.socket]:
    """Open one socket per worker slot on the same port; port 0: the first picks it."""
    # Two gateways of one user could share a port by SO_REUSEPORT without noticing: so the port
    # is tried without it first.
    _listen(section, host, port, backlog, reuse_port=False).close()
    sockets: list[socket.socket] = []
    try:
        for _ in range(slots):
            opened = open_slot(section, host, port, backlog)
            sockets.append(opened)
            port = port_of(opened)
    except ListenError:
        for opened in sockets:
            opened.close()
        raise
    return sockets


def open_slot(section: str, host: str, port: int, backlog: int) -> socket.socket:
    """Open one more socket on a port that this gateway has."""
    opened = _listen(section, host, port, backlog, reuse_port=True)
    # Both are inherited by the connections that are accepted.
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, _DEFER_ACCEPT_SECONDS)
    return opened


def open_http(section: str, host: str, port: int, *, setting: str = "port") -> socket.socket:
    """Open the socket of one listener of which there is one; `setting` is the key of its port."""
    opened = _listen(section, host, port, _HTTP_BACKLOG, reuse_port=False, setting=setting)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return opened


def port_of(opened: socket.socket) -> int:
    """Return the port that a socket listens on."""
    port: int = opened.getsockname()[1]
    return port


def public_host(host: str) -> str:
    """Return a host name by which a listener is reached, and that its certificate has."""
    if host in ("", "0.0.0.0", "::", "*"):  # noqa: S104 - compared, not bound
        return "localhost"
    return f"[{host}]" if ":" in host else host


def _listen(
    section: str, host: str, port: int, backlog: int, *, reuse_port: bool, setting: str = "port"
) -> socket.socket:
    host = "" if host == "*" else host
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except socket.gaierror as exc:
        raise ListenError(f"{section}.host: {host!r} is not a host or address: {exc}") from None
    # `localhost` means 127.0.0.1 to more programs than it means ::1.
    family, kind, protocol, _, address = sorted(found, key=lambda f: f[0] != socket.AF_INET)[0]
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6 and address[0] == "::":
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        opened.bind(address)
        opened.listen(backlog)
        opened.setblocking(False)
    except OSError as exc:
        opened.close()
        raise ListenError(explain(section, host, port, exc, setting)) from None
    return opened


def explain(section: str, host: str, port: int, error: OSError, setting: str = "port") -> str:
    """Say why an address cannot be listened on, and what to do."""
    member = "[" in section  # of a list: --set does not reach into those
    choose = f"{section}.{setting}" if member else f"--set {section}.{setting}=N"
    where = f"{section}: cannot listen on {host or '*'} port {port}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"{where}: it is in use. See who has it with `ss -ltnp 'sport = :{port}'`; stop that, "
            f"or choose another with {choose} (0: any free one)"
        )
    if error.errno == errno.EACCES:
        return f"{where}: ports below 1024 need a privilege; choose {choose} above"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{where}: this machine does not have that address; see {section}.host"
    return f"{where}: {os.strerror(error.errno or 0)}"
