"""Fixtures of the tests of the remote terminal."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

sys.path.insert(0, str(Path(__file__).parent))

from terminals import OTHER, SERIAL, Station

from gw.security import pki


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, Any]:
    """The process runs on uvloop, whose transports differ in places."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def start_station(pki_dir: Path) -> AsyncIterator[Callable[..., Station]]:
    """Start remote terminals with settings of the section `rtty`."""
    pki.device(pki_dir, [SERIAL, OTHER])
    started: list[Station] = []

    def start(**limits: Any) -> Station:
        started.append(Station(pki_dir, **limits))
        return started[-1]

    yield start
    for one in started:
        await one.close()


@pytest.fixture
async def station(start_station: Callable[..., Station]) -> Station:
    """A remote terminal with the settings as they are by default."""
    return start_station()
