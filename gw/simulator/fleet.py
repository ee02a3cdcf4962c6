"""Many simulated devices in one process: they connect, report, break and come back."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from gw.simulator import messages
from gw.simulator.device import SimulatedDevice
from gw.simulator.faults import Faults
from gw.simulator.inbox import Message
from gw.simulator.observer import Observer

_HANDSHAKES: Final = 64
"""Handshakes under way at a time: more only make each of them wait longer."""
_CANCELS: Final = 10
_CONFIRM_WAIT: Final = 60.0
_MAX_SAMPLES: Final = 100_000
_MAX_SESSIONS: Final = 10_000
"""Connections per device whose first state is remembered."""


class Plan(msgspec.Struct, kw_only=True):
    """What the fleet does. Times in seconds."""

    state_interval: float = 60.0
    health_interval: float = 120.0
    connect_rate: float = 200.0
    """Connections per second, at most."""
    backoff_scale: float = 0.05
    """Scale of the agents' waits before they try again; 1 is as in the field."""
    backoff_max: float = 10.0
    full_speed: bool = False
    states: int = 0
    """States per device at full speed; 0: no end."""
    faults: Faults = msgspec.field(default_factory=Faults)


class Report(msgspec.Struct, kw_only=True):
    """What happened."""

    devices: int
    connects: int
    connected: int
    """Connected at the end."""
    states_sent: dict[str, int]
    """Number of the last state of each device."""
    sessions: dict[str, list[int]]
    """Number of the first state of each connection of each device."""
    states_confirmed: int
    """States at full speed that the gateway has surely read."""
    configures: int
    applied: int
    rejections: int
    substitutions: int
    hash_mismatches: int
    """Configures whose `config_hash` was not the hash of their configuration."""
    lost_messages: int
    """Messages of the gateway that an agent loses: in parts, or above its buffer."""
    commands: int
    drifts: int
    reconnects: int
    errors: dict[str, int]
    configured_devices: int
    """Devices that run a configuration of the gateway."""
    uuids: dict[str, int]
    """Active configuration of each device."""
    hashes: dict[str, str | None]
    """Its content hash, also when it is not reported."""
    configure_seconds: Delays
    """From the report of a device without or off its configuration to the configure."""


class Delays(msgspec.Struct, kw_only=True):
    """Distribution of times, seconds; 0 when there is none."""

    count: int = 0
    median: float = 0.0
    p99: float = 0.0
    longest: float = 0.0

    @classmethod
    def of(cls, samples: list[float]) -> Delays:
        """Return the distribution of `samples`."""
        if not samples:
            return cls()
        ordered = sorted(samples)
        last = len(ordered) - 1
        return cls(
            count=len(ordered),
            median=round(ordered[last // 2], 6),
            p99=round(ordered[round(last * 0.99)], 6),
            longest=round(ordered[last], 6),
        )


class Fleet(Observer):
    """Runs devices until stopped."""

    def __init__(self, devices: list[SimulatedDevice], plan: Plan, *, seed: int = 0) -> None:
        self.devices = devices
        self.plan = plan
        self.errors: Counter[str] = Counter()
        self.reconnects = 0
        self.states_confirmed = 0
        self.stuck = 0
        """Devices that did not end when told to: the process cannot end by itself."""
        self._sessions: dict[str, list[int]] = {device.serial: [] for device in devices}
        self._off_since: dict[str, float] = {}
        self._unreported: set[str] = set()
        self._delays: list[float] = []
        self._handshakes = asyncio.Semaphore(_HANDSHAKES)
        self._chance = random.Random(seed)  # noqa: S311 - spreads load, guards nothing
        self._stopping = asyncio.Event()
        self._next_connect = 0.0
        self._online = 0
        for device in devices:
            device.observer = self

    @property
    def online(self) -> int:
        """Devices connected now."""
        return self._online

    @property
    def states_sent(self) -> int:
        """States sent so far by all."""
        return sum(device.memory.sequence for device in self.devices)

    @property
    def configures(self) -> int:
        """Configurations received so far by all."""
        return sum(device.counters.configures for device in self.devices)

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
            left = set(tasks)
            for _ in range(_CANCELS):
                # A task may be just turning an end of its connection into another exception,
                # and a cancellation with it: it is asked again.
                for task in left:
                    task.cancel()
                _, left = await asyncio.wait(left, timeout=1.0)
                if not left:
                    break
            self.stuck = len(left)
            everybody.cancel()
            await asyncio.gather(everybody, return_exceptions=True)
            await asyncio.gather(
                *(device.disconnect() for device in self.devices), return_exceptions=True
            )
            for device in self.devices:
                device.stop()
            stopping.cancel()
        return report

    def report(self) -> Report:
        """Return what happened so far."""
        counters = [device.counters for device in self.devices]
        return Report(
            devices=len(self.devices),
            connects=sum(one.connects for one in counters),
            connected=self.online,
            states_sent={device.serial: device.memory.sequence for device in self.devices},
            sessions=self._sessions,
            states_confirmed=self.states_confirmed,
            configures=self.configures,
            applied=sum(one.applied for one in counters),
            rejections=sum(one.rejections for one in counters),
            substitutions=sum(one.substitutions for one in counters),
            hash_mismatches=sum(one.hash_mismatches for one in counters),
            lost_messages=sum(c.fragments + c.oversized + c.unparsable for c in counters),
            commands=sum(one.commands for one in counters),
            drifts=sum(one.drifts for one in counters),
            reconnects=self.reconnects,
            errors=dict(self.errors),
            configured_devices=sum(device.uuid != 1 for device in self.devices),
            uuids={device.serial: device.uuid for device in self.devices},
            hashes={device.serial: device.config_hash for device in self.devices},
            configure_seconds=Delays.of(self._delays),
        )

    def connected(self, device: SimulatedDevice) -> None:
        """See Observer."""
        self._online += 1
        sessions = self._sessions[device.serial]
        if len(sessions) < _MAX_SESSIONS:
            sessions.append(device.sequence + 1)
        if device.uuid == 1:
            self._off_since[device.serial] = time.monotonic()

    def disconnected(self, device: SimulatedDevice, _closed: object) -> None:
        """See Observer."""
        self._online -= 1
        self._off_since.pop(device.serial, None)

    def configured(self, device: SimulatedDevice, message: Message) -> None:
        """See Observer."""
        self._unreported.discard(device.serial)
        since = self._off_since.pop(device.serial, None)
        if since is not None and len(self._delays) < _MAX_SAMPLES:
            self._delays.append(message.at - since)

    async def _live(self, device: SimulatedDevice) -> None:
        while True:
            await self._turn()
            try:
                async with self._handshakes:
                    reason = "recovery" if device.backoff.restarted() else None
                    await device.connect(reason=reason)
            except Exception as error:  # noqa: BLE001 - picows has many for a failed handshake
                self.errors[type(error).__name__] += 1
            else:
                try:
                    if await self._session(device):
                        return
                except ConnectionError:
                    # The end of the connection was met by sending; it is no fault by itself.
                    await asyncio.shield(device.closed)
                except TimeoutError:
                    self.errors["unconfirmed"] += 1
                    await device.drop()
                self.reconnects += 1
            await asyncio.sleep(min(device.backoff.wait(), self.plan.backoff_max))

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
        now = time.monotonic()
        # A device that just started reports soon; the others' phase is spread.
        next_state = now + plan.state_interval * self._chance.random()
        next_health = now + plan.health_interval * self._chance.random()
        while True:
            due = min(next_state, next_health)
            await asyncio.wait([device.closed], timeout=max(0.0, due - time.monotonic()))
            if device.closed.done():
                return False
            now = time.monotonic()
            if now >= next_state:
                next_state = max(next_state + plan.state_interval, now)
                self._send_state(device)
            if now >= next_health:
                next_health = max(next_health + plan.health_interval, now)
                device.send_healthcheck()

    def _send_state(self, device: SimulatedDevice) -> None:
        # A drift follows the state that is due, so it is reported by the next one.
        serial, drifts = device.serial, device.counters.drifts
        device.send_state()
        if serial in self._unreported:
            self._unreported.discard(serial)
            self._off_since[serial] = time.monotonic()
        if device.counters.drifts != drifts:
            self._unreported.add(serial)

    async def _full_speed(self, device: SimulatedDevice) -> bool:
        """Send numbered states as fast as the gateway takes them."""
        confirmed = device.sequence
        while not device.closed.done():
            if self.plan.states and device.sequence >= self.plan.states:
                await device.confirm(_CONFIRM_WAIT)
                self.states_confirmed += device.sequence - confirmed
                return True
            self._send_state(device)
            await device.drain()
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
    host, _, port = address.rpartition(":")
    devices = [
        SimulatedDevice(
            serial,
            pki,
            host,
            int(port),
            platform=platform(number),
            faults=plan.faults,
            report_hash=report_hash,
            compress=compress,
            state_dir=state_dir,
            backoff_scale=plan.backoff_scale,
            keep=0,
            seed=seed,
            uploads=True,
            streams=True,
        )
        for number, serial in enumerate(serials)
    ]
    return Fleet(devices, plan, seed=seed)
