"""What each process of the node did, read from the shared counters, so that nobody is asked."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final, Self

import msgspec

from gw.ops import metrics
from gw.ops.metrics_table import DEVICE_METHODS

_RECEIVED: Final = metrics.indexes("gw_device_messages_received_total")
_SENT: Final = metrics.index("gw_device_messages_sent_total")
_HANDSHAKES: Final = metrics.index("gw_handshakes_total")
_CONNECTIONS: Final = metrics.index("gw_connections")
_IN_FLIGHT: Final = metrics.index("gw_handshakes_in_flight")
_RECEIVED_BYTES: Final = metrics.index("gw_device_received_bytes_total")
_SENT_BYTES: Final = metrics.index("gw_device_sent_bytes_total")
_STARTS: Final = metrics.index("gw_process_starts_total")
_CONNECTED: Final = metrics.index("gw_devices_connected")
_OPEN_COMMANDS: Final = metrics.index("gw_commands_open")
_FAILURES: Final = metrics.indexes("gw_handshake_failures_total")
_REJECTIONS: Final = metrics.index("gw_config_rejections_total")
_PUSHES: Final = metrics.indexes("gw_config_pushes_total")
_COMMITTED: Final = metrics.indexes("gw_store_records_committed_total")
_STORE_ERRORS: Final = metrics.index("gw_store_errors_total")
_REQUESTS: Final = metrics.indexes("gw_api_requests_total")


class ProcessDocument(msgspec.Struct, rename="camel", kw_only=True):
    """One process. Totals count since the node started."""

    name: str
    """supervisor, coordinator, api, worker-0 ..., radius, rtty."""
    starts: int
    """How often it was started; more than 1: it died, or was restarted."""
    connections: int
    """Device sessions open now; workers only."""
    handshakes_in_flight: int
    handshakes: int
    messages_received: int
    messages_sent: int
    bytes_received: int
    bytes_sent: int


class NodeTotals(msgspec.Struct, rename="camel", kw_only=True):
    """What all processes did since the node started."""

    connects: int
    """`connect` messages of devices."""
    messages_received: int
    messages_sent: int
    bytes_received: int
    bytes_sent: int
    handshakes: int
    handshake_failures: int
    configurations_sent: int
    configurations_rejected: int
    records_stored: int
    store_errors: int
    requests: int
    """REST requests."""


class Processes:
    """The processes of the node, by their slots of the shared counters."""

    def __init__(self, memfd: int, names: Sequence[str]) -> None:
        """`names` are those of the slots, in order."""
        self._slots = metrics.AllSlots(memfd)
        self._names = tuple(names)

    @classmethod
    def alone(cls) -> Self:
        """Return those of a process that shares its counters with nobody."""
        memfd = metrics.create(1)
        try:
            return cls(memfd, ["api"])
        finally:
            os.close(memfd)

    @property
    def devices_connected(self) -> int:
        """Devices with an accepted session."""
        return self._slots.total(_CONNECTED)

    @property
    def commands_open(self) -> int:
        """Commands that have no final status."""
        return self._slots.total(_OPEN_COMMANDS)

    def totals(self) -> NodeTotals:
        """Return what all of them did."""
        total = self._slots.total
        return NodeTotals(
            connects=total(_RECEIVED["connect"]),
            messages_received=sum(total(_RECEIVED[method]) for method in DEVICE_METHODS),
            messages_sent=total(_SENT),
            bytes_received=total(_RECEIVED_BYTES),
            bytes_sent=total(_SENT_BYTES),
            handshakes=total(_HANDSHAKES),
            handshake_failures=sum(map(total, _FAILURES.values())),
            configurations_sent=sum(map(total, _PUSHES.values())),
            configurations_rejected=total(_REJECTIONS),
            records_stored=sum(map(total, _COMMITTED.values())),
            store_errors=total(_STORE_ERRORS),
            requests=sum(map(total, _REQUESTS.values())),
        )

    def each(self) -> list[ProcessDocument]:
        """Return every process."""
        return [self._one(slot, name) for slot, name in enumerate(self._names)]

    def _one(self, slot: int, name: str) -> ProcessDocument:
        def value(index: int) -> int:
            return self._slots.value(slot, index)

        return ProcessDocument(
            name=name,
            starts=value(_STARTS),
            connections=value(_CONNECTIONS),
            handshakes_in_flight=value(_IN_FLIGHT),
            handshakes=value(_HANDSHAKES),
            messages_received=sum(value(_RECEIVED[method]) for method in DEVICE_METHODS),
            messages_sent=value(_SENT),
            bytes_received=value(_RECEIVED_BYTES),
            bytes_sent=value(_SENT_BYTES),
        )

    def close(self) -> None:
        """Unmap."""
        self._slots.close()
