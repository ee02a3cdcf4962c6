"""The key by which sister services prove themselves on the private listeners (security.md 1.2).

It is what this gateway announces as `key` on the bus. Whoever has it may do nearly everything, so
unless it is set it is made at random.
"""

from __future__ import annotations

import hmac
from typing import Final

from gw.security.key_files import kept_key

KEY_FILE: Final = "internal.key"


def internal_key(configured: str, data: str) -> str:
    """Return the key: `security.internal_key`, else the one kept in the data directory.

    Raises OSError or ValueError as `kept_key` does.
    """
    return kept_key(configured, data, KEY_FILE)


def is_key(given: str, key: str) -> bool:
    """Tell whether a caller has shown the key, in a time that tells nothing of it."""
    return bool(key) and hmac.compare_digest(
        given.encode("utf-8", "surrogatepass"), key.encode("utf-8", "surrogatepass")
    )
