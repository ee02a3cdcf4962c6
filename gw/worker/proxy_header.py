"""Takes the PROXY protocol header off an accepted connection, and not a byte of TLS behind it."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from gw.protocol.proxy_protocol import (
    MAX_HEADER,
    MIN_HEADER,
    ProxyHeader,
    ProxyHeaderError,
    parse,
)
from gw.worker.tls import readable


async def take_header(connection: socket.socket, deadline: float) -> ProxyHeader | None:
    """Wait for a whole header and take exactly it; None: the peer left without a byte.

    The bytes are looked at in the socket's own buffer, so that a slow sender costs no memory here.
    `deadline` is a time of the loop. Raises TimeoutError, ProxyHeaderError or OSError.
    """
    loop = asyncio.get_running_loop()
    wanted = MIN_HEADER
    try:
        while True:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, wanted)
            if not await readable(loop, connection, deadline):
                raise TimeoutError
            seen = connection.recv(MAX_HEADER, socket.MSG_PEEK)
            if not seen:
                return None
            found = parse(seen)
            if isinstance(found, ProxyHeader):
                connection.recv(found.size)
                return found
            if len(seen) < wanted:  # it is readable all the same: nothing more comes
                raise ProxyHeaderError(f"the connection ends within it, after {len(seen)} bytes")
            wanted = found
    finally:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)


def has_left(connection: socket.socket) -> bool:
    """Tell whether the peer closed the connection and left no byte to be read."""
    try:
        return not connection.recv(1, socket.MSG_PEEK)
    except OSError:
        return False
