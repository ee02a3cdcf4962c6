"""The topics of the event bus (southbound.md 5.2), and which of them gives way first."""

from __future__ import annotations

from typing import Final

CONNECTION: Final = "connection"
STATE: Final = "state"
HEALTHCHECK: Final = "healthcheck"
WIFISCAN: Final = "wifiscan"
ALERTS: Final = "alerts"
COMMAND: Final = "command"
DEVICE_EVENT_QUEUE: Final = "device_event_queue"
RRM: Final = "rrm"
DEVICE_TELEMETRY: Final = "device_telemetry"
SERVICE_EVENTS: Final = "service_events"
PROVISIONING_CHANGE: Final = "provisioning_change"
"""Reserved: neither published nor read."""

TOPICS: Final = (
    CONNECTION, STATE, HEALTHCHECK, WIFISCAN, ALERTS, COMMAND, DEVICE_EVENT_QUEUE, RRM,
    DEVICE_TELEMETRY, SERVICE_EVENTS,
)  # fmt: skip
"""All that are published."""

SYSTEM_KEY: Final = "system"
"""Key of messages that are about no device."""

SHED_ORDER: Final = (
    (DEVICE_TELEMETRY,),
    (STATE, HEALTHCHECK, WIFISCAN),
    (SERVICE_EVENTS,),
    (RRM, ALERTS, DEVICE_EVENT_QUEUE),
    (COMMAND, CONNECTION),
)
"""When a bound is reached the first group loses its oldest messages first, the last group last."""
