"""A fleet that sends numbered states while something is killed: what arrives, and in order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

from gateway import Gateway

from gw.security import pki
from gw.simulator.device import SimulatedDevice
from gw.simulator.observer import Observer

WAIT = 120.0


class Boundaries(Observer):
    """Notes with which state each connection of a device began."""

    def __init__(self) -> None:
        self.starts: dict[str, list[int]] = {}

    def connected(self, device: SimulatedDevice) -> None:
        self.starts.setdefault(device.serial, []).append(device.sequence + 1)


def stored(gateway: Gateway, serial: str) -> list[int]:
    """Numbers of the states of a device, in the order in which they were stored."""
    rows = gateway.sql("SELECT data FROM statistics WHERE serial_number = ? ORDER BY id", serial)
    return [json.loads(data)["unit"]["sequence"] for (data,) in rows]


Fault = Callable[[], Awaitable[object]]


class NumberedStates:
    """`devices` devices that send numbered states.

    Each sends `states` at full speed; or, if that is 0, one in `pace` seconds until all faults
    are over.
    """

    def __init__(
        self,
        gateway: Gateway,
        prefix: str,
        devices: int,
        states: int = 0,
        pace: float = 0.0,
        idle_ping: float | None = None,
    ) -> None:
        """`idle_ping`: an idle device sends a PING after so many seconds (10 at least), and leaves
        if no PONG comes."""
        self.gateway = gateway
        self.states = states
        self.pace = pace
        self.idle_ping = idle_ping
        self.over = asyncio.Event()
        self.count = devices
        self.serials = pki.numbered_serials(prefix, devices)
        self.boundaries = Boundaries()
        self.devices: list[SimulatedDevice] = []

    async def _pump(self, device: SimulatedDevice) -> None:
        """Send over as many connections as it takes."""
        while device.sequence < self.states or not (self.states or self.over.is_set()):
            await device.wait_connected(WAIT)
            device.send_state()
            await device.drain()
            await asyncio.sleep(self.pace)

    async def _progress(self, share: float) -> None:
        """Wait until a share of all states is sent."""
        wanted = share * self.states * self.count  # 0 if there is no end: at once
        while sum(device.sequence for device in self.devices) < wanted:
            await asyncio.sleep(0.01)  # the simulator tells nobody

    async def run(
        self, faults: list[tuple[float, Fault]], beside: Fault | None = None
    ) -> tuple[int, float]:
        """Send all states; each fault is done once its share is sent; `beside` runs meanwhile.

        It has to end by itself once `over` is set. Returns states lost, which must be lost with a
        connection, and sessions that ended.
        """
        gateway = self.gateway
        pki.device(gateway.pki, self.serials)
        self.devices = [
            SimulatedDevice(
                serial, gateway.pki, "127.0.0.1", gateway.device_port,
                backoff_scale=0.02, keep=0, seed=number, idle_ping=self.idle_ping,
            )
            for number, serial in enumerate(self.serials)
        ]  # fmt: skip
        for device in self.devices:
            device.observer = self.boundaries
        living = [asyncio.create_task(device.stay_connected()) for device in self.devices]
        try:
            async with asyncio.timeout(WAIT):
                await asyncio.gather(*(device.wait_connected(WAIT) for device in self.devices))
            pumps = [asyncio.create_task(self._pump(device)) for device in self.devices]
            if beside is not None:
                pumps.append(asyncio.ensure_future(beside()))
            for share, fault in faults:
                await self._progress(share)
                await fault()
            self.over.set()
            async with asyncio.timeout(2 * WAIT):
                await asyncio.gather(*pumps)
                # All devices are back, and the gateway has read all that they sent.
                for device in self.devices:
                    await device.wait_connected(WAIT)
                    await device.confirm(WAIT)
            for device in self.devices:
                await self._last_is_stored(device)
            connected = await gateway.wait_metric("gw_devices_connected", self.count)
            assert connected == self.count
            ended = await gateway.metric("gw_session_ends_total")
        finally:
            for task in living:
                task.cancel()
            await asyncio.gather(*living, return_exceptions=True)
        return sum(self._lost(device) for device in self.devices), ended

    async def _last_is_stored(self, device: SimulatedDevice) -> None:
        async with asyncio.timeout(WAIT):
            last = device.sequence
            while last not in (stored(self.gateway, device.serial) or [0])[-1:]:
                # A device whose last states were lost with its connection sends one more.
                await asyncio.sleep(0.05)
                if max(self.boundaries.starts[device.serial]) > last:
                    break

    def _lost(self, device: SimulatedDevice) -> int:
        serial, last = device.serial, device.sequence
        numbers = stored(self.gateway, serial)
        assert numbers == sorted(set(numbers)), f"{serial}: doubled or out of order: {numbers}"
        missing = sorted(set(range(1, last + 1)) - set(numbers))
        starts = self.boundaries.starts[serial]
        for number in missing:
            # Lost with a killed connection: a gap must end where the next connection begins.
            end = next(one for one in range(number, last + 2) if one not in missing)
            assert end in starts, f"{serial}: {number} is missing within a connection {starts}"
        return len(missing)
