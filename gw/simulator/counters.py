"""What a simulated device counts."""

from __future__ import annotations

import msgspec


class Counters(msgspec.Struct):
    """What a device did and met since it was made."""

    connects: int = 0
    failures: int = 0
    states: int = 0
    healthchecks: int = 0
    sent: int = 0
    received: int = 0
    configures: int = 0
    compressed_configures: int = 0
    applied: int = 0
    rejections: int = 0
    substitutions: int = 0
    unanswered: int = 0
    commands: int = 0
    drifts: int = 0
    reboots: int = 0
    drops: int = 0
    fragments: int = 0
    """Frames that were a part of a message: agents lose them."""
    oversized: int = 0
    """Messages above the agent's buffer."""
    unparsable: int = 0
    crashes: int = 0
    """Messages that make the agent crash: a gateway must send none."""
    uploads: int = 0
    """Files that were taken."""
    hash_mismatches: int = 0
    """Configures whose `config_hash` is not the hash of their configuration."""
