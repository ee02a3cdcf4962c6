"""A default configuration as it is answered (northbound.md 4.6)."""

from __future__ import annotations

from typing import Any

import msgspec


class DefaultConfigurationDocument(msgspec.Struct, rename="camel", kw_only=True):
    """Configuration for new devices of some models."""

    name: str
    model_ids: list[str]
    """`compatible` of the devices; `*` is any."""
    description: str
    configuration: dict[str, Any]
    created: int
    last_modified: int
    platform: str
    """ap or switch."""
