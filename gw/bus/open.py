"""Which bus the settings ask for."""

from __future__ import annotations

from pathlib import Path

from gw.bus.file import FileBus
from gw.bus.interface import Bus
from gw.bus.null import NullBus
from gw.bus.topics import TOPICS
from gw.core.settings import Settings
from gw.ops import metrics


def open_bus(settings: Settings, counters: metrics.CounterPage) -> Bus:
    """Return the bus of the coordinator.

    Raises ValueError if the file cannot be opened, or a topic to be left out does not exist.
    """
    for topic in settings.bus.skip_topics:
        if topic not in TOPICS:
            raise ValueError(f"bus.skip_topics: {topic!r} is none of {', '.join(TOPICS)}")
    if settings.bus.file:
        skip = frozenset(settings.bus.skip_topics)
        try:
            return FileBus(Path(settings.bus.file), settings.bus.file_bytes, skip, counters)
        except OSError as error:
            raise ValueError(f"bus.file {settings.bus.file}: {error.strerror}") from None
    return NullBus()
