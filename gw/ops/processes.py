"""What each process of the node did, read from the shared counters, so that nobody is asked."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final, Self

import msgspec

from gw.ops import metrics
from gw.ops.metrics_table import TABLE

_BY_NAME: Final = {metric.name: metric for metric in TABLE}


def _words(name: str) -> tuple[int, ...]:
    """Return the indexes of a metric, of all its label values."""
    return tuple(metrics.index(name, *values) for values in metrics.label_sets(_BY_NAME[name]))


_CONNECTS: Final = (metrics.index("gw_device_messages_received_total", "connect"),)
_RECEIVED: Final = _words("gw_device_messages_received_total")
_SENT: Final = _words("gw_device_messages_sent_total")
_HANDSHAKES: Final = _words("gw_handshakes_total")
_FAILURES: Final = _words("gw_handshake_failures_total")
_IN_FLIGHT: Final = _words("gw_handshakes_in_flight")
_CONNECTIONS: Final = _words("gw_connections")
_RECEIVED_BYTES: Final = _words("gw_device_received_bytes_total")
_SENT_BYTES: Final = _words("gw_device_sent_bytes_total")
_STARTS: Final = _words("gw_process_starts_total")
_CONNECTED: Final = _words("gw_devices_connected")
_OPEN_COMMANDS: Final = _words("gw_commands_open")
_PUSHES: Final = _words("gw_config_pushes_total")
_REJECTIONS: Final = _words("gw_config_rejections_total")
_COMMITTED: Final = _words("gw_store_records_committed_total")
_STORE_ERRORS: Final = _words("gw_store_errors_total")
_REQUESTS: Final = _words("gw_api_requests_total")


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
        return self._total(_CONNECTED)

    @property
    def commands_open(self) -> int:
        """Commands that have no final status."""
        return self._total(_OPEN_COMMANDS)

    def totals(self) -> NodeTotals:
        """Return what all of them did."""
        return NodeTotals(
            connects=self._total(_CONNECTS),
            messages_received=self._total(_RECEIVED),
            messages_sent=self._total(_SENT),
            bytes_received=self._total(_RECEIVED_BYTES),
            bytes_sent=self._total(_SENT_BYTES),
            handshakes=self._total(_HANDSHAKES),
            handshake_failures=self._total(_FAILURES),
            configurations_sent=self._total(_PUSHES),
            configurations_rejected=self._total(_REJECTIONS),
            records_stored=self._total(_COMMITTED),
            store_errors=self._total(_STORE_ERRORS),
            requests=self._total(_REQUESTS),
        )

    def _total(self, words: tuple[int, ...]) -> int:
        return sum(map(self._slots.total, words))

    def each(self) -> list[ProcessDocument]:
        """Return every process."""
        return [self._one(slot, name) for slot, name in enumerate(self._names)]

    def _one(self, slot: int, name: str) -> ProcessDocument:
        def value(words: tuple[int, ...]) -> int:
            return sum(self._slots.value(slot, word) for word in words)

        return ProcessDocument(
            name=name,
            starts=value(_STARTS),
            connections=value(_CONNECTIONS),
            handshakes_in_flight=value(_IN_FLIGHT),
            handshakes=value(_HANDSHAKES),
            messages_received=value(_RECEIVED),
            messages_sent=value(_SENT),
            bytes_received=value(_RECEIVED_BYTES),
            bytes_sent=value(_SENT_BYTES),
        )

    def close(self) -> None:
        """Unmap."""
        self._slots.close()
