"""The PROXY protocol header on a real socket: all of it is taken, and nothing behind it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from gw.protocol.proxy_protocol import ProxyHeaderError
from gw.worker.proxy_header import has_left, take_header

WAIT = 60.0
LINE = b"PROXY TCP6 2001:db8::1 2001:db8::2 4711 15002\r\n"
BINARY = (
    b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0f" + bytes((192, 0, 2, 1, 192, 0, 2, 2, 1, 2, 3, 4))
    + b"\x04\x00\x00"
)  # fmt: skip
HELLO = b"\x16\x03\x01\x00\x05hello"


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a TCP connection: that of the gateway first."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        peer = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    ours.setblocking(False)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with ours, peer:
        yield ours, peer


def deadline(seconds: float = WAIT) -> float:
    return asyncio.get_running_loop().time() + seconds


async def rest(ours: socket.socket) -> bytes:
    async with asyncio.timeout(WAIT):
        return await asyncio.get_running_loop().sock_recv(ours, 100)


@pytest.mark.parametrize(
    ("header", "source"),
    [(LINE, ("2001:db8::1", 4711)), (BINARY, ("192.0.2.1", 258)), (b"PROXY UNKNOWN\r\n", None)],
)
async def test_what_follows_in_the_same_packet_is_left(ends, header, source):
    ours, peer = ends
    peer.sendall(header + HELLO)
    found = await take_header(ours, deadline())
    assert found is not None
    assert found.source == source
    assert await rest(ours) == HELLO


@pytest.mark.parametrize("header", [LINE, BINARY])
async def test_a_header_in_single_bytes(ends, header):
    ours, peer = ends
    reading = asyncio.create_task(take_header(ours, deadline()))
    for at in range(len(header)):
        peer.sendall(header[at : at + 1])
        await asyncio.sleep(0)  # the reader gets its turn
        assert not reading.done() or at == len(header) - 1
    found = await reading
    assert found is not None
    assert found.size == len(header)
    peer.sendall(HELLO)
    assert await rest(ours) == HELLO


async def test_a_peer_that_leaves_without_a_byte_is_no_fault(ends):
    ours, peer = ends
    assert not has_left(ours)
    peer.close()
    assert await take_header(ours, deadline()) is None
    assert has_left(ours)


@pytest.mark.parametrize("part", [LINE[:20], LINE[:-1], BINARY[:5], BINARY[:16], BINARY[:-1]])
async def test_a_header_that_is_cut_off(ends, part):
    ours, peer = ends
    peer.sendall(part)
    peer.shutdown(socket.SHUT_WR)
    with pytest.raises(ProxyHeaderError, match=f"after {len(part)} bytes"):
        await take_header(ours, deadline())


async def test_tls_without_a_header(ends):
    ours, peer = ends
    peer.sendall(HELLO + HELLO)
    with pytest.raises(ProxyHeaderError, match="no PROXY"):
        await take_header(ours, deadline())


async def test_a_header_that_does_not_come(ends):
    ours, peer = ends
    peer.sendall(BINARY[:-1])
    with pytest.raises(TimeoutError):
        await take_header(ours, deadline(0.1))
    # The socket is as it was: one byte is enough for whoever reads it next.
    assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == 1
