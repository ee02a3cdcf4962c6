"""When an agent tries again after it lost or did not get its connection (agents.md)."""

from __future__ import annotations

from typing import Final

from gw.simulator.messages import Platform

SWITCH_WAIT: Final = 5.0
AP_STEP: Final = 10.0
AP_MAX: Final = 900.0
AP_GIVES_UP: Final = 360.0
"""Seconds offline after which the access point's process exits and is started again."""


class Backoff:
    """Waits of one device; `scale` shortens all of them for tests."""

    def __init__(self, platform: Platform, scale: float = 1.0) -> None:
        self._platform = platform
        self._scale = scale
        self._failures = 0
        self._never_connected = True
        self._offline = 0.0

    def connected(self) -> None:
        """Start over: the connection is there."""
        self._failures = 0
        self._offline = 0.0
        self._never_connected = False

    def wait(self) -> float:
        """Return the seconds to wait after a loss or failure."""
        if self._platform == "switch":
            return SWITCH_WAIT * self._scale
        if self._never_connected and self._failures == 0:
            self._never_connected = False
            return 0.0
        self._failures += 1
        seconds = min(AP_STEP * self._failures, AP_MAX)
        self._offline += seconds
        return seconds * self._scale

    def restarted(self) -> bool:
        """Tell, once, whether the process gave up and was started again in the meantime."""
        if self._offline < AP_GIVES_UP:
            return False
        self._offline = 0.0
        self._failures = 0
        return True
