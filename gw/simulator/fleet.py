"""Many simulated devices in one process: they connect, report, break and come back."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
from picows import WSMsgType

from gw.simulator import messages
from gw.simulator.device import SimulatedDevice
from gw.simulator.faults import Faults

_PING = WSMsgType.PING


class Plan(msgspec.Struct, kw_only=True):
    """What the fleet does. Times in seconds."""

    state_interval: float = 60.0
    health_interval: float = 120.0
    connect_rate: float = 200.0
    """Connections per second, at most."""
    ping_interval: float = 60.0
    """An access point pings after so long a silence."""
    backoff: float = 0.5
    backoff_max: float = 10.0
    full_speed: bool = False
    states: int = 0
    """States per device at full speed; 0: no end."""
    faults: Faults = msgspec.field(default_factory=Faults)


class Report(msgspec.Struct, kw_only=True):
    """What happened."""

    devices: int
    connected: int
    """Connected at the end."""
    states_sent: dict[str, int]
    """Number of the last state of each device."""
    sessions: dict[str, list[int]]
    """Number of the first state of each connection of each device."""
    configures: int
    applied: int
    rejections: int
    reconnects: int
    errors: dict[str, int]
    configured_devices: int
    """Devices that run a configuration of the gateway."""


class Fleet:
    """Runs devices until stopped."""

    def __init__(self, devices: list[SimulatedDevice], plan: Plan, *, seed: int = 0) -> None:
        self.devices = devices
        self.plan = plan
        self.errors: Counter[str] = Counter()
        self.reconnects = 0
        self._chance = random.Random(seed)  # noqa: S311 - spreads load, guards nothing
        self._stopping = asyncio.Event()
        self._next_connect = 0.0
        self._all_connected = asyncio.Event()

    @property
    def connected(self) -> int:
        """Devices connected now."""
        return sum(device.connected for device in self.devices)

    @property
    def states_sent(self) -> int:
        """States sent so far by all."""
        return sum(device.memory.sequence for device in self.devices)

    @property
    def configures(self) -> int:
        """Configurations received so far by all."""
        return sum(device.configures for device in self.devices)

    def stop(self) -> None:
        """End `run` soon."""
        self._stopping.set()

    async def run(self, duration: float = 0.0) -> Report:
        """Run for `duration` seconds (0: until stopped, or until all states are sent)."""
        self._next_connect = time.monotonic()
        tasks = [asyncio.create_task(self._live(device)) for device in self.devices]
        stopping = asyncio.create_task(self._stopping.wait())
        everybody = asyncio.gather(*tasks)
        try:
            await asyncio.wait(
                (stopping, asyncio.ensure_future(everybody)),
                timeout=duration or None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            report = self.report()
        finally:
            self._stopping.set()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(everybody, return_exceptions=True)
            await asyncio.gather(*(device.disconnect() for device in self.devices))
            stopping.cancel()
        return report

    def report(self) -> Report:
        """Return what happened so far."""
        outcomes = [one for device in self.devices for one in device.outcomes]
        return Report(
            devices=len(self.devices),
            connected=self.connected,
            states_sent={device.serial: device.memory.sequence for device in self.devices},
            sessions={device.serial: list(device.sessions) for device in self.devices},
            configures=self.configures,
            applied=sum(one.applied for one in outcomes),
            rejections=sum(one.error == 2 for one in outcomes),
            reconnects=self.reconnects,
            errors=dict(self.errors),
            configured_devices=sum(device.memory.uuid != 1 for device in self.devices),
        )

    async def _live(self, device: SimulatedDevice) -> None:
        failures = 0
        while True:
            await self._turn()
            try:
                await device.connect()
            except (OSError, TimeoutError, ssl.SSLError) as error:
                self.errors[type(error).__name__] += 1
                failures += 1
            except Exception as error:  # noqa: BLE001 - picows has many for a failed handshake
                self.errors[type(error).__name__] += 1
                failures += 1
            else:
                failures = 0
                if await self._session(device):
                    return
                self.reconnects += 1
            pause = min(self.plan.backoff * (failures + 1), self.plan.backoff_max)
            await asyncio.sleep(pause * self._chance.uniform(0.8, 1.2))

    async def _turn(self) -> None:
        """Wait for this connection's turn at the connect rate."""
        now = time.monotonic()
        self._next_connect = max(self._next_connect, now) + 1 / self.plan.connect_rate
        await asyncio.sleep(self._next_connect - now)

    async def _session(self, device: SimulatedDevice) -> bool:
        """Report until the connection ends; True if the device has done all it was to do."""
        if self.plan.full_speed:
            return await self._full_speed(device)
        plan = self.plan
        assert device.closed is not None
        now = time.monotonic()
        # A device that just started reports soon; the others' phase is spread.
        next_state = now + plan.state_interval * self._chance.random()
        next_health = now + plan.health_interval * self._chance.random()
        while True:
            due = min(next_state, next_health, time.monotonic() + plan.ping_interval)
            await asyncio.wait([device.closed], timeout=max(0.0, due - time.monotonic()))
            if device.closed.done():
                return False
            now = time.monotonic()
            if now >= next_state:
                next_state = max(next_state + plan.state_interval, now)
                self._before_state(device)
                if device.connected:
                    device.send_state()
            elif now >= next_health:
                next_health = max(next_health + plan.health_interval, now)
                device.send_health()
            else:
                device.send_frame(_PING, b"")

    def _before_state(self, device: SimulatedDevice) -> None:
        faults, count = self.plan.faults, device.memory.sequence + 1
        phase = int(device.serial, 16)
        if faults.due(faults.drift_every, count, phase):
            device.drift(self._chance.choice(faults.drifts))
        if faults.due(faults.drop_every, count, phase):
            device.drop()
        elif faults.due(faults.reboot_every, count, phase):
            device.reboot()

    async def _full_speed(self, device: SimulatedDevice) -> bool:
        """Send numbered states as fast as the gateway takes them."""
        assert device.closed is not None
        while not device.closed.done():
            if self.plan.states and device.memory.sequence >= self.plan.states:
                return True
            device.send_state()
            if not device.writable.is_set():
                waiting = asyncio.ensure_future(device.writable.wait())
                await asyncio.wait([waiting, device.closed], return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
            await asyncio.sleep(0)
        return False


def make_fleet(
    address: str,
    pki: str | Path,
    serials: list[str],
    plan: Plan,
    *,
    platform: Callable[[int], messages.Platform] = lambda number: "ap",
    report_hash: bool = True,
    compress: bool = True,
    state_dir: Path | None = None,
    seed: int = 0,
) -> Fleet:
    """Return a fleet of devices with these serial numbers."""
    devices = [
        SimulatedDevice(
            address,
            pki,
            serial,
            platform=platform(number),
            faults=plan.faults,
            report_hash=report_hash,
            compress=compress,
            state_dir=state_dir,
            seed=seed,
        )
        for number, serial in enumerate(serials)
    ]
    return Fleet(devices, plan, seed=seed)
