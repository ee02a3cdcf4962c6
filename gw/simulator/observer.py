"""Who is told of what happens to simulated devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gw.simulator.connection import Closed
from gw.simulator.faults import Drift
from gw.simulator.inbox import Message

if TYPE_CHECKING:
    from gw.simulator.device import SimulatedDevice


class Observer:
    """Told of what happens to devices; a fleet counts with it. Does nothing itself."""

    def connected(self, device: SimulatedDevice) -> None:
        """After `connect` was sent."""

    def disconnected(self, device: SimulatedDevice, closed: Closed) -> None:
        """After a connection ended."""

    def configured(self, device: SimulatedDevice, message: Message) -> None:
        """After a configure was worked off, before its answer."""

    def drifted(self, device: SimulatedDevice, kind: Drift) -> None:
        """After the configuration slipped."""
