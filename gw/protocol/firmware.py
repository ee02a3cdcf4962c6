"""Revisions of firmware: reading the version out of what devices report, and comparing two.

Agents report texts such as `OpenWrt 23.05 / TIP-v4.2.0-rc1-1a2b3c4` or `TIP-OLS-v4.2.0`. The
version is looked for behind the last `/`: the first run of numbers with dots between them, with
or without a `v` before it; `-rcN` behind it comes before the release itself. Text around it does
not count.
"""

from __future__ import annotations

import math
import re
from typing import Final

Version = tuple[tuple[int, ...], float]
"""Numbers without trailing zeros, and the number of a release candidate; infinite: the release."""

_VERSION: Final = re.compile(
    r"(?<![0-9.])(\d{1,9}(?:\.\d{1,9}){1,7})(?:[-_.~]?rc\.?(\d{1,9}))?", re.IGNORECASE
)
_MAX_TEXT: Final = 512


def version_of(firmware: str) -> Version | None:
    """Return the version in a firmware's revision; None if it has none, as builds of a branch."""
    found = _VERSION.search(firmware[:_MAX_TEXT].rpartition("/")[2])
    if found is None:
        return None
    numbers = [int(part) for part in found[1].split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers), math.inf if found[2] is None else float(found[2])


def is_below(firmware: str, minimum: str) -> bool:
    """Tell whether a revision is older than another; no if one of them has no version."""
    one, other = version_of(firmware), version_of(minimum)
    return one is not None and other is not None and one < other
