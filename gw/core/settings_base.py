"""What the sections of the settings are made of."""

from __future__ import annotations

from typing import Annotated

import msgspec

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
"""0 picks a free one, which the ready file then names."""
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]
Days = Annotated[int, msgspec.Meta(ge=0, le=36_500)]
Size = Annotated[int, msgspec.Meta(ge=1, le=1 << 40)]
"""Bytes."""
Seconds = Annotated[float, msgspec.Meta(gt=0, le=31_536_000)]
"""A duration: every wait ends."""


class Section(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Base of the sections."""
