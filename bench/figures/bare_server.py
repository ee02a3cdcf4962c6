"""The floor of receiving: picows on uvloop with the same TLS, which looks at nothing.

Usage: python -m bench.figures.bare_server PKI; prints its port.
"""

from __future__ import annotations

import sys
from pathlib import Path

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from gw.core.listeners import device_listeners
from gw.core.settings import Devices
from gw.worker import tls


class Sink(WSListener):
    """Takes frames, answers PINGs and texts that ask for it."""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """See picows."""
        if frame.msg_type == WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()


class Echo(Sink):
    """Sends each text back."""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """See picows."""
        if frame.msg_type == WSMsgType.TEXT:
            transport.send(WSMsgType.TEXT, frame.get_payload_as_bytes())
        else:
            super().on_ws_frame(transport, frame)


def listener(request: WSUpgradeRequest) -> WSListener:
    """Echo below /echo, else sink."""
    return Echo() if request.path == b"/echo" else Sink()


async def serve(pki: Path) -> None:
    """Serve until killed."""
    devices = Devices(
        certificate=str(pki / "server.pem"), key=str(pki / "server.key"), ca=str(pki / "ca.pem")
    )
    server = await ws_create_server(
        listener,
        "127.0.0.1",
        0,
        ssl=tls.server_context(device_listeners(devices)[0]),
        max_frame_size=2**24,
        read_buffer_init_size=2048,
        backlog=4096,
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1])))
