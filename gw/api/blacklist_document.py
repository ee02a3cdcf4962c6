"""A refused device as it is answered (northbound.md 4.8)."""

from __future__ import annotations

import msgspec


class BlacklistDocument(msgspec.Struct, rename="camel"):
    """A device that is refused at connection."""

    serial_number: str
    author: str
    reason: str
    created: int
