"""A process of simulated devices, told by JSON lines on its standard input what to do.

Commands: {"do": "connect", "serials": [...], "announce": bool}, {"do": "states", "each": n,
"gap": seconds}, {"do": "settled"}, {"do": "drop"}. Each is answered by a line when it is done.
Usage: python -m bench.figures.load PKI PORT
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from typing import Any

import uvloop

from gw.simulator import messages
from gw.simulator.device import SimulatedDevice

AT_A_TIME = 32
DEADLINE = 300.0


class Load:
    """The devices of this process."""

    def __init__(self, pki: str, port: int) -> None:
        self._pki = pki
        self._port = port
        self._devices: dict[str, SimulatedDevice] = {}
        self._connected: list[SimulatedDevice] = []
        self._states: dict[str, bytes] = {}
        self._gate = asyncio.Semaphore(AT_A_TIME)

    async def do(self, order: dict[str, Any]) -> None:
        """Obey one command."""
        match order["do"]:
            case "connect":
                announce = order.get("announce", True)
                await asyncio.gather(*(self._connect(s, announce) for s in order["serials"]))
            case "states":
                for _ in range(order["each"]):
                    for device in self._connected:
                        device.send_text(self._state(device))
                    await asyncio.sleep(order["gap"])
                await self._confirm()
            case "settled":
                await asyncio.gather(*(self._settled(device) for device in self._connected))
                await self._confirm()
            case "drop":
                await asyncio.gather(*(device.drop() for device in self._connected))
                self._connected = []

    async def _connect(self, serial: str, announce: bool) -> None:
        device = self._devices.get(serial)
        if device is None:
            device = SimulatedDevice(
                serial, self._pki, "127.0.0.1", self._port, keep=1, compress=False
            )
            self._devices[serial] = device
        async with self._gate:
            await device.connect(announce=announce, deadline=DEADLINE)
            await device.confirm(DEADLINE)
        self._connected.append(device)

    async def _confirm(self) -> None:
        for device in self._connected:
            await device.confirm(DEADLINE)

    @staticmethod
    async def _settled(device: SimulatedDevice) -> None:
        """Wait until a device has the configuration that the gateway makes for it."""
        if not device.counters.configures:
            await device.wait_for_configure(DEADLINE)

    def _state(self, device: SimulatedDevice) -> bytes:
        """Return a state message of 6 KB; made once, for clients cost CPU as well."""
        key = f"{device.serial} {device.uuid} {device.config_hash}"
        if key not in self._states:
            template = messages.StateTemplate(device.serial, "ap", random.Random(1))
            params = template.params(1, device.uuid, device.config_hash)
            self._states[key] = messages.state_message(params, compress=False)
        return self._states[key]


async def main() -> None:
    """Obey until the input ends."""
    load = Load(sys.argv[1], int(sys.argv[2]))
    while line := await asyncio.to_thread(sys.stdin.readline):
        await load.do(json.loads(line))
        print("done", flush=True)


if __name__ == "__main__":
    uvloop.run(main())
