"""Which bus the settings ask for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gw.bus.file import FileBus
from gw.bus.interface import Bus
from gw.bus.null import NullBus
from gw.bus.topics import TOPICS
from gw.core.settings import Settings
from gw.core.spool_file import SpoolError
from gw.ops import metrics

if TYPE_CHECKING:
    from gw.bus.service_events import ServiceEvent, ServiceEventsReader


def open_service_events(
    settings: Settings, counters: metrics.CounterPage, heard: Callable[[ServiceEvent], object]
) -> ServiceEventsReader | None:
    """Return what reads the announcements of other services; None if the bus cannot be read.

    `heard` is called with each. Raises ValueError for what is wrong with the settings.
    """
    if not settings.kafka.bootstrap_servers:
        return None
    from gw.bus.service_events import ServiceEventsReader

    return ServiceEventsReader(settings, counters, heard)


def open_bus(settings: Settings, counters: metrics.CounterPage, node: int = 0) -> Bus:
    """Return the bus of the coordinator; `node` is the number of this gateway.

    Raises ValueError for what is wrong with the settings, or cannot be opened.
    """
    for topic in settings.bus.skip_topics:
        if topic not in TOPICS:
            raise ValueError(f"bus.skip_topics: {topic!r} is none of {', '.join(TOPICS)}")
    if settings.kafka.bootstrap_servers:
        if settings.bus.file:
            raise ValueError("bus.file, kafka.bootstrap_servers: only one of them may be set")
        from gw.bus.kafka import KafkaBus  # the library is big: only for those who use it

        try:
            return KafkaBus(settings, node, counters)
        except (OSError, SpoolError) as error:
            raise ValueError(f"kafka.spool_dir: {error}") from None
    if settings.bus.file:
        skip = frozenset(settings.bus.skip_topics)
        try:
            return FileBus(Path(settings.bus.file), settings.bus.file_bytes, skip, counters)
        except OSError as error:
            raise ValueError(f"bus.file {settings.bus.file}: {error.strerror}") from None
    return NullBus()
