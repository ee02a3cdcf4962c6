"""Live status of a device, as REST shows it (northbound.md 2.7)."""

from __future__ import annotations

from typing import Any

from gw.coordinator.presence import DeviceSession
from gw.coordinator.shadow import Shadow
from gw.protocol.state import summarize
from gw.store.interface import Reader


async def connection_state(
    session: DeviceSession, shadow: Shadow | None, reader: Reader, radius_sessions: int
) -> dict[str, Any]:
    """Return the ConnectionState of a connected device."""
    state = "{}"
    if session.last_state:
        newest = await reader.statistics(session.serial, limit=1, newest=True)
        state = newest[0].data if newest else "{}"
    found = session.status() | summarize(state).status()
    found |= {
        "hasRADIUSSessions": radius_sessions,
        "locale": shadow.row.locale if shadow is not None else "",
        "compatible": shadow.row.compatible if shadow is not None else "",
    }
    return found
