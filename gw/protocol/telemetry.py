"""Live telemetry of one device: who wants it for how long, and what the device is to be told.

Several viewers share the stream of a device: the smallest interval wins, all types are asked for,
and each subscription ends at its own time (southbound.md 3.14 and 5.6).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

DEFAULT_TYPES: Final = ("wifi-frames", "dhcp-snooping", "state")
MAX_SUBSCRIPTIONS: Final = 100
"""Of one device."""


class Subscription(msgspec.Struct):
    """One request for the telemetry of a device."""

    uuid: str
    """Of the command that made it."""
    serial: str
    kafka: bool
    """For the bus; else for viewers at a WebSocket."""
    interval: int
    """Seconds."""
    types: list[str]
    until: float
    """Unix time, seconds."""
    attached: bool = False
    """A viewer is, or was, connected."""


class Wanted(NamedTuple):
    """What a device is told; interval 0: nothing."""

    interval: int
    types: tuple[str, ...]


NOTHING: Final = Wanted(0, ())
UNKNOWN: Final = Wanted(-1, ())
"""What a device was told by a predecessor of this process."""


def wanted(subscriptions: Iterable[Subscription]) -> Wanted:
    """Return what serves all of some subscriptions."""
    interval = 0
    types: dict[str, None] = {}
    for one in subscriptions:
        interval = one.interval if not interval else min(interval, one.interval)
        types.update(dict.fromkeys(one.types))
    return Wanted(interval, tuple(sorted(types)))


def params(serial: str, what: Wanted) -> bytes:
    """Return the params of the `telemetry` command (3.14)."""
    members: dict[str, object] = {"serial": serial, "interval": what.interval}
    if what.interval:
        members["types"] = what.types
    return msgspec.json.encode(members)


class DeviceStream:
    """The telemetry of one device, as long as anybody wants it."""

    def __init__(self, serial: str) -> None:
        self.serial = serial
        self.subscriptions: dict[str, Subscription] = {}
        self.told: Wanted = NOTHING
        """What the device was last told in its present session."""
        self.session = 0
        self.command = ""
        """UUID of the last thing it was told."""
        self.retry_at = 0.0
        """Monotonic: not told before then what it could not be told."""
        self.websocket_packets = 0
        self.kafka_packets = 0

    @property
    def running(self) -> bool:
        """True if anybody wants it."""
        return bool(self.subscriptions)

    def add(self, subscription: Subscription) -> None:
        """Add a subscription. Raises OverflowError if there are too many."""
        if len(self.subscriptions) >= MAX_SUBSCRIPTIONS:
            raise OverflowError(f"the device has {MAX_SUBSCRIPTIONS} telemetry subscriptions")
        self.subscriptions[subscription.uuid] = subscription

    def of_kind(self, kafka: bool) -> list[Subscription]:
        """Return the subscriptions of one kind, those without a viewer first, oldest first."""
        found = [one for one in self.subscriptions.values() if one.kafka == kafka]
        return sorted(found, key=lambda one: one.attached)

    def expired(self, now: float) -> list[Subscription]:
        """Return the subscriptions whose time is over."""
        return [one for one in self.subscriptions.values() if now >= one.until]

    def orders(self, session: int) -> list[Wanted]:
        """Return what to tell the device in `session`, so that it does what is wanted.

        An agent that runs refuses a second start (error 2): it is stopped first.
        """
        if session != self.session:
            self.session, self.told = session, NOTHING
        target = wanted(self.subscriptions.values())
        if target == self.told:
            return []
        return [target] if NOTHING in (self.told, target) else [NOTHING, target]

    def status(self) -> dict[str, object]:
        """Return the `status` of the REST answers; timers in Unix seconds."""
        websocket, kafka = self.of_kind(kafka=False), self.of_kind(kafka=True)
        return {
            "running": self.running,
            "interval": wanted(self.subscriptions.values()).interval,
            "websocketTimer": int(max((one.until for one in websocket), default=0)),
            "kafkaTimer": int(max((one.until for one in kafka), default=0)),
            "websocketClients": len(websocket),
            "kafkaClients": len(kafka),
            "websocketPackets": self.websocket_packets,
            "kafkaPackets": self.kafka_packets,
        }
