"""Clients that are slow, silent, or speak no HTTP: bounded, answered, and counted."""

import asyncio
import json
import socket

import pytest

from gw.api import server
from gw.api.edge import Edge, RouteMethods
from gw.api.server import Certificate, Listener

from .test_server import files, listening, pki_dir, raw, trust  # noqa: F401 - fixtures

LARGE = 4_000_000


async def application(scope, receive, send):
    """`/now` answers before the body has come, `/large` a lot, all else the size of the body."""
    body = b""
    if scope["path"] != "/now":
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
    text = b"x" * LARGE if scope["path"] == "/large" else b"%d" % len(body)
    length = (b"content-length", str(len(text)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": text})


@pytest.fixture
async def start(files, monkeypatch):  # noqa: F811
    """Start a listener whose limits are changed, and what it observed."""
    running = []

    async def begin(**limits):
        for name, seconds in limits.items():
            monkeypatch.setattr(server, name, seconds)
        seen = []

        def observe(status, _seconds):
            seen.append(status)

        sock = listening()
        app = Edge(application, RouteMethods(()), ["*"], observe)
        made = Listener(
            app,
            sock,
            Certificate(*files),
            drain_seconds=2,
            body_seconds=limits.get("BODY_SECONDS", 60.0),
            observe=observe,
        )
        made.port, made.seen = sock.getsockname()[1], seen
        running.append((made, asyncio.create_task(made.run_until_stopped())))
        await made.wait_started()
        return made

    yield begin
    for made, task in running:
        made.stop()
        await task


async def ended(reader):
    """Read until the connection ends; it must end soon."""
    async with asyncio.timeout(60):
        try:
            return await reader.read()
        except ConnectionError:
            return b""


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GARBAGE\r\n\r\n",
        b"FOO / HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
        b"GET no-slash HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nbig: " + b"x" * 100_000 + b"\r\n\r\n",
    ],
)
async def test_what_is_no_request(start, trust, request_bytes):  # noqa: F811
    made = await start()
    reader, writer = await raw(made.port, trust)
    writer.write(request_bytes)
    head, _, body = (await ended(reader)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["ErrorDescription"].startswith("1050: ")
    assert made.seen == [400]
    writer.close()


async def test_body_that_trickles_after_the_answer(start, trust):  # noqa: F811
    made = await start(LINGER_SECONDS=0.3)
    reader, writer = await raw(made.port, trust)
    writer.write(b"POST /now HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n")
    assert b" 200 " in await reader.readline()
    dripping = asyncio.create_task(drip(writer))
    await ended(reader)
    await dripping


async def drip(writer):
    """Send a byte now and then until the other side has had enough."""
    while not writer.is_closing():
        writer.write(b" ")
        await asyncio.sleep(0.05)


async def test_body_that_trickles(start, trust):  # noqa: F811
    made = await start(BODY_SECONDS=0.3)
    reader, writer = await raw(made.port, trust)
    writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n")
    dripping = asyncio.create_task(drip(writer))
    assert await ended(reader) == b""
    await dripping


async def test_empty_lines_do_not_keep_a_connection(start, trust):  # noqa: F811
    made = await start(HEADER_SECONDS=0.4)
    reader, writer = await raw(made.port, trust)
    writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    assert b" 200 " in await reader.readline()

    async def lines():
        while not writer.is_closing():
            writer.write(b"\r\n")
            await asyncio.sleep(0.05)

    sending = asyncio.create_task(lines())
    await ended(reader)
    await sending


async def test_rest_of_a_body_may_come_after_the_answer(start, trust):  # noqa: F811
    made = await start()
    reader, writer = await raw(made.port, trust)
    writer.write(b"POST /now HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\n")
    assert b" 200 " in await reader.readline()
    writer.write(
        b"abcPOST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nconnection: close\r\n\r\nxy"
    )
    assert (await ended(reader)).endswith(b"2")
    assert made.seen == [200, 200]
    writer.close()


def small_socket(port):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", port))
    sock.setblocking(False)
    return sock


async def large(port, trust):  # noqa: F811
    """Ask for a large answer, over a connection that takes only what is read."""
    reader, writer = await asyncio.open_connection(
        sock=small_socket(port), ssl=trust, server_hostname="localhost", limit=2048
    )
    writer.write(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n")
    return reader, writer


async def test_answer_that_nobody_reads(start, trust):  # noqa: F811
    made = await start(WRITE_SECONDS=0.3)
    reader, writer = await large(made.port, trust)
    await reader.readline()
    async with asyncio.timeout(60):
        while made.server_state.connections:
            await asyncio.sleep(0.02)
    writer.close()


async def test_answer_that_is_read_slowly_arrives(start, trust):  # noqa: F811
    """In all for longer than a part of it may take."""
    made = await start(WRITE_SECONDS=2.0, HEADER_SECONDS=2.0)
    reader, writer = await large(made.port, trust)
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 200 " in head
    async with asyncio.timeout(60):
        for _ in range(8):
            await asyncio.sleep(0.4)
            await reader.readexactly(LARGE // 8)
    writer.close()


async def test_too_many_connections(start, trust, monkeypatch):  # noqa: F811
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 3)
    made = await start()
    idle = [await raw(made.port, trust) for _ in range(3)]
    reader, writer = await raw(made.port, trust)
    writer.write(b"GET / HTTP/1.1\r\nhost: x\r\norigin: https://ui\r\n\r\n")
    head, _, body = (await ended(reader)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"access-control-allow-origin: https://ui" in head
    assert json.loads(body)["ErrorCode"] == 503
    assert made.seen == [503]
    for _, one in (*idle, (reader, writer)):
        one.close()
