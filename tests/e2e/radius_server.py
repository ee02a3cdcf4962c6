"""A tiny RADIUS server for tests; its packets are pyrad's, an implementation of others."""

from __future__ import annotations

import asyncio
import io
import ssl
from collections.abc import Callable
from typing import Any

from pyrad.dictionary import Dictionary
from pyrad.packet import AcctPacket, AuthPacket, CoAPacket, Packet

SECRET = b"testing123"
DEADLINE = 60.0
DICTIONARY = Dictionary(
    io.StringIO(
        "\n".join(
            f"ATTRIBUTE {name} {number} {kind}"
            for name, number, kind in (
                ("User-Name", 1, "string"), ("NAS-IP-Address", 4, "ipaddr"),
                ("Reply-Message", 18, "string"), ("State", 24, "octets"),
                ("Called-Station-Id", 30, "string"), ("Calling-Station-Id", 31, "string"),
                ("NAS-Identifier", 32, "string"), ("Proxy-State", 33, "octets"),
                ("Acct-Status-Type", 40, "integer"), ("Acct-Input-Octets", 42, "integer"),
                ("Acct-Output-Octets", 43, "integer"), ("Acct-Session-Id", 44, "string"),
                ("Acct-Input-Packets", 47, "integer"), ("Acct-Output-Packets", 48, "integer"),
                ("Acct-Terminate-Cause", 49, "integer"),
                ("Acct-Multi-Session-Id", 50, "string"), ("Event-Timestamp", 55, "integer"),
                ("Message-Authenticator", 80, "octets"), ("Error-Cause", 101, "integer"),
            )
        )
    )
)  # fmt: skip


def read(data: bytes, secret: bytes) -> Packet:
    """Read a request, and check its signature."""
    if data[0] in (1, 12):
        packet = AuthPacket(packet=data, secret=secret, dict=DICTIONARY)
        assert packet.verify_message_authenticator()
    elif data[0] == 4:
        packet = AcctPacket(packet=data, secret=secret, dict=DICTIONARY)
        assert packet.VerifyAcctRequest()
    else:
        packet = CoAPacket(packet=data, secret=secret, dict=DICTIONARY)
        assert packet.VerifyCoARequest()
    return packet


class RadiusServer:
    """Answers every request, or as `answer` says; `silent` answers none."""

    def __init__(self, secret: bytes = SECRET) -> None:
        self.secret = secret
        self.seen: asyncio.Queue[Packet] = asyncio.Queue()
        self.probes = 0
        self.silent = False
        self.answer: Callable[[Packet, Packet], None] = lambda request, reply: None
        self.port = 0
        self.transport: Any = None

    def handle(self, data: bytes) -> bytes | None:
        """Return the answer to a request."""
        request = read(data, self.secret)
        if request.code == 12:
            self.probes += 1
        else:
            self.seen.put_nowait(request)
        if self.silent:
            return None
        reply = request.CreateReply()
        reply.code = {1: 2, 4: 5, 12: 2}[request.code]
        for state in request.get(33, []):
            reply.AddAttribute("Proxy-State", state)
        self.answer(request, reply)
        data: bytes = reply.ReplyPacket()
        return data

    async def next(self) -> Packet:
        """Wait for the next request."""
        async with asyncio.timeout(DEADLINE):
            return await self.seen.get()

    # -- UDP

    async def start(self, host: str = "127.0.0.1") -> RadiusServer:
        """Listen on a free port."""
        loop = asyncio.get_running_loop()
        self.transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), (host, 0))
        self.port = self.transport.get_extra_info("sockname")[1]
        return self

    def stop(self) -> None:
        """Close."""
        self.transport.close()

    # -- TLS

    async def serve_tls(self, context: ssl.SSLContext) -> asyncio.Server:
        """Listen for RadSec on a free port."""
        self.connected: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
        self.answers: asyncio.Queue[bytes] = asyncio.Queue()
        server = await asyncio.start_server(self._stream, "127.0.0.1", 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connected.put_nowait(writer)
        try:
            while True:
                header = await reader.readexactly(4)
                data = header + await reader.readexactly(int.from_bytes(header[2:], "big") - 4)
                if data[0] in (41, 42, 44, 45):
                    self.answers.put_nowait(data)
                elif (answer := self.handle(data)) is not None:
                    writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: RadiusServer) -> None:
        self.server = server

    def datagram_received(self, data: bytes, address: Any) -> None:
        answer = self.server.handle(data)
        if answer is not None:
            self.server.transport.sendto(answer, address)


class CoaClient(asyncio.DatagramProtocol):
    """Sends CoA and Disconnect requests to a port, and keeps the answers."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answers: asyncio.Queue[bytes] = asyncio.Queue()
        self.transport: Any = None

    async def start(self) -> CoaClient:
        """Open a socket."""
        loop = asyncio.get_running_loop()
        self.transport, _ = await loop.create_datagram_endpoint(
            lambda: self, ("127.0.0.1", 0)
        )  # fmt: skip
        return self

    def stop(self) -> None:
        """Close it."""
        self.transport.close()

    def send(self, data: bytes) -> None:
        """Send a request."""
        self.transport.sendto(data, ("127.0.0.1", self.port))

    def datagram_received(self, data: bytes, address: Any) -> None:
        """Keep an answer."""
        self.answers.put_nowait(data)

    async def next(self) -> bytes:
        """Wait for an answer."""
        async with asyncio.timeout(DEADLINE):
            return await self.answers.get()
