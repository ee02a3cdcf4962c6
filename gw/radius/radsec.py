"""RadSec: RADIUS over TLS (RFC 6614), one connection per server, kept and made again.

The server's certificate must be issued by one of the pool's own authorities; its name is not
looked at, since servers are given by address (RFC 6614 2.3 leaves that to the operator).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import Callable
from typing import Final

from gw.core.settings import Radius
from gw.ops import logs
from gw.radius.configuration import ServerEntry, pem
from gw.radius.packet import MAX_BYTES, MIN_BYTES
from gw.radius.pools import Endpoint

log = logs.get("radius")

_HEADER: Final = 4

Receive = Callable[[Endpoint, bytes], None]
Changed = Callable[[Endpoint, bool], None]
"""Called when a connection stands (True), failed or was lost (False)."""


class Connection:
    """The connection to one RadSec server; `run` keeps it."""

    def __init__(
        self,
        endpoint: Endpoint,
        entry: ServerEntry,
        settings: Radius,
        receive: Receive,
        changed: Changed,
    ) -> None:
        self.endpoint = endpoint
        self._entry = entry
        self._settings = settings
        self._receive = receive
        self._changed = changed
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def stands(self) -> bool:
        """Whether packets can be sent."""
        return self._writer is not None

    def start(self) -> None:
        """Begin to connect."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Close, and connect no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def send(self, data: bytes) -> bool:
        """Send a packet; False if the connection does not stand or takes no more."""
        writer = self._writer
        if writer is None or writer.transport.is_closing():
            return False
        if writer.transport.get_write_buffer_size() > self._settings.send_buffer_bytes:
            return False
        writer.write(data)
        return True

    def cut(self) -> None:
        """Drop the connection: its server does not answer. It is made again."""
        if self._writer is not None:
            self._writer.transport.abort()

    async def _run(self) -> None:
        pause = self._settings.reconnect_seconds
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self._once()
                reason = "the server closed the connection"
            except (OSError, ssl.SSLError, TimeoutError, ValueError, EOFError) as error:
                reason = str(error) or type(error).__name__
            except Exception as error:  # a fault of ours must not end all later attempts
                log.exception("RadSec connection failed", detail=repr(error))
                reason = "see above"
            lived = asyncio.get_running_loop().time() - began
            if lived > self._settings.reconnect_max_seconds:
                pause = self._settings.reconnect_seconds
            self._changed(self.endpoint, False)
            log.warning(
                "RadSec connection lost", server=self._entry.name, address=self.endpoint.key.ip,
                port=self.endpoint.key.port, detail=reason, retry_seconds=round(pause, 1),
            )  # fmt: skip
            await asyncio.sleep(pause)
            pause = min(pause * 2, self._settings.reconnect_max_seconds)

    async def _once(self) -> None:
        """Connect, and read until the end."""
        context = client_context(self._entry)
        key = self.endpoint.key
        async with asyncio.timeout(self._settings.connect_seconds):
            reader, writer = await asyncio.open_connection(
                key.ip, key.port, ssl=context, server_hostname=key.ip, limit=2 * MAX_BYTES
            )
        self._writer = writer
        try:
            self._changed(self.endpoint, True)
            log.info("RadSec connection stands", server=self._entry.name, address=key.ip,
                     port=key.port)  # fmt: skip
            while True:
                self._receive(self.endpoint, await read_packet(reader))
        finally:
            self._writer = None
            writer.transport.abort()


async def read_packet(reader: asyncio.StreamReader) -> bytes:
    """Read one packet of a stream. Raises EOFError at its end, ValueError for no packet."""
    header = await reader.readexactly(_HEADER)
    length = int.from_bytes(header[2:4], "big")
    if not MIN_BYTES <= length <= MAX_BYTES:
        raise ValueError(f"a packet with length {length}")
    return header + await reader.readexactly(length - _HEADER)


def client_context(entry: ServerEntry) -> ssl.SSLContext:
    """Return the TLS settings for a server. Raises ValueError or ssl.SSLError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    # A private issuing authority may be given without its root.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    for text in entry.radsec_cacerts:
        context.load_verify_locations(cadata=pem(text).decode("ascii"))
    if entry.allow_self_signed and not entry.radsec_cacerts:
        context.verify_mode = ssl.CERT_NONE
    # The ssl module reads keys of files only: one in memory, which nobody else can open.
    memfd = os.memfd_create("radsec", os.MFD_CLOEXEC)
    try:
        os.write(memfd, pem(entry.radsec_cert) + b"\n" + pem(entry.radsec_key) + b"\n")
        context.load_cert_chain(f"/proc/self/fd/{memfd}")
    finally:
        os.close(memfd)
    return context
