"""A gateway of a few lines, for tests of simulated devices."""

from __future__ import annotations

import asyncio
import base64
import json
import zlib

from picows import WSListener, WSMsgType, ws_create_server

SERIAL = "02a0c9000001"
WAIT = 60.0


class Peer(WSListener):
    """The gateway's end of one connection."""

    def __init__(self, server, request):
        self.server, self.request = server, request
        self.transport = None

    def on_ws_connected(self, transport):
        self.transport = transport
        self.server.peers.append(self)

    def on_ws_frame(self, transport, frame):
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif frame.msg_type == WSMsgType.TEXT:
            self.server.frames.put_nowait(frame.get_payload_as_bytes())
        elif frame.msg_type in (WSMsgType.BINARY, WSMsgType.CONTINUATION):
            self.server.frames.put_nowait(frame.msg_type.name.encode())
        elif frame.msg_type == WSMsgType.PONG:
            self.server.frames.put_nowait(b'{"method":"PONG"}')

    def on_ws_disconnected(self, _transport):
        self.server.ended += 1

    def request_of(self, method, params, request_id=7):
        self.send({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})

    def send(self, message):
        self.transport.send(WSMsgType.TEXT, json.dumps(message).encode())

    def configure(self, uuid, config, *, pack=False, **more):
        params = {"serial": SERIAL, "uuid": uuid, "when": 0, "config": {**config, "uuid": uuid}}
        params |= more
        if pack:
            text = json.dumps(params).encode()
            data = base64.b64encode(zlib.compress(text)).decode()
            params = {"compress_64": data, "compress_sz": len(text)}
        self.request_of("configure", params)


class Server:
    """A gateway that writes down what it hears, and says what the test tells it to."""

    def __init__(self, context):
        self.context = context
        self.frames = asyncio.Queue()
        self.peers = []
        self.ended = 0
        self.port = 0

    async def start(self, port=0):
        self.listener = await ws_create_server(
            lambda request: Peer(self, request), "127.0.0.1", port, ssl=self.context
        )
        self.port = self.listener.sockets[0].getsockname()[1]

    async def stop(self):
        self.listener.close()
        for peer in self.peers:
            peer.transport.disconnect(graceful=False)
        await self.listener.wait_closed()

    @property
    def peer(self):
        return self.peers[-1]

    async def message(self, method=None):
        """Return the next message, or the next of `method`; "result" for an answer."""
        async with asyncio.timeout(WAIT):
            while True:
                message = json.loads(await self.frames.get())
                if method is None or message.get("method", "result") == method:
                    return message


async def joined(make, server, **options):
    device = make(**options)
    await device.connect(deadline=WAIT)
    await server.message("connect")
    return device


async def settled(device):
    await device.confirm(WAIT)
