"""What connections cost: handshake and upgrade, `connect` to in step, and memory."""

from __future__ import annotations

import asyncio
import ssl
import time
from pathlib import Path

from bench.figures.rig import (
    Cost,
    Figure,
    Scale,
    everybody,
    gateway,
    load,
    memory_kib,
    serials,
    workers,
)
from gw.core.listeners import device_listeners
from gw.core.settings import Devices
from gw.simulator.tls import client_context
from gw.worker import tls

_SETTLE_SECONDS = 1.0
"""What ends of connections cost is over by then, and is nobody's figure."""


async def measure(folder: Path, pki_dir: Path, scale: Scale) -> list[Figure]:
    """Return three figures."""
    upgrade, connect, floor = [], [], []
    devices = serials(pki_dir, max(scale.connections, scale.many))
    few = devices[: scale.connections]
    async with (
        gateway(folder / "connections", pki_dir, **{"devices.unknown": "create"}) as ours,
        load(pki_dir, ours.device_port) as clients,
    ):
        await clients.do("connect", serials=few)
        await clients.do("settled")
        await clients.do("drop")
        for _ in range(scale.repeats):
            floor.append(await asyncio.to_thread(_handshakes, pki_dir, few[0], scale.connections))
            await asyncio.sleep(_SETTLE_SECONDS)
            cost = Cost(workers(ours))
            await clients.do("connect", serials=few, announce=False)
            upgrade.append(cost.microseconds() / scale.connections)
            await clients.do("drop")
            await asyncio.sleep(_SETTLE_SECONDS)
            cost = Cost(everybody(ours))
            before = await ours.metric("gw_device_messages_received_total", method="connect")
            await clients.do("connect", serials=few)
            await ours.wait_metric(
                "gw_device_messages_received_total", before + scale.connections, method="connect"
            )
            await asyncio.sleep(_SETTLE_SECONDS)
            connect.append(cost.microseconds() / scale.connections)
            await clients.do("drop")
    beyond = [whole - part for whole, part in zip(connect, upgrade, strict=True)]
    return [
        Figure("server CPU per mTLS connection", "µs", upgrade, floor, 2.0, "OpenSSL in process"),
        Figure("connect to in step, beyond it", "µs", beyond, floor, 0.8, "OpenSSL in process"),
        await _memory(folder, pki_dir, scale, devices),
    ]


async def _memory(folder: Path, pki_dir: Path, scale: Scale, devices: list[str]) -> Figure:
    async with (
        gateway(
            folder / "memory", pki_dir,
            **{"devices.unknown": "create", "workers.count": 2, "log.level": "error"},
        ) as ours,
        load(pki_dir, ours.device_port) as clients,
    ):  # fmt: skip
        sizes = []
        for start, stop in ((0, scale.few), (scale.few, scale.many)):
            await clients.do("connect", serials=devices[start:stop])
            await clients.do("settled")
            await clients.do("states", each=2, gap=0.5)
            await asyncio.sleep(3 * _SETTLE_SECONDS)
            sizes.append(memory_kib(ours))
        slope = (sizes[1] - sizes[0]) / (scale.many - scale.few)
        fixed = sizes[0] - slope * scale.few
        note = f"{scale.few} to {scale.many} devices; fixed {fixed / 1024:.0f} MiB"
    return Figure("memory per device that has sent states", "KiB", [slope], [], 45, note)


def _handshakes(pki_dir: Path, serial: str, count: int) -> float:
    """Return the server's CPU of a handshake by OpenSSL in memory, µs: no socket, no loop."""
    devices = Devices(
        certificate=str(pki_dir / "server.pem"),
        key=str(pki_dir / "server.key"),
        ca=str(pki_dir / "ca.pem"),
    )
    server_context = tls.server_context(device_listeners(devices)[0])
    context = client_context(pki_dir, serial)
    spent = 0
    for _ in range(count):
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = context.wrap_bio(to_client, to_server)
        server = server_context.wrap_bio(to_server, to_client, server_side=True)
        done = False
        while not done:
            done = _step(client)
            before = time.thread_time_ns()
            done = _step(server) and done
            spent += time.thread_time_ns() - before
    return spent / 1000 / count


def _step(end: ssl.SSLObject) -> bool:
    try:
        end.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True
