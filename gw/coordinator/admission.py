"""Unknown devices: how their issuer's policy treats them, and those that wait for provisioning.

A device that is asked for keeps its session and holds up nobody. What it sends meanwhile is not
stored: nobody knows it yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

from gw._native.ring import Record
from gw.coordinator.countries import Countries
from gw.coordinator.links import Links
from gw.coordinator.presence import generation_of, slot_of
from gw.coordinator.provisioning import Found, Provisioning
from gw.coordinator.shadow import Shadows
from gw.core import records
from gw.core.ids import serial_from_int
from gw.core.listeners import device_listeners
from gw.core.settings import Settings
from gw.ops import logs, metrics
from gw.protocol import configuration as rules
from gw.protocol import messages as wire
from gw.store.errors import StoreError

log = logs.get("admission")

_POLICY_VIOLATION: Final = 1008
_INTERNAL_ERROR: Final = 1011
_TRY_AGAIN: Final = 1013
_WAITING: Final = metrics.index("gw_provisioning_waiting")
_OVERLOAD: Final = metrics.index("gw_provisioning_lookups_total", "overload")


class Arrival(NamedTuple):
    """A device that said `connect`."""

    record: Record
    head: records.Connect
    params: wire.ConnectParams
    late: bool = False
    """It was treated after its record: the bus gets it without a position."""

    @property
    def serial(self) -> str:
        """Serial number."""
        return serial_from_int(self.record.serial)

    @property
    def session(self) -> int:
        """Its session."""
        return self.record.session


class Decision(NamedTuple):
    """How an unknown device is treated."""

    action: str
    """`create`, `refuse` or `quarantine`; `ask` is not decided yet."""
    reason: str
    """Why, for the log and the device's notes."""
    document: bytes | None = None
    """Configuration from the provisioning service; None: a default one."""


class Admission:
    """Decides on unknown devices, at once or once the provisioning service has answered."""

    def __init__(
        self,
        settings: Settings,
        provisioning: Provisioning | None,
        links: Links,
        shadows: Shadows,
        counters: metrics.CounterPage,
        countries: Countries,
    ) -> None:
        self._listeners = {one.name: one for one in device_listeners(settings.devices)}
        self._settings = settings.provisioning
        self._provisioning = provisioning
        self._links = links
        self._shadows = shadows
        self._counters = counters
        self._countries = countries
        self._waiting: dict[str, Arrival] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.decided: Callable[[Arrival, Decision], None] = lambda arrival, decision: None
        """Called when a device that waited may be treated; set by the handlers."""

    def decide(self, arrival: Arrival) -> Decision:
        """Return how an unknown device is treated; `ask`: `decided` is called later."""
        unknown = self._policy(arrival.head)
        decision = Decision(unknown, f"unknown devices: {unknown}")
        # Its radios get the country with their configuration: a new device waits for it.
        locate = unknown == "create" and self._countries.now(arrival.head.address) is None
        if unknown != "ask" and not locate:
            return decision
        if self._provisioning is None or (
            len(self._waiting) >= self._settings.max_waiting and arrival.serial not in self._waiting
        ):
            if locate:
                return decision
            self._counters.add(_OVERLOAD)
            return self._fallback("too many wait for provisioning")
        self._wait(arrival)
        return Decision("ask", "asked for")

    def at_once(self, connect: records.Connect) -> Decision:
        """Return how an unknown device is treated that is not here to wait for an answer."""
        unknown = self._policy(connect)
        if unknown == "ask":  # it comes again, and is asked for then
            return Decision("refuse", "it is gone")
        return Decision(unknown, f"unknown devices: {unknown}")

    def left(self, serial: str, session: int) -> None:
        """A session ended."""
        arrival = self._waiting.get(serial)
        if arrival is not None and arrival.session == session:
            self._forget(serial)

    def worker_gone(self, slot: int, generation: int) -> None:
        """A worker was started anew: what earlier ones held is gone."""
        for serial, arrival in list(self._waiting.items()):
            if slot_of(arrival.session) == slot and generation_of(arrival.session) < generation:
                self._forget(serial)

    def drop(self, serial: str, reason: str) -> None:
        """Close the session of a device that waits, if it does."""
        arrival = self._waiting.get(serial)
        if arrival is not None:
            self._forget(serial)
            self._links.close(arrival.session, serial, _POLICY_VIOLATION, reason)

    async def close(self) -> None:
        """End the lookups under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _policy(self, connect: records.Connect) -> str:
        listener = self._listeners[connect.listener]
        place, policies = connect.certificate.policy, listener.ca_policies
        policy = policies[place] if 0 <= place < len(policies) else None
        return (policy.unknown if policy is not None else "") or listener.unknown

    def _fallback(self, why: str) -> Decision:
        return Decision(self._settings.fallback, f"{why}; provisioning.fallback")

    def _wait(self, arrival: Arrival) -> None:
        serial = arrival.serial
        old = self._waiting.get(serial)
        if old is not None and old.session != arrival.session:
            older = old
            if old.head.connected_ns > arrival.head.connected_ns:
                older, arrival = arrival, old
            self._links.close(older.session, serial, _POLICY_VIOLATION, "replaced")
        self._waiting[serial] = arrival
        self._counters.set(_WAITING, len(self._waiting))
        if serial not in self._tasks:
            log.info("asking about a new device", serial=serial, address=arrival.head.address)
            task = asyncio.get_running_loop().create_task(self._ask(serial))
            self._tasks[serial] = task
            task.add_done_callback(lambda _: self._tasks.pop(serial, None))

    async def _ask(self, serial: str) -> None:
        found = await self._found(serial)
        try:
            await self._shadows.get(serial)  # an operator may have created it meanwhile
        except StoreError as error:
            log.error("a device was not admitted", serial=serial, detail=str(error))
            arrival = self._waiting.get(serial)
            self._forget(serial)
            if arrival is not None:
                self._links.close(arrival.session, serial, _TRY_AGAIN, "error")
            return
        arrival = self._waiting.get(serial)
        self._forget(serial)
        if arrival is None:
            return
        try:
            self.decided(arrival._replace(late=True), self._decision(arrival, found))
        except Exception as error:  # no half-made session: the device comes again
            log.exception("a device was not admitted", serial=serial, detail=repr(error))
            self._links.close(arrival.session, serial, _INTERNAL_ERROR, "error")

    async def _found(self, serial: str) -> Found | None:
        """Ask what is to be known about a device that waits; None: not for a configuration.

        A newer session may replace it meanwhile, from another address and by another listener.
        """
        assert self._provisioning is not None
        found: Found | None = None
        while (arrival := self._waiting.get(serial)) is not None:
            if found is None and self._policy(arrival.head) == "ask":
                found = await self._provisioning.look_up(serial)
            await self._countries.look_up(arrival.head.address)
            if self._waiting.get(serial) is arrival:
                break
        return found

    def _decision(self, arrival: Arrival, found: Found | None) -> Decision:
        if found is None:
            unknown = self._policy(arrival.head)
            return Decision(unknown, f"unknown devices: {unknown}")
        if found.result == "found":
            if _fits(arrival.params, found.document):
                return Decision("create", "provisioning", found.document)
            log.error("a provisioned configuration is larger than the device receives",
                      serial=arrival.serial, bytes=len(found.document))  # fmt: skip
            return self._fallback("what provisioning has is larger than it receives")
        why = {
            "none": "provisioning has no configuration for it",
            "unknown": "provisioning does not know it",
            "unusable": "what provisioning has for it is unusable",
            "failed": "provisioning failed",
        }[found.result]
        return self._fallback(why)

    def _forget(self, serial: str) -> None:
        self._waiting.pop(serial, None)
        self._counters.set(_WAITING, len(self._waiting))


def _fits(params: wire.ConnectParams, document: bytes) -> bool:
    """Tell whether the device's receive buffer takes a configuration."""
    found = wire.capabilities(params.capabilities)
    size = len(rules.compressed_frame(document)) if found.compress_cmd else len(document) + 256
    return size <= rules.frame_limit(found.platform)
