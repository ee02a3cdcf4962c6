"""What the proxy counts, and the little of it that is logged."""

from __future__ import annotations

import time
from typing import Final

from gw.ops import logs, metrics
from gw.ops.metrics_table import RADIUS_DIRECTIONS, RADIUS_DROPS, RADIUS_KINDS
from gw.radius.pools import Endpoint

log = logs.get("radius")

_LOG_SECONDS: Final = 10.0
"""Time between two lines about drops for one reason."""
_SILENT: Final = ("repeated",)
_PACKETS: Final = {
    (direction, kind): metrics.index("gw_radius_packets_total", direction, kind)
    for direction in RADIUS_DIRECTIONS
    for kind in RADIUS_KINDS
}
_DROPS: Final = {
    reason: metrics.index("gw_radius_dropped_total", reason) for reason in RADIUS_DROPS
}
_TIMEOUTS: Final = metrics.index("gw_radius_timeouts_total")
_RETRIES: Final = metrics.index("gw_radius_retries_total")
_SECONDS: Final = metrics.index("gw_radius_answer_seconds")
_PROBES: Final = {
    answered: metrics.index("gw_radius_probes_total", "answered" if answered else "silent")
    for answered in (True, False)
}


class MetricsTally:
    """Counts into the shared page of metrics. See gw.radius.outlets.Tally."""

    def __init__(self, counters: metrics.CounterPage) -> None:
        self._counters = counters
        self._logged: dict[str, float] = {}

    def packet(self, direction: str, kind: str) -> None:
        """A packet passed."""
        self._counters.add(_PACKETS[direction, kind])

    def dropped(self, reason: str, **about: object) -> None:
        """A packet was dropped: all are counted, a few are logged."""
        self._counters.add(_DROPS[reason])
        now = time.monotonic()
        if reason in _SILENT or now - self._logged.get(reason, -_LOG_SECONDS) < _LOG_SECONDS:
            return
        self._logged[reason] = now
        log.warning("RADIUS packet dropped", reason=reason, **about)

    def timed_out(self, retried: bool) -> None:
        """A server did not answer in time."""
        self._counters.add(_TIMEOUTS)
        if retried:
            self._counters.add(_RETRIES)

    def answered(self, seconds: float) -> None:
        """A server answered."""
        self._counters.observe(_SECONDS, seconds)

    def probed(self, answered: bool) -> None:
        """A probe had an answer, or none."""
        self._counters.add(_PROBES[answered])

    def server_changed(self, endpoint: Endpoint, up: bool) -> None:
        """A server went down or came back."""
        log.warning(
            "RADIUS server answers again" if up else "RADIUS server is down",
            kind=endpoint.key.transport, address=endpoint.key.ip, port=endpoint.key.port,
        )  # fmt: skip
