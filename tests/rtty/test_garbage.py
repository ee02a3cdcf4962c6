"""Whatever an end sends: nothing but its own session ends, and nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Any

from terminals import DEADLINE, Station

from gw.rtty import frames
from gw.rtty.frames import Kind, Registration

ROUNDS = 60
_HEAD = "GET /connect/{} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
_KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"


def faults_of(loop: asyncio.AbstractEventLoop) -> list[dict[str, Any]]:
    """What nobody handled, from now on."""
    found: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: found.append(context))
    return found


async def connection(
    station: Station, port: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(
        "127.0.0.1", port, ssl=station.tls(None), server_hostname="127.0.0.1"
    )


async def leave(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def some_bytes(chance: random.Random) -> bytes:
    """Bytes, or frames with anything in them."""
    if chance.random() < 0.3:
        return chance.randbytes(chance.randrange(1, 400))
    return b"".join(
        frames.encode(chance.choice(list(Kind)), chance.randbytes(chance.randrange(0, 40)))
        for _ in range(chance.randrange(1, 8))
    )


async def test_garbage_of_devices(station: Station) -> None:
    unhandled = faults_of(asyncio.get_running_loop())
    chance = random.Random(20)
    for round_ in range(ROUNDS):
        credentials = station.session()
        reader, writer = await connection(station, station.port)
        if round_ % 3:
            told = Registration(credentials.id, "x", credentials.token)
            writer.write(frames.registration(told))
            assert await reader.readexactly(7) == frames.accepted()
        async with station.view(credentials.id) as viewer:
            if round_ % 3 == 2:
                assert await reader.readexactly(3) == frames.encode(Kind.LOGIN)
                writer.write(frames.encode(Kind.LOGIN, b"\0\7"))
                async with asyncio.timeout(DEADLINE):
                    await viewer.recv()
            writer.write(some_bytes(chance))
            await leave(writer)
    await station.until(lambda: not station.server.sessions or all_waiting(station))
    for session in station.server.sessions:
        session.end("drain")
    assert unhandled == []
    assert station.metric("gw_rtty_sessions") == 0


def all_waiting(station: Station) -> bool:
    """Only sessions are left whose browser is gone before a device came."""
    return all(one.device is None and one.viewer is None for one in station.server.sessions)


async def test_garbage_of_browsers(station: Station) -> None:
    unhandled = faults_of(asyncio.get_running_loop())
    chance = random.Random(21)
    for round_ in range(ROUNDS):
        credentials = station.session()
        agent, running = station.agent(credentials)
        async with asyncio.timeout(DEADLINE):
            await agent.registered.wait()
        reader, writer = await connection(station, station.viewer_port)
        if round_ % 3:
            head = _HEAD.format(credentials.id) + _KEY
            writer.write(head.encode())
            assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        garbage = chance.randbytes(chance.randrange(1, 400))
        if round_ % 3 == 2:  # masked, final, and of any kind
            garbage = bytes((0x80 | chance.randrange(16), 0x80 | 20)) + chance.randbytes(24)
        writer.write(garbage + b"\r\n\r\n")
        await leave(writer)
        running.cancel()
    await station.until(lambda: not station.server.sessions or all_waiting(station))
    for session in station.server.sessions:
        session.end("drain")
    assert unhandled == []
    assert station.metric("gw_rtty_sessions") == 0
