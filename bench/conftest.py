"""What the measurements share: a message as a device sends it."""

from __future__ import annotations

import random

import pytest

from gw.simulator import messages

SERIAL = "02a0c9000001"


@pytest.fixture(scope="session")
def state() -> bytes:
    """One state message of 5 to 6 KB, not compressed."""
    template = messages.StateTemplate(SERIAL, "ap", random.Random(1))
    params = template.params(1, 1_700_000_000, "0" * 32)
    message: bytes = messages.state_message(params, compress=False)
    assert 4_000 < len(message) < 8_000
    return message
