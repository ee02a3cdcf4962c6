"""The health page of a server: its status, or why there is none."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from gw.radius.monitor import get_status


@pytest.fixture
async def serve(pki_dir):
    """Start an https server that gives one answer; returns its port and a list of requests."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki_dir / "server.pem", pki_dir / "server.key")
    servers = []

    async def start(answer: bytes) -> tuple[int, list[bytes]]:
        seen: list[bytes] = []

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer)
            writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
        servers.append(server)
        return server.sockets[0].getsockname()[1], seen

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def trusting(pki_dir):
    return ssl.create_default_context(cafile=str(pki_dir / "ca.pem"))


@pytest.mark.parametrize("status", [200, 204, 404, 503])
async def test_the_status_is_told(serve, trusting, status):
    port, seen = await serve(b"HTTP/1.1 %d Text\r\n\r\n" % status)
    url = f"https://localhost:{port}/health?server=10.0.0.1"
    assert await get_status(url, trusting) == status
    assert seen[0].startswith(b"GET /health?server=10.0.0.1 HTTP/1.1\r\n")


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 what\r\n", b"x" * 5000])
async def test_what_is_not_http_is_an_error(serve, trusting, answer):
    port, _ = await serve(answer)
    with pytest.raises(ValueError):
        await get_status(f"https://localhost:{port}/", trusting)


async def test_a_stranger_is_not_asked(serve):
    port, seen = await serve(b"HTTP/1.1 200 OK\r\n\r\n")
    with pytest.raises(ssl.SSLError):
        await get_status(f"https://localhost:{port}/", ssl.create_default_context())
    assert seen == []
