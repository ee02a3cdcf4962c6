"""The life of a socket: what ends it besides its client."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace

import pytest

from gw.api.live import sockets
from gw.api.live.sockets import Socket
from gw.api.live.viewer import POLICY, Viewer
from gw.core.errors import ApiError
from gw.core.settings import Streams
from gw.store.errors import StoreError


class Wire:
    """A client that says what it is told to, and notes what it is sent."""

    def __init__(self) -> None:
        self.says: asyncio.Queue[dict] = asyncio.Queue()
        self.sent: list[dict] = []

    async def send(self, message):
        self.sent.append(message)


@pytest.fixture
def wire():
    return Wire()


@pytest.fixture
def hub():
    refusals = []
    return SimpleNamespace(settings=Streams(), refusals=refusals, refused=refusals.append)


@pytest.fixture
def socket(wire, hub):
    scope = {"path": "/api/v1/ws", "headers": [], "query_string": b"", "client": ("192.0.2.1", 5)}
    return Socket(scope, wire.says.get, wire.send, hub)


async def unheard(_: str) -> None:
    pass


async def test_a_token_that_ends_ends_the_socket(socket, wire, hub, monkeypatch):
    monkeypatch.setattr(sockets, "_RECHECK_SECONDS", 0.01)
    answers = iter([None, StoreError("away"), None, ApiError(9)])

    async def still():
        answer = next(answers)
        if answer is not None:
            raise answer

    await asyncio.wait_for(socket.serve(Viewer(hub.settings), unheard, still), 60)
    assert next(answers, "none") == "none"  # a store that is away is not the viewer's fault
    assert json.loads(wire.sent[0]["text"])["error"].startswith("9:")
    assert wire.sent[1:] == [{"type": "websocket.close", "code": POLICY}]
    assert hub.refusals == ["token"]


async def test_a_client_that_goes_is_not_answered(socket, wire, hub):
    wire.says.put_nowait({"type": "websocket.receive", "text": "a"})
    wire.says.put_nowait({"type": "websocket.disconnect", "code": 1000})
    heard = []

    async def hear(text):
        heard.append(text)

    await asyncio.wait_for(socket.serve(Viewer(hub.settings), hear), 60)
    assert heard == ["a"]
    assert wire.sent == []


async def test_a_fault_of_ours_ends_the_socket_and_is_logged(socket, wire, hub, capsys):
    wire.says.put_nowait({"type": "websocket.receive", "text": "a"})

    async def hear(_):
        raise RuntimeError("a fault")

    await asyncio.wait_for(socket.serve(Viewer(hub.settings), hear), 60)
    assert wire.sent == [{"type": "websocket.close", "code": POLICY}]
    assert "a socket failed" in capsys.readouterr().out


async def test_nothing_of_a_viewer_that_is_stuck_is_waited_for(socket, wire, hub):
    viewer = Viewer(Streams(queue_items=1))
    never = asyncio.Event()

    async def stuck(message):
        await never.wait()

    socket.send = stuck
    for _ in range(3):
        viewer.put("x")
    await asyncio.wait_for(socket.serve(viewer, unheard), 60)
    assert hub.refusals == ["slow"]
