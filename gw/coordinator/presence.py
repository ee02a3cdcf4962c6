"""Which devices are connected, through which session, and what is known of each session."""

from __future__ import annotations

import time
from typing import Any, Final

from gw.core.records import Connect

GENERATION_SHIFT: Final = 32
SLOT_SHIFT: Final = 56


class DeviceSession:
    """An accepted session of a device."""

    __slots__ = (
        "address", "certificate", "completion_ms", "connected_ns", "firmware", "id", "last_contact",
        "last_sanity", "last_state", "listener", "messages", "reason", "rx_bytes", "serial",
        "started", "tx_bytes", "uuid",
    )  # fmt: skip

    def __init__(self, id: int, serial: str, connect: Connect) -> None:
        self.id = id
        self.serial = serial
        self.connected_ns = connect.connected_ns
        """Monotonic time of its `connect`: the newest session of a device wins."""
        self.address = connect.address
        self.listener = connect.listener
        self.certificate = connect.certificate
        self.completion_ms = connect.completion_ms
        self.started = connect.connected_at // 1000
        self.uuid = connect.uuid
        self.firmware = ""
        self.reason = ""
        self.last_contact = int(time.time())
        self.last_sanity = 0
        self.last_state = 0
        """When the newest `state` was recorded; 0: none in this session."""
        self.rx_bytes = self.tx_bytes = self.messages = 0

    @property
    def slot(self) -> int:
        """Worker slot that holds the session."""
        return slot_of(self.id)

    def traffic(self, rx_bytes: int, tx_bytes: int, messages: int) -> None:
        """Note the totals that came with a message."""
        self.rx_bytes, self.tx_bytes, self.messages = rx_bytes, tx_bytes, messages
        self.last_contact = int(time.time())

    def status(self) -> dict[str, Any]:
        """Return the part of ConnectionState that the session knows (northbound.md 2.7)."""
        return {
            "serialNumber": self.serial,
            "ipAddress": self.address,
            "txBytes": self.tx_bytes,
            "rxBytes": self.rx_bytes,
            "messageCount": self.messages,
            "UUID": self.uuid,
            "connected": True,
            "firmware": self.firmware,
            "lastContact": self.last_contact,
            "started": self.started,
            "sessionId": self.id,
            "connectionCompletionTime": round(self.completion_ms, 3),
            "totalConnectionTime": max(0, int(time.time()) - self.started),
            "certificateExpiryDate": self.certificate.not_after,
            "certificateIssuerName": self.certificate.issuer,
            "connectReason": self.reason,
            "sanity": self.last_sanity,
            "verifiedCertificate": self.certificate.verdict,
            "listener": self.listener,
        }


def slot_of(session: int) -> int:
    """Return the worker slot in a session id."""
    return session >> SLOT_SHIFT


def generation_of(session: int) -> int:
    """Return the worker generation in a session id."""
    return (session >> GENERATION_SHIFT) & 0xFFFFFF


class Presence:
    """The sessions of the node's devices."""

    def __init__(self) -> None:
        self._by_serial: dict[str, DeviceSession] = {}

    def __len__(self) -> int:
        return len(self._by_serial)

    def of(self, serial: str) -> DeviceSession | None:
        """Return the session of a device."""
        return self._by_serial.get(serial)

    def owner(self, serial: str, session: int) -> DeviceSession | None:
        """Return the session if it is the one that acts for the device."""
        found = self._by_serial.get(serial)
        return found if found is not None and found.id == session else None

    def register(self, session: DeviceSession) -> DeviceSession | None:
        """Make a session the one that acts for its device, and return the one it replaces.

        If the present one is newer, it stays, and `session` itself is returned.
        """
        old = self._by_serial.get(session.serial)
        if old is not None and old.id != session.id and old.connected_ns > session.connected_ns:
            return session
        self._by_serial[session.serial] = session
        return old if old is not None and old.id != session.id else None

    def remove(self, serial: str, session: int) -> DeviceSession | None:
        """A session ended; returns it if it was the one that acted."""
        found = self.owner(serial, session)
        if found is not None:
            del self._by_serial[serial]
        return found

    def of_worker(self, slot: int, before_generation: int) -> list[DeviceSession]:
        """Return the sessions of earlier generations of a worker slot."""
        return [
            one
            for one in self._by_serial.values()
            if one.slot == slot and generation_of(one.id) < before_generation
        ]

    def all(self) -> list[DeviceSession]:
        """Return every session."""
        return list(self._by_serial.values())

    def statistics(self) -> dict[str, int]:
        """Return the summary that UIs show (northbound.md 4.1)."""
        now = time.time()
        total = sum(now - one.started for one in self._by_serial.values())
        count = len(self._by_serial)
        return {
            "connectedDevices": count,
            "averageConnectionTime": int(total / count) if count else 0,
            "connectingDevices": 0,
        }

    def update(self) -> dict[str, int]:
        """Return the content of notification 1000 (northbound.md 4.11)."""
        found = self.statistics()
        return {
            "numberOfDevices": found["connectedDevices"],
            "averageConnectedTime": found["averageConnectionTime"],
            "numberOfConnectingDevices": found["connectingDevices"],
            "rx": sum(one.rx_bytes for one in self._by_serial.values()),
            "tx": sum(one.tx_bytes for one in self._by_serial.values()),
        }
