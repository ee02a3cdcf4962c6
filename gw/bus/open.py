"""Which bus the settings ask for."""

from __future__ import annotations

from pathlib import Path

from gw.bus.file import FileBus
from gw.bus.interface import Bus
from gw.bus.null import NullBus
from gw.core.settings import Settings
from gw.ops import metrics


def open_bus(settings: Settings, counters: metrics.CounterPage) -> Bus:
    """Return the bus of the coordinator. Raises OSError if its file cannot be opened."""
    if settings.bus.file:
        skip = frozenset(settings.bus.skip_topics)
        return FileBus(Path(settings.bus.file), settings.bus.file_bytes, skip, counters)
    return NullBus()
