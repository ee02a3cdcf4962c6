"""Which bus the settings ask for, and what is wrong with them."""

from __future__ import annotations

import pytest

from gw.bus.file import FileBus
from gw.bus.null import NullBus
from gw.bus.open import open_bus
from gw.core.settings import Bus, Settings
from gw.ops import metrics


async def test_a_file_or_none(tmp_path):
    counters = metrics.CounterPage.private()
    assert isinstance(open_bus(Settings(), counters), NullBus)
    assert not Settings().has_bus
    asked = Settings(bus=Bus(file=str(tmp_path / "events")))
    bus = open_bus(asked, counters)
    assert isinstance(bus, FileBus)
    assert asked.has_bus
    await bus.close()


@pytest.mark.parametrize(
    ("bus", "text"),
    [
        (Bus(skip_topics=["states"]), "bus.skip_topics: 'states' is none of connection, state"),
        (Bus(file="/nowhere/at/all"), "bus.file /nowhere/at/all: No such file"),
    ],
)
def test_faults_name_the_setting(bus, text):
    with pytest.raises(ValueError, match=text):
        open_bus(Settings(bus=bus), metrics.CounterPage.private())
